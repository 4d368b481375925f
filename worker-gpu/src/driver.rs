//! An engine's own thread, and how jobs reach it.

use crate::engine::{Admitted, Engine, EngineError, Output, Request, SequenceId, Stats};
use metrics::{Counter, Gauge, counter, gauge};
use protocol::{ErrorCode, Failure, InferenceJob, TenantId};
use runtime::metric;
use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait for the engine's next step.
const COMMANDS: usize = 256;

enum Command {
    Add { request: Box<Request>, outputs: mpsc::Sender<Output>, answer: oneshot::Sender<Result<Admitted, Failure>> },
    Cancel(SequenceId),
}

/// Why a request was not added.
#[derive(Debug)]
pub(crate) enum AddError {
    /// The request is at fault, or the engine is full.
    Refused(Failure),
    /// The engine has stopped.
    Stopped,
}

/// A device's engine has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Which device.
    pub device: String,
    /// Sequences that it generated for at the same time.
    pub capacity: usize,
    /// Why.
    pub error: EngineError,
}

/// Reaches the engine of one device; when it is dropped, with its sequences, the engine's thread ends.
pub(crate) struct Driver {
    commands: mpsc::Sender<Command>,
    next_id: AtomicU64,
    capacity: usize,
    /// A sequence's outputs that may wait for its reader: more than an answer can have.
    backlog: usize,
    /// Whose clones are its sequences.
    place: Place,
    pulse: Arc<Pulse>,
}

/// A sequence's share of a device's load.
#[derive(Clone, Default)]
pub(crate) struct Place(Arc<()>);

/// What an engine's thread tells of itself.
#[derive(Default)]
struct Pulse {
    /// Its steps so far.
    steps: AtomicU64,
    has_ended: AtomicBool,
}

/// A sequence in the engine; dropping it takes it out.
pub(crate) struct Sequence {
    id: SequenceId,
    /// What the engine knows of the prompt.
    pub admitted: Admitted,
    outputs: mpsc::Receiver<Output>,
    commands: mpsc::Sender<Command>,
    pulse: Arc<Pulse>,
    /// Steps at its beginning.
    begun: u64,
    ended: bool,
    _place: Place,
}

/// Moves the `device`'s engine to a thread of its own, which tells `ends` when it has failed.
pub(crate) fn start(device: String, engine: Box<dyn Engine>, ends: mpsc::Sender<Ended>) -> std::io::Result<Driver> {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (capacity, backlog) = (engine.capacity(), engine.context_tokens() + 8);
    let pulse = Arc::<Pulse>::default();
    let mut thread =
        Thread { report: Report::new(&device), engine, inbox, readers: HashMap::new(), pulse: pulse.clone() };
    std::thread::Builder::new().name(format!("engine {device}")).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| thread.drive()));
        let error = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => EngineError(format!("the engine panicked: {}", panic_text(&*panic))),
        };
        // Before its sequences and commands learn of it, or they would be sent here again.
        thread.pulse.has_ended.store(true, Ordering::Release);
        // An error means that nobody is interested any more.
        let _ = ends.blocking_send(Ended { device, capacity, error });
    })?;
    Ok(Driver { commands, next_id: AtomicU64::default(), capacity, backlog, place: Place::default(), pulse })
}

impl Driver {
    /// Sequences that it generates for at the same time.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether the engine works.
    pub fn is_alive(&self) -> bool {
        !self.pulse.has_ended.load(Ordering::Acquire)
    }

    /// Sequences that it has or is about to get.
    pub fn load(&self) -> usize {
        Arc::strong_count(&self.place.0) - 1
    }

    /// Counts a sequence that is about to be added.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// Adds a sequence; its outputs come from the result.
    pub async fn add(&self, place: Place, tenant: TenantId, job: InferenceJob) -> Result<Sequence, AddError> {
        let id = SequenceId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let InferenceJob { messages, prefix, sampling, priority, weight, tools, thinking } = job;
        let request = Request { id, messages, prefix, sampling, tenant, priority, weight, tools, thinking };
        let request = Box::new(request);
        let (outputs, reader) = mpsc::channel(self.backlog);
        let (answer, answered) = oneshot::channel();
        let command = Command::Add { request, outputs, answer };
        self.commands.send(command).await.map_err(|_| AddError::Stopped)?;
        let admitted = answered.await.map_err(|_| AddError::Stopped)?.map_err(AddError::Refused)?;
        let (commands, pulse) = (self.commands.clone(), self.pulse.clone());
        let begun = pulse.steps.load(Ordering::Relaxed);
        Ok(Sequence { id, admitted, outputs: reader, commands, pulse, begun, ended: false, _place: place })
    }
}

impl Sequence {
    /// The next output; `None` when the engine has stopped before the sequence ended.
    pub async fn next(&mut self) -> Option<Output> {
        let output = self.outputs.recv().await;
        self.ended = output.as_ref().is_none_or(Output::is_last);
        output
    }

    /// Steps that the engine has ended since the sequence came.
    pub fn steps(&self) -> u64 {
        self.pulse.steps.load(Ordering::Relaxed) - self.begun
    }
}

impl Drop for Sequence {
    fn drop(&mut self) {
        if !self.ended {
            // Should the command not fit, the engine notices at the next output that nobody reads.
            let _ = self.commands.try_send(Command::Cancel(self.id));
        }
    }
}

type Readers = HashMap<SequenceId, mpsc::Sender<Output>>;

/// An engine with those who await its outputs.
struct Thread {
    engine: Box<dyn Engine>,
    inbox: mpsc::Receiver<Command>,
    readers: Readers,
    pulse: Arc<Pulse>,
    report: Report,
}

impl Thread {
    fn drive(&mut self) -> Result<(), EngineError> {
        let Self { engine, inbox, readers, pulse, report } = self;
        while take_commands(&mut **engine, inbox, readers, report) {
            let outputs = engine.step()?;
            pulse.steps.fetch_add(1, Ordering::Relaxed);
            outputs.into_iter().for_each(|output| emit(&mut **engine, readers, output));
            report.stats(engine.stats());
        }
        Ok(())
    }
}

/// Applies what was commanded, waiting for it when there is nothing to step for; false once nobody can command.
fn take_commands(
    engine: &mut dyn Engine,
    inbox: &mut mpsc::Receiver<Command>,
    readers: &mut Readers,
    report: &Report,
) -> bool {
    loop {
        let command = match (inbox.try_recv(), engine.is_idle()) {
            (Ok(command), _) => command,
            (Err(mpsc::error::TryRecvError::Disconnected), _) => return false,
            (Err(mpsc::error::TryRecvError::Empty), false) => return true,
            (Err(mpsc::error::TryRecvError::Empty), true) => match inbox.blocking_recv() {
                Some(command) => command,
                None => return false,
            },
        };
        apply(engine, readers, command);
        report.stats(engine.stats());
    }
}

fn apply(engine: &mut dyn Engine, readers: &mut Readers, command: Command) {
    match command {
        Command::Cancel(id) => {
            engine.cancel(id);
            readers.remove(&id);
        }
        Command::Add { request, outputs, answer } => {
            let id = request.id;
            let added = add(engine, *request);
            if added.is_ok() {
                readers.insert(id, outputs);
            }
            if answer.send(added).is_err() {
                engine.cancel(id);
                readers.remove(&id);
            }
        }
    }
}

/// A prompt whose preparation panics fails alone: nothing of it is in the batch yet.
fn add(engine: &mut dyn Engine, request: Request) -> Result<Admitted, Failure> {
    catch_unwind(AssertUnwindSafe(|| engine.add(request))).unwrap_or_else(|panic| {
        tracing::error!(panic = panic_text(&*panic), "preparing a prompt panicked");
        Err(Failure::new(ErrorCode::EngineFailed, "the engine could not prepare this prompt"))
    })
}

fn emit(engine: &mut dyn Engine, readers: &mut Readers, output: Output) {
    let (id, is_last) = (output.id(), output.is_last());
    let is_read = readers.get(&id).is_some_and(|reader| reader.try_send(output).is_ok());
    if !is_read && !is_last {
        engine.cancel(id);
    }
    if !is_read || is_last {
        readers.remove(&id);
    }
}

/// A device's metrics.
struct Report {
    running: Gauge,
    waiting: Gauge,
    cache: Gauge,
    prefix_queries: Counter,
    prefix_hits: Counter,
    preemptions: Counter,
}

impl Report {
    fn new(device: &str) -> Self {
        let labels = [("device", device.to_string())];
        Self {
            running: gauge!(metric::ENGINE_RUNNING, &labels),
            waiting: gauge!(metric::ENGINE_WAITING, &labels),
            cache: gauge!(metric::ENGINE_CACHE, &labels),
            prefix_queries: counter!(metric::ENGINE_PREFIX_QUERIES, &labels),
            prefix_hits: counter!(metric::ENGINE_PREFIX_HITS, &labels),
            preemptions: counter!(metric::ENGINE_PREEMPTIONS, &labels),
        }
    }

    fn stats(&self, stats: Stats) {
        self.running.set(stats.running as f64);
        self.waiting.set(stats.waiting as f64);
        self.cache.set(stats.cache_used());
        self.prefix_queries.absolute(stats.prompt_tokens);
        self.prefix_hits.absolute(stats.prefix_tokens);
        self.preemptions.absolute(stats.preemptions);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
