//! The engine's own thread, and how jobs reach it.

use crate::engine::{Admitted, Engine, EngineError, Output, Request, SequenceId, Stats};
use metrics::{counter, gauge};
use protocol::{ErrorCode, Failure, InferenceJob, TenantId};
use runtime::metric;
use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait for the engine's next step.
const COMMANDS: usize = 256;

enum Command {
    Add { request: Request, outputs: mpsc::Sender<Output>, answer: oneshot::Sender<Result<Admitted, Failure>> },
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

/// Reaches the engine; when the last clone is dropped, the engine's thread ends.
#[derive(Clone)]
pub(crate) struct Driver {
    commands: mpsc::Sender<Command>,
    next_id: Arc<AtomicU64>,
    /// The engine's steps so far.
    steps: Arc<AtomicU64>,
    /// A sequence's outputs that may wait for its reader: more than an answer can have.
    backlog: usize,
}

/// A sequence in the engine; dropping it takes it out.
pub(crate) struct Sequence {
    id: SequenceId,
    /// What the engine knows of the prompt.
    pub admitted: Admitted,
    outputs: mpsc::Receiver<Output>,
    commands: mpsc::Sender<Command>,
    steps: Arc<AtomicU64>,
    /// Steps at its beginning.
    begun: u64,
    ended: bool,
}

/// Moves `engine` to a thread of its own. The receiver tells why the thread ended.
pub(crate) fn start(engine: Box<dyn Engine>) -> std::io::Result<(Driver, oneshot::Receiver<EngineError>)> {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (ended, end) = oneshot::channel();
    let backlog = engine.context_tokens() + 8;
    let steps = Arc::<AtomicU64>::default();
    let counted = steps.clone();
    std::thread::Builder::new().name("engine".into()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| drive(engine, inbox, &counted)));
        let error = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => EngineError(format!("the engine panicked: {}", panic_text(&*panic))),
        };
        let _ = ended.send(error);
    })?;
    Ok((Driver { commands, next_id: Arc::default(), steps, backlog }, end))
}

impl Driver {
    /// Adds a sequence; its outputs come from the result.
    pub async fn add(&self, tenant: TenantId, job: InferenceJob) -> Result<Sequence, AddError> {
        let id = SequenceId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let InferenceJob { messages, prefix, sampling, priority, weight } = job;
        let request = Request { id, messages, prefix, sampling, tenant, priority, weight };
        let (outputs, reader) = mpsc::channel(self.backlog);
        let (answer, answered) = oneshot::channel();
        let command = Command::Add { request, outputs, answer };
        self.commands.send(command).await.map_err(|_| AddError::Stopped)?;
        let admitted = answered.await.map_err(|_| AddError::Stopped)?.map_err(AddError::Refused)?;
        let (commands, steps) = (self.commands.clone(), self.steps.clone());
        let begun = steps.load(Ordering::Relaxed);
        Ok(Sequence { id, admitted, outputs: reader, commands, steps, begun, ended: false })
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
        self.steps.load(Ordering::Relaxed) - self.begun
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

fn drive(
    mut engine: Box<dyn Engine>,
    mut inbox: mpsc::Receiver<Command>,
    steps: &AtomicU64,
) -> Result<(), EngineError> {
    let mut readers = Readers::new();
    while take_commands(&mut *engine, &mut inbox, &mut readers) {
        let outputs = engine.step()?;
        steps.fetch_add(1, Ordering::Relaxed);
        outputs.into_iter().for_each(|output| emit(&mut *engine, &mut readers, output));
        report(engine.stats());
    }
    Ok(())
}

/// Applies what was commanded, waiting for it when there is nothing to step for; false once nobody can command.
fn take_commands(engine: &mut dyn Engine, inbox: &mut mpsc::Receiver<Command>, readers: &mut Readers) -> bool {
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
        report(engine.stats());
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
            let added = add(engine, request);
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

fn report(stats: Stats) {
    gauge!(metric::ENGINE_RUNNING).set(stats.running as f64);
    gauge!(metric::ENGINE_WAITING).set(stats.waiting as f64);
    gauge!(metric::ENGINE_CACHE).set(stats.cache_used());
    counter!(metric::ENGINE_PREFIX_QUERIES).absolute(stats.prompt_tokens);
    counter!(metric::ENGINE_PREFIX_HITS).absolute(stats.prefix_tokens);
    counter!(metric::ENGINE_PREEMPTIONS).absolute(stats.preemptions);
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
