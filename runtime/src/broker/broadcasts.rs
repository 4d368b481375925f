//! A bounded buffer of broadcasts for one reader, which loses the oldest when it is slow.

use bytes::Bytes;
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    mpsc,
};

/// Broadcasts that one slow reader may lag behind before it loses the oldest.
pub(super) const LAG: usize = 1024;

/// Hands over what `source` yields until either side ends.
pub(super) fn forward(mut source: Receiver<Bytes>) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let next = tokio::select! { next = source.recv() => next, () = sender.closed() => return };
            let alive = match next {
                Ok(body) => sender.send(body).await.is_ok(),
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "a slow reader lost broadcasts");
                    true
                }
                Err(RecvError::Closed) => false,
            };
            if !alive {
                return;
            }
        }
    });
    receiver
}
