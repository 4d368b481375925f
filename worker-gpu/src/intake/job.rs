//! One delivery of one job, from its envelope to its settlement.

use super::{
    Shared,
    cancels::Tokens,
    replies::{Replies, Unread},
    seats::Origin,
    stages::Stages,
};
use crate::{
    driver::{AddError, Sequence},
    engine::Output,
};
use protocol::{
    Aside, Envelope, ErrorCode, Event, Failure, FinishReason, InferenceJob, Priority, Timestamp, TokenLogprob, Usage,
    topology,
};
use runtime::{Delivery, broker::Reason};
use std::sync::Arc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// An engine's step may have begun before a sequence came; the one after it starts the sequence if there is room.
const STARTING_STEPS: u64 = 2;

/// How a delivery is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlement {
    /// It is answered, a later delivery of the job answers it, or nobody awaits the answer.
    Ack,
    /// Another device or worker should try; this one, if it has no device left, once it has left the queue.
    HandBack,
    /// It waited here long enough; others should begin it.
    SendOn,
    /// It was tried too often.
    GiveUp,
}

/// Answers one delivery and settles it, or gives it back unsettled: the queue would deliver it to this worker again.
pub(super) async fn run(delivery: Delivery, origin: Origin, shared: Arc<Shared>) -> Option<Delivery> {
    let (envelope, delivery) = runtime::job::read(delivery, topology::INFERENCE.name, &shared.context).await?;
    let settlement = attempt(envelope, delivery.attempt, &origin, &shared).await;
    let settled = match settlement {
        // There are other devices, so the job may come back.
        Settlement::HandBack if shared.fleet.is_alive() && !shared.hand_back.is_cancelled() => delivery.requeue().await,
        Settlement::HandBack => return Some(delivery),
        Settlement::Ack => delivery.ack().await,
        Settlement::SendOn => delivery.send_on().await,
        Settlement::GiveUp => delivery.dead_letter(Reason::DeliveryLimit, "the engine failed at each delivery").await,
    };
    if let Err(error) = settled {
        tracing::warn!(%error, ?settlement, "a delivery could not be settled; the broker will deliver it again");
    }
    None
}

async fn attempt(envelope: Envelope<InferenceJob>, attempt: u32, origin: &Origin, shared: &Shared) -> Settlement {
    let until = shared.seats.wait_until(origin, attempt, envelope.published, shared.context.clock.now());
    let ticket = shared.cancels.enter(envelope.job.clone());
    let tokens = ticket.tokens.clone();
    tokio::select! {
        biased;
        () = shared.hand_back.cancelled() => Settlement::HandBack,
        // The later delivery answers. Requeued, a copy of the job would come back and end that one in turn.
        () = tokens.superseded.cancelled() => Settlement::Ack,
        settlement = answer(envelope, attempt, (origin, until, &tokens), shared) => settlement,
    }
}

async fn answer(
    envelope: Envelope<InferenceJob>,
    attempt: u32,
    (origin, until, tokens): (&Origin, Option<Instant>, &Tokens),
    shared: &Shared,
) -> Settlement {
    let context = &shared.context;
    let delivery = context.random.seed();
    let replies = Replies::new(context.broker.clone(), context.clock.clone(), &envelope, attempt, delivery);
    let seat = tokio::select! {
        biased;
        () = tokens.cancelled.cancelled() => {
            let nothing = Event::Finished { reason: FinishReason::Cancelled, usage: Usage::default() };
            return acked(replies.finish(nothing).await);
        }
        seat = shared.seats.take(until, shared) => seat,
    };
    let Some(_seat) = seat else { return Settlement::SendOn };
    let Envelope { tenant, deadline, published, traceparent, mut body, .. } = envelope;
    if deadline <= context.clock.now() {
        return acked(replies.finish(Event::Failed(too_late())).await);
    }
    let stages = Stages::queue_wait(&shared.model, traceparent);
    if attempt > 0 {
        body.priority = body.priority.max(Priority::Retry);
    }
    match shared.fleet.add(tenant, body).await {
        Ok(sequence) => {
            let stream = Stream::new(shared, sequence, replies, stages, (published, deadline), attempt);
            let stream = Stream { start_by: until.filter(|_| origin.is_own()), ..stream };
            stream.run(tokens).await
        }
        Err(AddError::Refused(failure)) => acked(replies.finish(Event::Failed(failure)).await),
        Err(AddError::Stopped) => engine_stopped(replies, attempt).await,
    }
}

/// A running answer.
struct Stream<'a> {
    shared: &'a Shared,
    sequence: Sequence,
    replies: Replies,
    stages: Stages,
    published: Timestamp,
    deadline: Timestamp,
    attempt: u32,
    usage: Usage,
    /// Tokens that have shown no text yet.
    silent: u32,
    flushed: Option<Instant>,
    /// When it must have started, if it came from the worker's own queue.
    start_by: Option<Instant>,
}

/// What a stream waits for.
enum Next {
    Cancelled,
    Output(Option<Output>),
    Tick,
}

impl<'a> Stream<'a> {
    fn new(
        shared: &'a Shared,
        sequence: Sequence,
        replies: Replies,
        stages: Stages,
        (published, deadline): (Timestamp, Timestamp),
        attempt: u32,
    ) -> Self {
        let usage = Usage { prompt_tokens: sequence.admitted.prompt_tokens, completion_tokens: 0 };
        let (silent, flushed, start_by) = (0, None, None);
        Self { shared, sequence, replies, stages, published, deadline, attempt, usage, silent, flushed, start_by }
    }

    async fn run(mut self, tokens: &Tokens) -> Settlement {
        let mut ticks = interval(self.shared.coalesce);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                biased;
                () = tokens.cancelled.cancelled() => Next::Cancelled,
                output = self.sequence.next() => Next::Output(output),
                _ = ticks.tick() => Next::Tick,
            };
            let is_tick = matches!(next, Next::Tick);
            match next {
                Next::Cancelled => return self.finish(FinishReason::Cancelled).await,
                Next::Output(None) => return engine_stopped(self.replies, self.attempt).await,
                Next::Output(Some(Output::Failed(_, failure))) => return self.fail(failure).await,
                Next::Output(Some(Output::Finished { reason, usage, .. })) => {
                    self.usage = usage;
                    return self.finish(reason).await;
                }
                Next::Output(Some(Output::Started(_))) => self.started(),
                Next::Output(Some(Output::Token { text, tokens, logprobs, .. })) => self.token(text, tokens, logprobs),
                Next::Output(Some(Output::Aside { aside, .. })) => self.aside(aside),
                Next::Tick => {}
            }
            if self.deadline <= self.shared.context.clock.now() {
                return self.fail(too_late()).await;
            }
            if self.waits_in_vain() {
                return Settlement::SendOn;
            }
            if (is_tick || self.is_due()) && self.flush().await.is_err() {
                return Settlement::Ack;
            }
        }
    }

    /// Whether others should begin it. A step may take long, so one that the next step starts is given the time.
    fn waits_in_vain(&self) -> bool {
        self.start_by.is_some_and(|at| at <= Instant::now()) && self.sequence.steps() > STARTING_STEPS
    }

    /// What comes before the first text, and that text, goes out at once; the rest is gathered.
    fn is_due(&self) -> bool {
        self.flushed.is_none_or(|at| at.elapsed() >= self.shared.coalesce)
    }

    async fn flush(&mut self) -> Result<(), Unread> {
        if self.usage.completion_tokens > self.silent {
            self.flushed = Some(Instant::now());
        }
        self.replies.flush().await
    }

    fn started(&mut self) {
        self.start_by = None;
        let prompt_tokens = self.usage.prompt_tokens;
        self.stages.prefill(prompt_tokens, self.published, self.shared.context.clock.now());
        let (worker, model) = (self.shared.worker.clone(), self.shared.model.clone());
        self.replies.push(Event::Started { worker, model, prompt_tokens });
    }

    fn token(&mut self, text: String, tokens: u32, logprobs: Vec<TokenLogprob>) {
        self.count(tokens);
        if !text.is_empty() || !logprobs.is_empty() {
            self.replies.push(Event::Token { text, tokens: std::mem::take(&mut self.silent), logprobs });
        }
    }

    fn aside(&mut self, mut aside: Aside) {
        self.count(aside.tokens);
        aside.tokens = std::mem::take(&mut self.silent);
        for call in aside.calls.iter_mut().filter(|call| call.name.is_some()) {
            call.id.get_or_insert_with(|| format!("call_{}", self.shared.context.random.uuid().simple()));
        }
        self.replies.push(Event::Aside(aside));
    }

    fn count(&mut self, tokens: u32) {
        self.usage.completion_tokens += tokens;
        self.stages.decoded(tokens);
        self.silent += tokens;
    }

    async fn finish(self, reason: FinishReason) -> Settlement {
        self.stages.finished(reason, self.usage);
        acked(self.replies.finish(Event::Finished { reason, usage: self.usage }).await)
    }

    async fn fail(self, failure: Failure) -> Settlement {
        acked(self.replies.finish(Event::Failed(failure)).await)
    }
}

/// A job that met a failing engine at each of its deliveries is answered, so that its reader does not wait in vain.
async fn engine_stopped(replies: Replies, attempt: u32) -> Settlement {
    if attempt < topology::DELIVERY_LIMIT {
        return Settlement::HandBack;
    }
    let failure = Failure::new(ErrorCode::EngineFailed, "the engine failed at this prompt; rephrase it or try later");
    let _ = replies.finish(Event::Failed(failure)).await;
    Settlement::GiveUp
}

fn acked(published: Result<(), Unread>) -> Settlement {
    if published == Err(Unread) {
        tracing::debug!("an answer's reader is gone");
    }
    Settlement::Ack
}

fn too_late() -> Failure {
    Failure::new(ErrorCode::DeadlineExceeded, "the deadline passed before the answer was complete")
}
