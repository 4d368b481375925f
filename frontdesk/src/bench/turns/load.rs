//! Puts a load on a server and times the answers.
//!
//! With a schedule the load is open: requests are due at their times whether or not earlier ones were answered, and an answer's
//! latency counts from when its request was due. A server that stalls thus shows it in every request that it kept from
//! being sent (no coordinated omission). Without one, each connection asks as soon as it was answered.

use super::{asker::Asker, schedule::Schedule};
use anyhow::Context;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::LocalSet};

/// What was due and not sent so long after the end never is.
const GRACE: Duration = Duration::from_secs(2);
/// An answer that takes longer counts as this, in microseconds.
const LONGEST: u64 = 600_000_000;
/// The pause of a connection that could not be made ready.
const PAUSE: Duration = Duration::from_millis(20);
/// Due and never sent.
const NOT_SENT: &str = "not_sent";

/// What came of it.
pub struct Outcome {
    /// Microseconds to the end of each good answer.
    pub latency: Histogram<u64>,
    /// What was no good answer, by code.
    pub errors: BTreeMap<String, u64>,
    /// From the first request to the last answer.
    pub seconds: f64,
}

impl Outcome {
    /// Good answers.
    pub fn answers(&self) -> f64 {
        self.latency.len() as f64
    }

    /// The latency, in seconds, that this share of the answers did not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1e6
    }
}

struct Desk {
    begin: Cell<Instant>,
    length: Duration,
    schedule: Option<Arc<Schedule>>,
    due: Arc<Semaphore>,
    next: Cell<usize>,
    latency: RefCell<Histogram<u64>>,
    errors: RefCell<BTreeMap<String, u64>>,
}

/// Makes every asker ready for its first request.
pub async fn prepare(askers: &mut [Asker]) -> anyhow::Result<()> {
    let ready = join_all(askers.iter_mut().map(Asker::prepare)).await;
    let ready: Result<Vec<()>, String> = ready.into_iter().collect();
    ready.map(|_| ()).map_err(anyhow::Error::msg).context("before the load")
}

/// Runs `askers`, which are ready, for `length`, after `schedule` if there is one.
pub async fn run(askers: Vec<Asker>, length: Duration, schedule: Option<Schedule>) -> anyhow::Result<Outcome> {
    let desk = Rc::new(Desk {
        begin: Cell::new(Instant::now()),
        length,
        schedule: schedule.map(Arc::new),
        due: Arc::new(Semaphore::new(0)),
        next: Cell::new(0),
        latency: RefCell::new(Histogram::new_with_max(LONGEST, 3)?),
        errors: RefCell::default(),
    });
    let pacer = desk.pace(askers.len());
    let local = LocalSet::new();
    for asker in askers {
        local.spawn_local(desk.clone().serve(asker));
    }
    local.await;
    let seconds = desk.begin.get().elapsed().as_secs_f64();
    if let Some(pacer) = pacer {
        pacer.join().map_err(|_| anyhow::anyhow!("the clock of the load stopped"))?;
    }
    let missed = desk.schedule.as_ref().map_or(0, |schedule| schedule.len().saturating_sub(desk.next.get()));
    if missed > 0 {
        desk.errors.borrow_mut().insert(NOT_SENT.into(), missed as u64);
    }
    Ok(Outcome { latency: desk.latency.borrow().clone(), errors: desk.errors.take(), seconds })
}

impl Desk {
    /// A thread that says when requests are due: its sleep is finer than the runtime's.
    fn pace(&self, askers: usize) -> Option<thread::JoinHandle<()>> {
        let (schedule, due, begin) = (self.schedule.clone()?, self.due.clone(), self.begin.get());
        Some(thread::spawn(move || {
            let mut told = 0;
            while let Some(next) = schedule.due(told) {
                thread::sleep(next.saturating_sub(begin.elapsed()));
                let count = schedule.due_by(told, begin.elapsed());
                due.add_permits(count);
                told += count;
            }
            due.add_permits(askers);
        }))
    }

    async fn serve(self: Rc<Self>, mut asker: Asker) {
        loop {
            if let Err(code) = asker.prepare().await {
                self.fail(code);
                tokio::time::sleep(PAUSE).await;
                if self.is_over() {
                    return;
                }
                continue;
            }
            let Some(due) = self.turn().await else { return };
            match asker.ask().await {
                Ok(()) => self.record(due.elapsed()),
                Err(code) => self.fail(code),
            }
        }
    }

    /// When the next request is, or was, due; `None`: there is none.
    async fn turn(&self) -> Option<Instant> {
        let Some(schedule) = &self.schedule else {
            return (!self.is_over()).then(Instant::now);
        };
        self.due.acquire().await.ok()?.forget();
        let number = self.next.get();
        let due = self.begin.get() + schedule.due(number)?;
        if self.is_over() {
            return None;
        }
        self.next.set(number + 1);
        Some(due)
    }

    fn is_over(&self) -> bool {
        let grace = if self.schedule.is_some() { GRACE } else { Duration::ZERO };
        self.begin.get().elapsed() > self.length + grace
    }

    fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST);
        self.latency.borrow_mut().saturating_record(micros);
    }

    fn fail(&self, code: String) {
        *self.errors.borrow_mut().entry(code).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            asker::{Server, Way},
            echo,
        },
        *,
    };
    use crate::cli::{Over, Route};
    use tokio::net::TcpListener;

    const LENGTH: Duration = Duration::from_millis(600);
    const STALL: Duration = Duration::from_millis(300);

    /// A server that begins with a stall.
    async fn stalling() -> Vec<Asker> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::time::sleep(STALL).await;
            echo::serve(stream).await;
        });
        let server = Arc::new(Server::new("--url", &url, "", "echo", false).unwrap());
        let mut askers = vec![Asker::new(server, Way { route: Route::PassThrough, over: Over::Sse, question: None })];
        prepare(&mut askers).await.unwrap();
        askers
    }

    #[tokio::test]
    async fn a_stall_shows_in_every_request_that_was_due_meanwhile() {
        let even = Schedule::even(100.0, LENGTH);
        let open = run(stalling().await, LENGTH, Some(even)).await.unwrap();
        assert_eq!((open.answers(), open.errors.len()), (60.0, 0));
        assert!(open.quantile(0.7) > 0.1, "half of the requests were due during the stall: {}", open.quantile(0.7));
        let closed = run(stalling().await, LENGTH, None).await.unwrap();
        assert!(closed.quantile(0.7) < 0.1 && closed.quantile(1.0) >= 0.3, "only one request was sent meanwhile");
    }

    #[tokio::test]
    async fn what_was_never_sent_is_told() {
        let late = Schedule::even(100.0, LENGTH + GRACE);
        let outcome = run(stalling().await, Duration::ZERO, Some(late)).await;
        let outcome = outcome.unwrap();
        assert!(outcome.errors.contains_key(NOT_SENT), "{:?}", outcome.errors);
    }
}
