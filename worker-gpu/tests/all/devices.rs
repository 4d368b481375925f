//! Several devices behind one intake.

use crate::desk::{Desk, echo};
use protocol::Event;
use std::{collections::BTreeMap, path::Path, time::Duration};
use worker_gpu::{Admitted, Config, Engine, EngineError, Output, Request, RunError, SequenceId, Stats, open, open_all};

/// Works like `echo` for some steps, then fails.
struct Failing {
    echo: Box<dyn Engine>,
    steps: usize,
    panics: bool,
}

impl Failing {
    fn after(steps: usize, panics: bool) -> Box<dyn Engine> {
        Box::new(Self { echo: open(&config(), Path::new("/nowhere")).unwrap(), steps, panics })
    }
}

impl Engine for Failing {
    fn model(&self) -> &str {
        self.echo.model()
    }
    fn capacity(&self) -> usize {
        self.echo.capacity()
    }
    fn context_tokens(&self) -> usize {
        self.echo.context_tokens()
    }
    fn add(&mut self, request: Request) -> Result<Admitted, protocol::Failure> {
        self.echo.add(request)
    }
    fn step(&mut self) -> Result<Vec<Output>, EngineError> {
        if self.steps == 0 {
            assert!(!self.panics, "as told");
            return Err(EngineError("out of memory".into()));
        }
        self.steps -= 1;
        self.echo.step()
    }
    fn cancel(&mut self, id: SequenceId) {
        self.echo.cancel(id);
    }
    fn stats(&self) -> Stats {
        self.echo.stats()
    }
}

fn config() -> Config {
    Config { devices: vec!["cpu".into(), "cpu".into()], max_sequences: 2, ..echo(5) }
}

/// The last attempt at each of `count` jobs, once all have ended.
async fn attempts(desk: &mut Desk, count: usize) -> BTreeMap<String, u32> {
    let mut ended = BTreeMap::new();
    while ended.len() < count {
        let reply = desk.reply().await;
        match reply.events.last() {
            Some(Event::Finished { .. }) => drop(ended.insert(reply.job.to_string(), reply.attempt)),
            Some(Event::Failed(failure)) => panic!("{failure}"),
            _ => {}
        }
    }
    ended
}

#[tokio::test]
async fn a_device_that_fails_is_taken_out_and_the_other_answers_its_jobs() {
    for panics in [false, true] {
        let mut desk = Desk::new().await;
        let mut engines = vec![Failing::after(2, panics)];
        engines.extend(open_all(&config(), Path::new("/nowhere")).unwrap().into_iter().take(1));
        let worker = desk.work_with(config(), engines);
        for n in 0..8 {
            desk.submit(&format!("job_{n}"), &format!("question {n} of some words")).await;
        }
        let attempts = attempts(&mut desk, 8).await;
        let again = attempts.values().filter(|attempt| **attempt == 1).count();
        assert!((1..=3).contains(&again), "those that ran or waited on the failed device: {attempts:?}");
        assert!(attempts.values().all(|attempt| *attempt <= 1), "{attempts:?}");
        worker.stop().await.unwrap();
        assert_eq!((desk.jobs_left().await, desk.dead_letters().await), (0, 0));
    }
}

#[tokio::test]
async fn the_worker_ends_with_its_last_device() {
    let mut desk = Desk::new().await;
    let worker = desk.work_with(config(), vec![Failing::after(0, false), Failing::after(3, false)]);
    desk.submit("job_1", "one two three four five six seven").await;
    let ended = tokio::time::timeout(Duration::from_secs(10), worker.running).await.unwrap().unwrap();
    assert!(matches!(ended, Err(RunError::Engine(_))), "{ended:?}");
    assert_eq!(desk.jobs_left().await, 1);
    let _healthy = desk.work(echo(0));
    assert_eq!(attempts(&mut desk, 1).await.into_values().collect::<Vec<_>>(), [2]);
}
