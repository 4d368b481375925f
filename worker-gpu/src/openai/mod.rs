//! Generates with a server that speaks OpenAI's chat completions: vLLM, SGLang, TGI, llama.cpp.
//!
//! The server batches; this engine only bounds how many requests run at once and turns their streams into outputs.
//! Requests live on a runtime of their own with one thread. Dropping a request closes its connection, upon which the
//! server stops generating.

mod calls;
mod logprobs;
mod refusal;
mod request;
mod sampling;
mod stream;

use crate::{
    config::Config,
    engine::{Admitted, Engine, EngineError, Output, Request, SequenceId, Stats},
};
use protocol::{ErrorCode, Failure};
use request::Server;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::AbortHandle,
    time::timeout,
};

/// Outputs that may wait for the next step; a server that is faster is read no further meanwhile.
const OUTPUTS: usize = 1024;
/// How long a step waits for an output.
const PATIENCE: Duration = Duration::from_millis(5);

/// Why the server's client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Its thread could not be started.
    #[error("the client's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// TLS or the address is at fault.
    #[error("the HTTP client could not be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// The engine that asks a server.
pub(crate) struct OpenaiEngine {
    server: Arc<Server>,
    capacity: usize,
    waiting_max: usize,
    context_tokens: usize,
    waiting: VecDeque<Request>,
    running: HashMap<SequenceId, AbortHandle>,
    sender: mpsc::Sender<Output>,
    outputs: mpsc::Receiver<Output>,
    /// Taken only when the engine is dropped.
    runtime: Option<Runtime>,
}

impl OpenaiEngine {
    /// Asks for `model` at `base` (`http://host:8000/v1`). Whether the server answers is only logged: it may start
    /// later than this process.
    pub fn open(config: &Config, base: String, model: String) -> Result<Self, SetupError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("openai").enable_all().build()?;
        let server = Arc::new(Server::new(config, base, model)?);
        runtime.spawn(server.clone().look());
        let (sender, outputs) = mpsc::channel(OUTPUTS);
        Ok(Self {
            server,
            capacity: config.max_sequences,
            waiting_max: config.waiting,
            context_tokens: config.context_tokens,
            waiting: VecDeque::new(),
            running: HashMap::new(),
            sender,
            outputs,
            runtime: Some(runtime),
        })
    }

    fn start_waiting(&mut self, runtime: &Runtime) -> Vec<Output> {
        let free = self.capacity - self.running.len();
        let mut started = Vec::new();
        for request in self.waiting.drain(..free.min(self.waiting.len())) {
            started.push(Output::Started(request.id));
            let id = request.id;
            let answer = stream::answer(self.server.clone(), request, self.sender.clone());
            self.running.insert(id, runtime.spawn(answer).abort_handle());
        }
        started
    }

    /// What has come, waiting a little for the first.
    fn received(&mut self, runtime: &Runtime) -> Vec<Output> {
        let first = runtime.block_on(async { timeout(PATIENCE, self.outputs.recv()).await.ok().flatten() });
        let rest = std::iter::from_fn(|| self.outputs.try_recv().ok());
        first.into_iter().chain(rest.take(OUTPUTS)).collect()
    }
}

impl Engine for OpenaiEngine {
    fn model(&self) -> &str {
        &self.server.model
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    fn add(&mut self, request: Request) -> Result<Admitted, Failure> {
        crate::sampling::check(&request.sampling)?;
        // Those that the next step starts do not wait.
        if self.running.len() + self.waiting.len() >= self.capacity + self.waiting_max {
            return Err(Failure::new(ErrorCode::Overloaded, "the engine's waiting line is full; try again"));
        }
        self.waiting.push_back(request);
        // Only the server can count tokens; it does at the end.
        Ok(Admitted { prompt_tokens: 0 })
    }

    fn step(&mut self) -> Result<Vec<Output>, EngineError> {
        let Some(runtime) = self.runtime.take() else {
            return Err(EngineError("the client's runtime has ended".into()));
        };
        let mut outputs = self.start_waiting(&runtime);
        if outputs.is_empty() {
            // What a cancelled sequence still had under way concerns nobody.
            outputs = self.received(&runtime);
            outputs.retain(|output| self.running.contains_key(&output.id()));
        }
        self.runtime = Some(runtime);
        for output in outputs.iter().filter(|output| output.is_last()) {
            self.running.remove(&output.id());
        }
        Ok(outputs)
    }

    fn cancel(&mut self, id: SequenceId) {
        self.waiting.retain(|request| request.id != id);
        if let Some(task) = self.running.remove(&id) {
            task.abort();
        }
    }

    fn stats(&self) -> Stats {
        let running = self.running.len();
        Stats { running, waiting: self.waiting.len(), ..Stats::default() }
    }
}

impl Drop for OpenaiEngine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its end is not allowed where the drop may happen.
            runtime.shutdown_background();
        }
    }
}
