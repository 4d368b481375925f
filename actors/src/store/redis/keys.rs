//! The keys of a session, and how scripts get them.

use crate::store::{Member, SessionKey};
use redis::{Script, ScriptInvocation};

/// The keys of one session.
pub(super) struct Keys {
    pub session: String,
    pub open: String,
    pub shown: String,
}

impl Keys {
    pub fn of(key: &SessionKey) -> Self {
        let session = format!("fd:{{{key}}}");
        Self { open: format!("{session}:open"), shown: format!("{session}:shown"), session }
    }

    /// A call of `script` with all three keys.
    pub fn all<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.key(&self.session);
        call.key(&self.open).key(&self.shown);
        call
    }
}

/// The set of all members that live, or that left open messages behind.
pub(super) const MEMBERS: &str = "fd:members";

/// Is there while the member lives.
pub(super) fn lease(member: &Member) -> String {
    format!("fd:member:{{{member}}}")
}

/// A hash of the sessions that the member owns and that have open messages, with the turn that was accepted last.
pub(super) fn index(member: &Member) -> String {
    format!("fd:member:{{{member}}}:open")
}
