//! Turns of a session: those that wait and the one that runs.

use super::{Session, held::Held, journal::Journal, observe::Observed, open::Open, parked::Parked, recall::Memory};
use crate::{
    StoredMessage, TurnLog, TurnRecord,
    ask::Ask,
    cache::Question,
    load::Accepted,
    replies::Inbox,
    state::Served,
    turn::{Answer, Input, Spec, Turn, unread},
};
use actix::{ActorFutureExt, AsyncContext, Context, SpawnHandle, StreamHandler, WrapFuture};
use futures_util::stream::unfold;
use protocol::{
    ErrorCode, Failure, FinishReason, JobId, Lang, Origin, Role, Submit, Timestamp, TurnEvent, Usage, WorkerId,
};
use std::time::Duration;
use tracing::Span;

/// A turn that was accepted and awaits its time.
pub(super) struct Pending {
    pub ask: Ask,
    pub log: TurnLog,
    pub parent: Span,
    /// Its place in the order of the session's messages.
    pub place: u64,
    pub accepted: Timestamp,
    pub slot: Accepted,
    /// Sees when nobody reads any more.
    pub watch: SpawnHandle,
    /// Nobody has read it for the grace, if nobody does now.
    pub is_left: bool,
    /// It was begun by another actor, or by this one and left: tokens that were generated for it.
    pub resumes: Option<u32>,
    /// How often it failed while nobody read it.
    pub failures: u32,
}

impl Pending {
    /// The customer's message, if it is one.
    pub fn submit(&self) -> Option<&Submit> {
        submit(&self.ask)
    }

    /// As it is kept while nobody awaits it; its readers learn that it goes on elsewhere.
    pub fn parked(self) -> Option<Parked> {
        self.log.moved();
        let open = Open::new(self.log.job().clone(), self.place, self.accepted, self.submit()?.clone());
        let (shown, tokens) = (self.log.events(), self.resumes.unwrap_or(0));
        Some(Parked { open, shown, tokens, failures: self.failures })
    }

    /// Ends it before its first word.
    pub fn stopped(self) {
        if self.log.next_seq() == 0 {
            self.log.emit(TurnEvent::Retrieved { citations: Vec::new() });
        }
        self.log.emit(TurnEvent::Finished {
            text: String::new(),
            finish_reason: FinishReason::Cancelled,
            usage: Usage::default(),
            citations: Vec::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            degraded: false,
            origin: Origin::Model,
        });
    }
}

/// The turn that runs.
pub(super) struct Running {
    pub turn: Turn,
    pub log: TurnLog,
    pub observed: Observed,
    pub lang: Lang,
    pub deadline: Timestamp,
    pub timer: Option<(Timestamp, SpawnHandle)>,
    /// When the last inference job was published.
    pub asked: Timestamp,
    /// To which worker it was sent; `None` once that has become known to be right or wrong.
    pub sent_to: Option<WorkerId>,
    pub served: Option<Served>,
    pub held: Held,
    pub memory: Memory,
    pub ask: Ask,
    pub journal: Journal,
    /// Tokens that were generated for what was shown.
    pub tokens: u32,
    /// Whether the answer is in the store.
    pub is_stored: bool,
    /// As of [`Pending`].
    pub is_left: bool,
    pub failures: u32,
    place: u64,
    accepted: Timestamp,
    watches: [SpawnHandle; 2],
    _slot: Accepted,
}

impl Running {
    /// The customer's message, if it is one.
    pub fn submit(&self) -> Option<&Submit> {
        submit(&self.ask)
    }

    /// The question and its answer, as the session keeps them.
    pub fn exchange(&self, answer: Answer, now: Timestamp) -> Option<(StoredMessage, StoredMessage)> {
        let Ask::Message(submit) = &self.ask else { return None };
        let question = StoredMessage {
            role: Role::User,
            content: submit.content.clone(),
            citations: Vec::new(),
            at: self.accepted,
            client_message_id: submit.client_message_id.clone(),
            turn: None,
        };
        let Answer { text, reason, usage, citations, last_seq, degraded, origin, .. } = answer;
        let (job, pieces) = (self.log.job().clone(), self.journal.pieces.clone());
        let turn = TurnRecord { job, last_seq, finish_reason: reason, usage, degraded, origin, pieces };
        let answer = StoredMessage {
            role: Role::Assistant,
            content: text,
            citations,
            at: now,
            client_message_id: None,
            turn: Some(turn),
        };
        Some((question, answer))
    }
}

impl Running {
    /// As it is kept while nobody awaits it.
    pub fn parked(&self) -> Option<Parked> {
        let open = Open::new(self.log.job().clone(), self.place, self.accepted, self.submit()?.clone());
        Some(Parked { open, shown: self.log.events(), tokens: self.tokens, failures: self.failures })
    }

    /// Nobody has read it for the grace; `watch` sees who comes back and leaves again.
    pub fn left(&mut self, watch: SpawnHandle) {
        self.is_left = true;
        self.watches[1] = watch;
    }

    /// `worker` has begun to answer. Returns to which worker the job was sent, when that is told for the first time.
    pub fn served_by(&mut self, worker: WorkerId) -> Option<WorkerId> {
        self.served = Some(Served { by: worker, at: self.asked });
        self.sent_to.take()
    }
}

fn submit(ask: &Ask) -> Option<&Submit> {
    match ask {
        Ask::Message(submit) => Some(submit),
        Ask::Completion(_) => None,
    }
}

/// Something arrived for the turn `.0`.
pub(super) struct Arrived(JobId, Input);

impl StreamHandler<Arrived> for Session {
    fn handle(&mut self, Arrived(turn, input): Arrived, ctx: &mut Self::Context) {
        self.feed(&turn, input, ctx);
    }

    /// The end of one turn's replies is not the session's end.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Session {
    /// The turn's time has come.
    pub(super) fn start(&mut self, pending: Pending, ctx: &mut Context<Self>) {
        let Some(kept) = &self.kept else { return };
        let Pending { ask, log, parent, place, accepted, slot, watch, is_left, resumes, failures } = pending;
        let (job, tenant) = (log.job().clone(), &self.place.key.tenant);
        let affinity = &self.env.affinity;
        let last = affinity.last_served(tenant, &ask, kept.served.as_ref());
        let worker = affinity.choose(last.as_ref(), self.env.now(), self.env.config.affinity_ms);
        let run = resumes.and(kept.hold.as_ref()).map_or(0, |hold| hold.fence.epoch);
        let spec = Spec { worker, run, ..ask.spec(&self.env, tenant, &kept.view, job.clone(), accepted) };
        let question = self.env.cache.as_ref().and_then(|_| Question::of(tenant, &ask, &spec, &self.env.config));
        let spec = Spec { recalls: question.is_some(), ..spec };
        let observed = Observed::new(&self.place.key, &spec, &parent, accepted);
        let watches = [self.watch_replies(&job, ctx), watch];
        let (lang, deadline, shown) = (spec.lang.clone(), spec.deadline, log.events());
        let journal = Journal::of(&shown);
        let turn = Turn::resumed(spec, &shown, resumes.unwrap_or(0));
        self.running = Some(Box::new(Running {
            turn,
            log,
            observed,
            lang,
            deadline,
            timer: None,
            asked: accepted,
            sent_to: None,
            served: None,
            held: Held::default(),
            memory: Memory::of(question),
            ask,
            journal,
            tokens: resumes.unwrap_or(0),
            is_stored: false,
            is_left,
            failures,
            place,
            accepted,
            watches,
            _slot: slot,
        }));
        self.feed(&job, Input::Accepted, ctx);
    }

    /// Ends the running turn's watches and lets it go.
    pub(super) fn end(&mut self, ctx: &mut Context<Self>) {
        if let Some(ended) = self.running.take() {
            let timer = ended.timer.map(|(_, handle)| handle);
            for handle in ended
                .watches
                .into_iter()
                .chain(timer)
                .chain(ended.held.wait())
                .chain(ended.journal.asking())
                .chain(ended.memory.looking())
            {
                ctx.cancel_future(handle);
            }
        }
    }

    fn watch_replies(&self, turn: &JobId, ctx: &mut Context<Self>) -> SpawnHandle {
        let inbox = (self.env.routes.open(turn), turn.clone());
        let arrivals = unfold(inbox, |(mut inbox, turn): (Inbox, JobId)| async move {
            let input = inbox.next().await?;
            Some((Arrived(turn.clone(), input), (inbox, turn)))
        });
        ctx.add_stream(arrivals)
    }

    /// A stateless call has no grace: nobody can come back to it. One that is resumed for nobody `waits` for a first reader.
    pub(super) fn watch_readers(&self, log: &TurnLog, waits: bool, ctx: &mut Context<Self>) -> SpawnHandle {
        let grace = if self.is_stateless() { 0 } else { self.env.config.abandon_grace_ms };
        let (job, abandoned) = (log.job().clone(), log.abandoned(Duration::from_millis(grace), waits));
        let watch = abandoned.into_actor(self);
        ctx.spawn(watch.map(move |(), session, ctx| session.abandoned(&job, ctx)))
    }

    /// Nobody reads the turn any more: its work stops, and a session's message is kept until somebody asks for the answer.
    fn abandoned(&mut self, job: &JobId, ctx: &mut Context<Self>) {
        match self.is_stateless() {
            false => self.left(job, ctx),
            true => match self.take_pending(job) {
                Some(waiting) => drop(waiting.log.emit(TurnEvent::Failed(unread()))),
                None => self.feed(job, Input::Abandoned, ctx),
            },
        }
    }

    /// Takes a turn that waits out of its queue.
    pub(super) fn take_pending(&mut self, turn: &JobId) -> Option<Pending> {
        let place = self.pending.iter().position(|pending| pending.log.job() == turn)?;
        self.pending.remove(place)
    }

    /// Ends all turns of the session with `failure`; one that is being stored ends as it would.
    pub(super) fn fail_all(&mut self, failure: &Failure, ctx: &mut Context<Self>) {
        for pending in self.pending.drain(..) {
            pending.log.emit(TurnEvent::Failed(failure.clone()));
        }
        self.parked.clear();
        if let Some(job) = self.running.as_ref().map(|running| running.log.job().clone()) {
            self.feed(&job, Input::Fail(failure.clone()), ctx);
        }
    }
}

/// The name of an earlier message was given to another one.
pub(super) fn another_message() -> Failure {
    let message = "client_message_id names another message of this session; give each message a name of its own";
    Failure::invalid("client_message_id", message)
}

/// What a client is told that asks for a turn which the session does not have.
pub(super) fn no_such_turn() -> Failure {
    Failure::new(ErrorCode::NotFound, "the session has no such turn; GET the session to see its messages")
}

/// What a client is told whose message would have to wait behind too many others.
pub(super) fn too_many_pending(limit: usize) -> Failure {
    let message = format!("{limit} messages of this session are waiting already; await an answer first");
    Failure::new(ErrorCode::Overloaded, message)
}
