//! A turn as an event stream (WHATWG HTML §9.2).

use crate::{admission::Permit, config::Config, reading::Reading};
use actix_web::{HttpResponse, http::header, web::Bytes};
use futures_util::stream;
use protocol::TurnEvent;
use runtime::metric;
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

/// A comment, which readers skip: it keeps proxies patient and shows that the client is still there.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
/// Once the answer flows, silence may last this many times longer.
const PATIENCE: u32 = 10;

/// The response's body; dropping it leaves the turn, for which the permit still pays.
struct Body<F> {
    turn: Reading,
    encode: F,
    pulse: Duration,
    flows: bool,
    ended: bool,
    permit: Option<Permit>,
    lag: Lag,
}

/// Since when the reader has had something that it does not take. The server asks for the next piece as soon as there is
/// room for it, and at once after the one before.
struct Lag {
    since: Option<Instant>,
    patience: Duration,
}

impl Drop for Lag {
    fn drop(&mut self) {
        // The system cuts a reader after the patience, which it counts from a moment before the last piece found no room.
        if self.since.is_some_and(|since| since.elapsed() > self.patience / 2) {
            metrics::counter!(metric::READERS_CUT, "over" => "sse").increment(1);
        }
    }
}

/// Answers with the events of `turn`, each written by `encode`, and a comment whenever it is silent for a while.
pub(crate) fn respond<F>(
    turn: impl Into<Reading>,
    permit: impl Into<Option<Permit>>,
    config: &Config,
    encode: F,
) -> HttpResponse
where
    F: FnMut(u64, TurnEvent) -> String + 'static,
{
    let (turn, permit, pulse) = (turn.into(), permit.into(), config.keep_alive());
    let lag = Lag { since: None, patience: config.slow_reader() };
    let body = Body { turn, encode, pulse, flows: false, ended: false, permit, lag };
    let pieces = stream::unfold(body, |mut body| async move {
        body.lag.since = None;
        let piece = body.next().await?;
        body.lag.since = Some(Instant::now());
        Some((Ok::<_, Infallible>(piece), body))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache, no-store"))
        // nginx would otherwise gather the events.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(pieces)
}

impl<F: FnMut(u64, TurnEvent) -> String> Body<F> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let Ok(event) = tokio::time::timeout(self.pulse, self.turn.next()).await else {
            return Some(Bytes::from_static(KEEP_ALIVE));
        };
        // Nothing is to come for a reader that resumed after the last event, or whose turn is lost.
        let (seq, event) = event?;
        if let Some(permit) = &mut self.permit {
            permit.see(&event);
        }
        if matches!(event, TurnEvent::Token { .. } | TurnEvent::Aside { .. })
            && !std::mem::replace(&mut self.flows, true)
        {
            self.pulse *= PATIENCE;
        }
        self.ended = event.is_last();
        Some((self.encode)(seq, event).into())
    }
}
