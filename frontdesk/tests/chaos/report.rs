//! What a run says at its end.

use crate::{
    checker::Violation,
    faults, meddle,
    record::{Conversation, Message},
};
use protocol::TurnEvent;
use std::{collections::BTreeMap, fmt, sync::atomic::Ordering};

/// Violations of one promise that are shown.
const SHOWN: usize = 5;

pub struct Report<'a> {
    pub counts: &'a faults::Counts,
    pub meddled: &'a meddle::Counts,
    /// Messages that their customers sent again after they had left.
    pub repeats: u64,
    pub book: &'a [Conversation],
    pub violations: &'a [Violation],
}

impl Report<'_> {
    fn count(&self, is: impl Fn(&Message) -> bool) -> usize {
        self.book.iter().flat_map(|conversation| &conversation.messages).filter(|message| is(message)).count()
    }

    fn sum(&self, of: impl Fn(&Message) -> u64) -> u64 {
        self.book.iter().flat_map(|conversation| &conversation.messages).map(of).sum()
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults:")?;
        for (fault, count) in self.counts {
            writeln!(f, "  {fault:?}: {count}")?;
        }
        let meddled = [
            ("jobs sent twice", &self.meddled.jobs),
            ("batches of frames sent twice, late", &self.meddled.frames),
            ("messages between gateways sent twice", &self.meddled.peers),
            ("frames ahead of their time", &self.meddled.ahead),
        ];
        for (what, count) in meddled {
            writeln!(f, "  {what}: {}", count.load(Ordering::Relaxed))?;
        }
        let figures = [
            ("conversations", self.book.len() as u64),
            ("messages", self.count(|_| true) as u64),
            ("accepted", self.count(|message| message.accepted.is_some()) as u64),
            ("answered to their customer", self.count(|message| message.finished().is_some()) as u64),
            (
                "without the model",
                self.count(|message| message.finished().is_some_and(|(.., is_degraded)| is_degraded)) as u64,
            ),
            ("of customers who left", self.count(|message| message.left) as u64),
            ("of them sent again in the end", self.repeats),
            ("streams read again", self.sum(|message| (message.views.len() as u64).saturating_sub(1))),
            ("resumed in the middle", self.sum(|m| m.views.iter().filter(|view| view.after.is_some()).count() as u64)),
            ("requests refused or failed", self.sum(|message| message.refusals)),
            ("reads", self.book.iter().map(|conversation| conversation.reads.len() as u64).sum()),
        ];
        for (what, figure) in figures {
            writeln!(f, "{what}: {figure}")?;
        }
        let stays = self.book.iter().flat_map(|conversation| &conversation.messages).filter(|message| !message.left);
        let mut waits: Vec<_> = stays.map(|message| message.took).collect();
        waits.sort_unstable();
        for (what, of_hundred) in [("half", 50), ("95 of 100", 95), ("all", 100)] {
            let last = (waits.len() * of_hundred).div_ceil(100).checked_sub(1);
            let wait = last.and_then(|last| waits.get(last)).copied().unwrap_or_default();
            writeln!(f, "{what} of the answers within {:.1} s", wait.as_secs_f32())?;
        }
        let mut codes = BTreeMap::new();
        for seen in self.book.iter().flat_map(|conversation| &conversation.messages).flat_map(Message::events) {
            if let TurnEvent::Failed(failure) = &seen.event {
                *codes.entry(failure.code.name()).or_insert(0) += 1;
            }
        }
        writeln!(f, "failures told: {codes:?}")?;
        let mut kinds = BTreeMap::new();
        self.violations.iter().for_each(|violation| *kinds.entry(violation.promise).or_insert(0) += 1);
        writeln!(f, "violations: {} {kinds:?}", self.violations.len())?;
        for promise in kinds.keys() {
            let broken = self.violations.iter().filter(|violation| violation.promise == *promise);
            broken.take(SHOWN).try_for_each(|violation| writeln!(f, "  {violation:.600}"))?;
        }
        Ok(())
    }
}
