//! Which publications were confirmed, refused or returned.
//!
//! lapin hands a returned message to whichever confirm it handles next, not to the one of that message, so the message's
//! own id decides. A confirm that carries nothing is certain: nothing was waiting then, so had its message been returned,
//! an earlier confirm would have carried it. One that carries another's message is uncertain until a later confirm
//! carries nothing, or none is awaited.

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{Confirmation, PublisherConfirm, message::BasicReturnMessage};
use std::collections::HashSet;

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    Refused,
    Returned,
}

/// A confirm: whose it is, whether the broker took the message, and which message it carries back.
struct Confirm {
    id: u64,
    taken: bool,
    carried: Option<u64>,
}

#[derive(Default)]
struct Ledger {
    returned: HashSet<u64>,
    uncertain: Vec<u64>,
}

impl Ledger {
    /// Settles what a batch of confirms makes certain; `last`: no other confirm is awaited.
    fn settle(&mut self, batch: Vec<Confirm>, last: bool) -> Vec<(u64, Fate)> {
        self.returned.extend(batch.iter().filter_map(|confirm| confirm.carried));
        let clear = last || batch.iter().any(|confirm| confirm.carried.is_none());
        let mut fates = Vec::new();
        for id in std::mem::take(&mut self.uncertain) {
            self.decide(id, clear, &mut fates);
        }
        for confirm in batch {
            if !confirm.taken {
                self.returned.remove(&confirm.id);
                fates.push((confirm.id, Fate::Refused));
            } else {
                self.decide(confirm.id, last || confirm.carried.is_none(), &mut fates);
            }
        }
        fates
    }

    fn decide(&mut self, id: u64, certain: bool, fates: &mut Vec<(u64, Fate)>) {
        if self.returned.remove(&id) {
            fates.push((id, Fate::Returned));
        } else if certain {
            fates.push((id, Fate::Taken));
        } else {
            self.uncertain.push(id);
        }
    }
}

/// The confirms that one channel awaits.
#[derive(Default)]
pub(super) struct Confirms {
    awaited: FuturesUnordered<BoxFuture<'static, (u64, lapin::Result<Confirmation>)>>,
    ledger: Ledger,
}

impl Confirms {
    pub fn push(&mut self, id: u64, confirm: PublisherConfirm) {
        self.awaited.push(confirm.map(move |result| (id, result)).boxed());
    }

    pub fn is_empty(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Waits for at least one confirm and takes all there are; an error means that the channel broke.
    pub async fn next(&mut self) -> lapin::Result<Vec<(u64, Fate)>> {
        let mut batch = Vec::new();
        let mut next = self.awaited.next().await;
        while let Some((id, confirmation)) = next {
            let confirmation = confirmation?;
            let taken = !confirmation.is_nack();
            batch.push(Confirm { id, taken, carried: confirmation.take_message().as_ref().and_then(id_of) });
            next = self.awaited.next().now_or_never().flatten();
        }
        Ok(self.ledger.settle(batch, self.awaited.is_empty()))
    }
}

fn id_of(message: &BasicReturnMessage) -> Option<u64> {
    message.delivery.properties.message_id().as_ref()?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Confirm, Fate, Ledger};

    fn confirm(id: u64, carried: Option<u64>) -> Confirm {
        Confirm { id, taken: true, carried }
    }

    #[test]
    fn a_returned_message_counts_against_its_own_publication_only() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.settle(vec![confirm(1, Some(2))], false), [], "1 may have been returned too");
        assert_eq!(ledger.settle(vec![confirm(2, None)], false), [(1, Fate::Taken), (2, Fate::Returned)]);
    }

    #[test]
    fn two_returns_whose_confirms_swap_are_both_noticed() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.settle(vec![confirm(2, Some(1))], false), []);
        assert_eq!(ledger.settle(vec![confirm(1, Some(2))], true), [(2, Fate::Returned), (1, Fate::Returned)]);
    }

    #[test]
    fn a_refused_message_is_neither_taken_nor_returned() {
        let refused = Confirm { id: 7, taken: false, carried: None };
        assert_eq!(Ledger::default().settle(vec![refused], true), [(7, Fate::Refused)]);
    }
}
