//! What a role is handed besides its own configuration.

use crate::{Broker, Clock, Health, Random};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The process's shared parts; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Where jobs and replies go.
    pub broker: Arc<dyn Broker>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives ids and seeds.
    pub random: Arc<dyn Random>,
    /// Where a part says whether it can do its work.
    pub health: Health,
    /// Cancelled when the process is to stop: finish or hand back work, then return.
    pub stop: CancellationToken,
}
