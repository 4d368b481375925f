//! Settles with the store in the background what need not be settled at once.

use super::{Desk, meter::Meter};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

const SWEEP: Duration = Duration::from_millis(500);
/// Between two sweeps that were asked for.
const PAUSE: Duration = Duration::from_millis(10);

/// The tenants that came into use, each once.
#[derive(Default)]
pub(super) struct Keeper {
    news: Mutex<Vec<Arc<Meter>>>,
    hurry: Notify,
}

impl Keeper {
    /// `meter` is in use.
    pub(super) fn note(&self, meter: &Arc<Meter>) {
        if meter.is_news() {
            self.news.lock().unwrap_or_else(PoisonError::into_inner).push(meter.clone());
        }
    }

    /// Somebody may wait for what this node does not use.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Looks after `desk` for ever.
    pub(super) async fn run(desk: Arc<Desk>) {
        let keeper = &desk.keeper;
        let mut kept = Vec::new();
        loop {
            let _ = timeout(SWEEP, keeper.hurry.notified()).await;
            kept.append(&mut keeper.news.lock().unwrap_or_else(PoisonError::into_inner));
            for meter in &kept {
                meter.sweep(&desk.store, &desk.node, false).await;
            }
            kept.retain(|meter| meter.is_busy());
            sleep(PAUSE).await;
        }
    }
}
