//! Taking a session: its state, and the messages that its last owner left open.

use super::{
    Hold, Kept, Refusal, Session, not_found,
    open::{self, Open, Seen},
    parked::Parked,
    store_failure,
};
use crate::{
    SessionView,
    env::Env,
    state,
    store::{Claim, Fence, Record, SessionKey, StoreError, record},
};
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use protocol::{ErrorCode, Failure};
use std::time::Duration;

/// An actor without a session answers for this long, so that those who wait for it learn why.
const LINGER: Duration = Duration::from_millis(200);
/// How often a claim looks anew when the owner changes meanwhile.
const LOOKS: usize = 4;

impl Session {
    pub(super) fn claim(&mut self, ctx: &mut Context<Self>) {
        let (env, key) = (self.env.clone(), self.key().clone());
        let claim = async move { claim(&env, &key).await };
        ctx.wait(claim.into_actor(self).map(|claimed, session, ctx| session.claimed(claimed, ctx)));
    }

    fn claimed(&mut self, claimed: Result<Record, Refusal>, ctx: &mut Context<Self>) {
        if let Err(refusal) = claimed.and_then(|record| self.take(record, ctx)) {
            self.broken = Some(refusal);
            ctx.run_later(LINGER, |session, ctx| session.leave(ctx));
        }
    }

    fn take(&mut self, record: Record, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        let (view, served) = state::decode(&record.state).map_err(|error| unreadable(self.key(), &error))?;
        let Some(by) = record.owner else { return Err(Refusal::Gone) };
        let open = open::in_order(record.open.values());
        self.next_place = open.last().map_or(0, |open| open.place + 1);
        let (open, surplus) = unanswered(&view, open);
        let hold = Hold { fence: Fence { by, epoch: record.version.epoch }, write: record.version.write };
        self.kept = Some(Kept { view, served, hold: Some(hold) });
        surplus.into_iter().for_each(|open| self.close(open.turn, ctx));
        let shown = record.shown;
        self.parked.extend(open.into_iter().map(|open| {
            let shown = shown.as_ref().filter(|shown| shown.turn == open.turn);
            let seen = shown.map(|shown| Seen::decode_all(&shown.events)).unwrap_or_default();
            let tokens = seen.last().map_or(0, |seen| seen.tokens);
            Parked { open, shown: seen.into_iter().map(|seen| seen.event).collect(), tokens, failures: 0 }
        }));
        Ok(())
    }
}

/// Those that are to be answered, and those that were answered already or are an earlier copy of another: of two copies the
/// client knows the later one, since the earlier was refused in doubt.
fn unanswered(view: &SessionView, open: Vec<Open>) -> (Vec<Open>, Vec<Open>) {
    let name = |open: &Open| open.submit.client_message_id.clone();
    record::unanswered(open, name, |name| view.answer_to(name).is_some())
}

/// Claims for this node what nobody owns who lives.
async fn claim(env: &Env, key: &SessionKey) -> Result<Record, Refusal> {
    let failed = |error: StoreError| Refusal::Failed(store_failure(&error));
    let Some(me) = env.lease.member() else { return Err(Refusal::Failed(no_lease())) };
    let mut dead = None;
    for _ in 0..LOOKS {
        let claimed = env.store.claim(key, &me, dead.as_ref()).await.map_err(failed)?;
        match claimed {
            None => return Err(Refusal::Failed(not_found())),
            Some(Claim::Owned(record)) => return Ok(record),
            Some(Claim::Held(owner)) if env.store.is_alive(&owner).await.map_err(failed)? => {
                return Err(Refusal::Elsewhere(owner));
            }
            Some(Claim::Held(owner)) => dead = Some(owner),
        }
    }
    Err(Refusal::Gone)
}

fn no_lease() -> Failure {
    let message = "this node has lost the session store and serves no sessions until it is back; try again shortly";
    Failure::new(ErrorCode::Unavailable, message)
}

fn unreadable(key: &SessionKey, error: &str) -> Refusal {
    tracing::error!(session = %key.session, tenant = %key.tenant, error, "a stored session cannot be read");
    Failure::new(ErrorCode::Internal, "the stored session cannot be read by this version").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{ClientMessageId, JobId, SessionId, Submit, Timestamp};

    #[test]
    fn of_two_copies_of_a_message_the_later_is_answered_and_the_order_stays() {
        let open = |turn: &str, place, name: Option<&str>| {
            let client_message_id = name.map(|name| ClientMessageId::parse(name).unwrap());
            let submit =
                Submit { content: turn.into(), client_message_id, lang: None, replace: false, deadline_ms: None };
            Open::new(JobId::parse(turn).unwrap(), place, Timestamp(0), submit)
        };
        let view = SessionView::new(SessionId::parse("s").unwrap(), Timestamp(0));
        let given = vec![open("a", 0, Some("m1")), open("b", 1, None), open("c", 2, Some("m1")), open("d", 3, None)];
        let (kept, surplus) = unanswered(&view, given);
        let turns = |of: &[Open]| of.iter().map(|open| open.turn.to_string()).collect::<Vec<_>>();
        assert_eq!((turns(&kept), turns(&surplus)), (vec!["b".into(), "c".into(), "d".into()], vec!["a".to_string()]));
    }
}
