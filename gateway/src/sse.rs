//! A turn as an event stream (WHATWG HTML §9.2).

use crate::admission::Permit;
use actix_web::{HttpResponse, http::header, web::Bytes};
use actors::TurnStream;
use futures_util::stream;
use protocol::TurnEvent;
use std::{convert::Infallible, time::Duration};

/// A comment, which readers skip: it keeps proxies patient and shows that the client is still there.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
/// Once the answer flows, silence may last this many times longer.
const PATIENCE: u32 = 10;

/// The response's body; dropping it leaves the turn, for which the permit still pays.
struct Body<F> {
    turn: TurnStream,
    encode: F,
    pulse: Duration,
    flows: bool,
    ended: bool,
    permit: Permit,
}

/// Answers with the events of `turn`, each written by `encode`, and a comment whenever it is silent for `pulse`.
pub(crate) fn respond<F>(turn: TurnStream, permit: Permit, pulse: Duration, encode: F) -> HttpResponse
where
    F: FnMut(u64, TurnEvent) -> String + 'static,
{
    let body = Body { turn, encode, pulse, flows: false, ended: false, permit };
    let pieces = stream::unfold(body, |mut body| async move {
        let piece = body.next().await?;
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
        // A reader that resumed after the last event has nothing to come.
        let (seq, event) = event?;
        self.permit.see(&event);
        if matches!(event, TurnEvent::Token { .. } | TurnEvent::Aside { .. })
            && !std::mem::replace(&mut self.flows, true)
        {
            self.pulse *= PATIENCE;
        }
        self.ended = event.is_last();
        Some((self.encode)(seq, event).into())
    }
}
