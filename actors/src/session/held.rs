//! What a running turn holds of the parts that it uses, and how it comes to the engine.

use super::{Session, outbox::Outgoing};
use crate::{
    breaker::{Part, Pass, Verdict},
    env::Env,
    gate::{Claim, Entry, Ticket},
    publish::Job,
    turn::Input,
};
use actix::{ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use protocol::{Failure, InferenceJob, JobId, TenantId, Timestamp, WorkerId};

/// Bytes of a prompt that are as much work as one token of an answer.
const BYTES_PER_COST: usize = 32;

/// Given back when it is dropped.
#[derive(Default)]
pub(super) struct Held {
    search: Option<Pass>,
    inference: Option<Pass>,
    has_asked: bool,
    ticket: Option<Ticket>,
    /// The job that waits for its ticket.
    waiting: Option<(JobId, SpawnHandle)>,
}

impl Held {
    /// Whether the turn may search now.
    pub fn search(&mut self, env: &Env, tenant: &TenantId) -> Result<(), Failure> {
        self.search = None;
        self.search = Some(env.breakers.admit(tenant, Part::Retrieval)?);
        Ok(())
    }

    /// Whether and when the turn may ask the engine. What has begun may always go on.
    fn infer(&mut self, env: &Env, job: &Job<InferenceJob>) -> Result<Entry, Failure> {
        if !std::mem::replace(&mut self.has_asked, true) && job.body.prefix.is_empty() {
            self.inference = Some(env.breakers.admit(&job.tenant, Part::Inference)?);
        }
        let InferenceJob { messages, sampling, priority, weight, .. } = &job.body;
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let cost = u64::from(sampling.max_tokens) + (bytes / BYTES_PER_COST) as u64;
        env.gate.enter(Claim { tenant: job.tenant.clone(), priority: *priority, weight: *weight, cost })
    }

    /// A worker has begun.
    pub fn started(&mut self) {
        self.ticket.iter_mut().for_each(Ticket::started);
    }

    /// How a part did.
    pub fn judge(&mut self, part: Part, verdict: Verdict) {
        let pass = match part {
            Part::Retrieval => self.search.take(),
            Part::Inference => self.inference.take(),
        };
        pass.into_iter().for_each(|pass| pass.settle(verdict));
    }

    /// The wait for a ticket, if there is one.
    pub fn wait(&self) -> Option<SpawnHandle> {
        self.waiting.as_ref().map(|(_, handle)| *handle)
    }
}

impl Session {
    /// Publishes the job, at once if there is room, else when its turn has come.
    pub(super) fn infer(
        &mut self,
        job: Box<Job<InferenceJob>>,
        worker: Option<WorkerId>,
        now: Timestamp,
        ctx: &mut Context<Self>,
    ) -> Option<Input> {
        let running = self.running.as_mut()?;
        running.observed.generation();
        match running.held.infer(&self.env, &job) {
            Err(failure) => return Some(Input::Refused { job: job.id, failure }),
            Ok(Entry::Now(ticket)) => running.held.ticket = Some(ticket),
            Ok(Entry::Later(waiting)) => {
                let id = job.id.clone();
                let wait = waiting.ticket().into_actor(self);
                let handle = ctx.spawn(wait.map(move |ticket, session, ctx| session.enter(job, worker, ticket, ctx)));
                self.running.as_mut()?.held.waiting = Some((id, handle));
                return None;
            }
        }
        self.publish(job, worker, now)
    }

    /// The turn of a job that waited has come.
    fn enter(
        &mut self,
        job: Box<Job<InferenceJob>>,
        worker: Option<WorkerId>,
        ticket: Option<Ticket>,
        ctx: &mut Context<Self>,
    ) {
        let now = self.env.now();
        let Some(running) = self.running.as_mut() else { return };
        if running.held.waiting.take_if(|(waits, _)| *waits == job.id).is_none() {
            return;
        }
        running.held.ticket = ticket;
        let turn = running.log.job().clone();
        match self.publish(job, worker, now) {
            Some(input) => self.feed(&turn, input, ctx),
            None => self.flush(ctx),
        }
    }

    fn publish(&mut self, job: Box<Job<InferenceJob>>, worker: Option<WorkerId>, now: Timestamp) -> Option<Input> {
        let running = self.running.as_mut()?;
        (running.asked, running.sent_to) = (now, worker.clone());
        self.push(Outgoing::Infer(job, worker))
    }

    /// Nobody awaits the job any more; one that waits for its turn was never published.
    pub(super) fn withdraw(&mut self, job: JobId, ctx: &mut Context<Self>) -> Option<Input> {
        let held = &mut self.running.as_mut()?.held;
        if let Some((_, handle)) = held.waiting.take_if(|(waits, _)| *waits == job) {
            ctx.cancel_future(handle);
            return None;
        }
        held.ticket = None;
        self.push(Outgoing::Cancel(job))
    }
}
