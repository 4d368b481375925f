//! What goes into a turn and what comes out.

use crate::{
    breaker::{Part, Verdict},
    cache::Found,
    prompt::Prompt,
};
use protocol::{
    Citation, Failure, FinishReason, InferenceJob, JobId, Lang, Origin, Priority, Reply, RetrievalJob, Sampling,
    Timestamp, ToolCall, Tools, TurnEvent, Usage, WorkerId,
};

/// What a turn is about; does not change while it runs.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The turn's id; its jobs are named after it.
    pub job: JobId,
    /// The answer's language.
    pub lang: Lang,
    /// What to retrieve; `None`: the bare model answers.
    pub knowledge: Option<Knowledge>,
    /// Whether the answer cache may answer it, and may have its answer.
    pub recalls: bool,
    /// How the prompt is built once the passages are known.
    pub prompt: Prompt,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// What the model may ask to have called.
    pub tools: Tools,
    /// Whether the model is to think first; `None`: as it is used to.
    pub thinking: Option<bool>,
    /// Whether reasoning and calls are shown; else they are dropped.
    pub shows_asides: bool,
    /// The turn fails at this instant.
    pub deadline: Timestamp,
    /// The turn does without retrieval at this instant.
    pub retrieval_deadline: Timestamp,
    /// A pause this long (in milliseconds) after the first token means that frames were lost.
    pub stall_ms: u64,
    /// How long the model is waited for.
    pub patience: Patience,
    /// What is said when the model or retrieval is out of reach; `None`: the turn fails.
    pub fallback: Option<Fallback>,
    /// What is answered at once, whatever the knowledge says.
    pub reply: Option<Given>,
    /// When what was found, or was not, is answered without the model.
    pub policy: Policy,
    /// Whether markers of passages that were not given are taken out of the answer.
    pub checks_markers: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// The tenant's share of the GPU workers in relation to others'.
    pub weight: u32,
    /// The worker that has the conversation in its cache.
    pub worker: Option<WorkerId>,
    /// 0, or the epoch of the session's owner that took the turn up from another.
    pub run: u64,
}

/// How long the model is waited for, in milliseconds from the first inference job on; 0: for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// A job that is not begun by then counts against the engine.
    pub queue_wait_ms: u64,
    /// A first token that has not come by then counts against the engine.
    pub first_token_ms: u64,
    /// The turn does without the model when its first token has not come by then, if it has a [`Fallback`].
    pub give_up_ms: u64,
}

/// An answer that the model does not give in this turn, whole from the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The whole answer.
    pub text: String,
    /// What it refers to.
    pub citations: Vec<Citation>,
    /// Where it is from.
    pub origin: Origin,
    /// Whether it is given since the model, or retrieval, is out of reach.
    pub degraded: bool,
}

/// When what was found is answered without the model.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// A curated answer is given at once that answers the question at least this likely (0 to 1); `None`: it never is.
    pub faq_confidence: Option<f32>,
    /// The answer that the customer has just had to another question; given again word by word it would not be heard.
    pub told: Option<String>,
    /// `None`: the model is asked however unlikely it is that the passages answer the question.
    pub abstention: Option<Abstention>,
}

/// What is said instead of an answer that the knowledge does not hold.
#[derive(Debug, Clone)]
pub struct Abstention {
    /// When it is less likely than this that what was found answers the question.
    pub below: f32,
    /// That this is not known, and who may know.
    pub text: String,
}

/// What is said without the model.
#[derive(Debug, Clone, Copy)]
pub struct Fallback {
    /// A curated answer is given that answers the question at least this likely (0 to 1).
    pub faq_confidence: f32,
    /// Else this is said.
    pub apology: &'static str,
}

/// What to retrieve.
#[derive(Debug, Clone)]
pub struct Knowledge {
    /// The customer's question.
    pub query: String,
    /// What the customer asked before.
    pub context: Option<String>,
    /// At most this many passages.
    pub top_k: u16,
}

impl Knowledge {
    pub(super) fn job(&self, lang: &Lang) -> RetrievalJob {
        let context = self.context.clone();
        RetrievalJob { context, ..RetrievalJob::new(&self.query, lang.clone(), self.top_k) }
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The turn's time has come.
    Accepted,
    /// What came of [`Effect::Recall`].
    Recalled(Option<Given>),
    /// A worker answered one of the turn's jobs, or some other job.
    Reply(Reply),
    /// Replies to the turn had to be dropped.
    Lost,
    /// The broker did not take `job`, as far as is known.
    PublishFailed {
        /// Which job.
        job: JobId,
        /// Why.
        failure: Failure,
    },
    /// `job` was not published: there is no room for it, or what would do it is left alone for a while.
    Refused {
        /// Which job.
        job: JobId,
        /// Why.
        failure: Failure,
    },
    /// [`super::Turn::wake_at`] has passed, or not.
    Tick,
    /// The customer wants no more; what was shown is kept.
    Stop,
    /// Nobody reads any more; nothing is kept, so that a repeat of the message is answered anew.
    Abandoned,
    /// The turn cannot go on.
    Fail(Failure),
    /// [`Effect::Commit`] succeeded.
    Committed,
    /// [`Effect::Commit`] failed.
    CommitFailed(Failure),
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Look into the answer cache, with what retrieval has found if it was asked, then report [`Input::Recalled`].
    Recall(Option<Found>),
    /// Publish a retrieval job.
    Retrieve {
        /// Its id.
        job: JobId,
        /// Nobody awaits it after this instant.
        deadline: Timestamp,
        /// The work.
        body: RetrievalJob,
    },
    /// Publish an inference job.
    Infer {
        /// Its id.
        job: JobId,
        /// Nobody awaits it after this instant.
        deadline: Timestamp,
        /// The work.
        body: Box<InferenceJob>,
        /// Who should do it, if it can soon.
        worker: Option<WorkerId>,
    },
    /// Tell workers that nobody awaits this job.
    Cancel(JobId),
    /// Generation has begun.
    Started {
        /// Who does it.
        worker: WorkerId,
        /// The engine's name of the model.
        model: String,
    },
    /// How a part did that the turn waited for; told once for each search and once for the turn's inference.
    Judge(Part, Verdict),
    /// Show an event to the customer.
    Emit(TurnEvent),
    /// Store the question and its answer, then report [`Input::Committed`] or [`Input::CommitFailed`].
    Commit(Answer),
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was shown, joined.
    pub text: String,
    /// Why it ended.
    pub reason: FinishReason,
    /// Tokens of the turn.
    pub usage: Usage,
    /// The passages that the text refers to.
    pub citations: Vec<Citation>,
    /// The reasoning that was shown, joined.
    pub reasoning: String,
    /// What the model wants to have called.
    pub tool_calls: Vec<ToolCall>,
    /// The number of the event that tells it.
    pub last_seq: u64,
    /// Whether it was said since the model, or retrieval, is out of reach.
    pub degraded: bool,
    /// Where it is from.
    pub origin: Origin,
}

impl Answer {
    /// The event that tells it.
    pub fn event(&self) -> TurnEvent {
        let Self { text, reason, usage, citations, reasoning, tool_calls, degraded, origin, .. } = self.clone();
        TurnEvent::Finished { text, finish_reason: reason, usage, citations, reasoning, tool_calls, degraded, origin }
    }
}
