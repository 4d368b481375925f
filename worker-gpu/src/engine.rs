//! What an engine is: synchronous, stepped by one thread, holding many sequences at once.

use protocol::{Aside, ChatMessage, Failure, FinishReason, Priority, Sampling, TenantId, TokenLogprob, Tools, Usage};

/// Names a sequence within one engine; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub u64);

/// A prompt to continue.
#[derive(Debug, Clone)]
pub struct Request {
    /// The caller's name for the sequence.
    pub id: SequenceId,
    /// The prompt, before the model's chat template.
    pub messages: Vec<ChatMessage>,
    /// The answer's beginning; generation continues after it.
    pub prefix: String,
    /// How to choose tokens and when to stop.
    pub sampling: Sampling,
    /// Whose it is; tenants share slots by weight, and nothing that was computed.
    pub tenant: TenantId,
    /// How urgent it is.
    pub priority: Priority,
    /// The tenant's share in relation to others', at least 1.
    pub weight: u32,
    /// What the model may ask to have called.
    pub tools: Tools,
    /// Whether the model is to think first; `None`: as its chat template has it.
    pub thinking: Option<bool>,
}

/// A prompt that an engine has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Its length after the chat template; 0 when only the end will tell.
    pub prompt_tokens: u32,
}

/// What a step produced. A sequence's outputs are `Started`, any number of `Token` and `Aside`, then one `Finished` or
/// `Failed`.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The sequence has left the waiting line.
    Started(SequenceId),
    /// A piece of the answer.
    Token {
        /// Whose.
        id: SequenceId,
        /// Whole characters; may be empty while a character or a possible stop string is incomplete.
        text: String,
        /// Tokens generated since the last output.
        tokens: u32,
        /// How likely the text's tokens were, where that was asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// What was generated besides the answer's text; calls need no ids.
    Aside {
        /// Whose.
        id: SequenceId,
        /// What it is.
        aside: Aside,
    },
    /// The answer is complete and the sequence forgotten.
    Finished {
        /// Whose.
        id: SequenceId,
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// This sequence cannot be continued and is forgotten; the others go on.
    Failed(SequenceId, Failure),
}

impl Output {
    /// Whose output it is.
    pub fn id(&self) -> SequenceId {
        match self {
            Output::Started(id) | Output::Failed(id, _) => *id,
            Output::Token { id, .. } | Output::Aside { id, .. } | Output::Finished { id, .. } => *id,
        }
    }

    /// Whether no output of the sequence follows.
    pub fn is_last(&self) -> bool {
        matches!(self, Output::Finished { .. } | Output::Failed(..))
    }
}

/// How busy an engine is, and what it has done since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Sequences in the batch.
    pub running: usize,
    /// Sequences that wait for a slot.
    pub waiting: usize,
    /// KV blocks that there are; 0 when the engine does not know.
    pub blocks: usize,
    /// KV blocks that running sequences hold.
    pub blocks_used: usize,
    /// Tokens of the prompts that were started.
    pub prompt_tokens: u64,
    /// Those of them that were found in the prefix cache.
    pub prefix_tokens: u64,
    /// Sequences that had to give their blocks to others for a while.
    pub preemptions: u64,
}

impl Stats {
    /// Share of the KV blocks in use, 0 to 1.
    pub fn cache_used(&self) -> f64 {
        self.blocks_used as f64 / self.blocks.max(1) as f64
    }

    /// Share of the prompts' tokens that the prefix cache held, 0 to 1.
    pub fn prefix_hit_rate(&self) -> f64 {
        self.prefix_tokens as f64 / self.prompt_tokens.max(1) as f64
    }
}

/// The engine as a whole cannot go on; its sequences must be given to another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// Generates text for many sequences at once.
pub trait Engine: Send {
    /// The model's name, for clients.
    fn model(&self) -> &str;

    /// Sequences that it generates for at the same time.
    fn capacity(&self) -> usize;

    /// The longest prompt plus answer, in tokens.
    fn context_tokens(&self) -> usize;

    /// Takes a sequence, which then waits for a slot. The failure says what is wrong with the request, or that the
    /// waiting line is full.
    fn add(&mut self, request: Request) -> Result<Admitted, Failure>;

    /// Schedules, runs the model once, samples and tells what came out. Returns within milliseconds when nothing can
    /// be done now.
    fn step(&mut self) -> Result<Vec<Output>, EngineError>;

    /// Forgets a sequence at once, without further outputs; an unknown one is ignored.
    fn cancel(&mut self, id: SequenceId);

    /// Whether there is nothing to step for.
    fn is_idle(&self) -> bool {
        let stats = self.stats();
        stats.running + stats.waiting == 0
    }

    /// How busy it is, and what it has done.
    fn stats(&self) -> Stats;
}
