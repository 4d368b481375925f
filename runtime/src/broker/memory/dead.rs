//! Looking through the dead letters of the embedded broker.

use super::state::{Shared, lock};
use crate::{
    BrokerError,
    broker::{DeadLetter, DeadLetters},
};
use async_trait::async_trait;
use std::sync::{Arc, Weak};

pub(super) struct Reader {
    shared: Weak<Shared>,
    id: u64,
    /// Not seen yet.
    left: usize,
}

impl Reader {
    pub fn open(shared: &Arc<Shared>) -> Result<Self, BrokerError> {
        let taken = || BrokerError::Unavailable("somebody else is looking through the dead letters".into());
        let (id, left) = lock(shared).open_dead_letters().ok_or_else(taken)?;
        Ok(Self { shared: Arc::downgrade(shared), id, left })
    }

    fn take(&mut self) -> Option<DeadLetter> {
        self.left = self.left.checked_sub(1)?;
        lock(&*self.shared.upgrade()?).next_dead_letter(self.id)
    }
}

#[async_trait]
impl DeadLetters for Reader {
    async fn next(&mut self) -> Result<Option<DeadLetter>, BrokerError> {
        Ok(self.take())
    }

    async fn remove(&mut self, letter: &DeadLetter) -> Result<(), BrokerError> {
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared).remove_dead_letter(letter.number);
        }
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl Drop for Reader {
    /// What goes back goes behind what came back earlier, so all of it does.
    fn drop(&mut self) {
        while self.take().is_some() {}
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared).close_dead_letters(self.id);
        }
    }
}
