//! A server's answer on its way to the client: whole JSON at once, event streams piece by piece as they come.

use super::{
    meter::Meter,
    pool::Lease,
    trouble::{Trouble, is_the_clients},
    usage::{self, Tail},
};
use crate::error::{self, Refusal};
use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web::Bytes,
};
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::{
    Response,
    body::{Body, Incoming},
};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The largest whole answer.
const WHOLE_MAX: usize = 16 << 20;
/// A comment, which readers skip: it keeps proxies patient and shows that the client is still there.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
const JSON: &str = "application/json";

/// The server's answer with its connection and its meter.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
    pub(super) meter: Meter,
}

impl Answer {
    /// What the client gets; an event stream with a comment whenever it is silent for `pulse`.
    pub(super) async fn relay(self, pulse: Duration) -> Result<HttpResponse, Refusal> {
        let status = self.response.status();
        let kind = self.response.headers().get(hyper::header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        if status == hyper::StatusCode::OK && kind.starts_with("text/event-stream") {
            return Ok(self.stream(pulse));
        }
        let Self { response, lease, mut meter } = self;
        let (head, body) = response.into_parts();
        let read = match status {
            hyper::StatusCode::OK if !kind.starts_with(JSON) => Err(Trouble::Odd("answers in no format of OpenAI's")),
            status if status == hyper::StatusCode::OK || is_the_clients(status) => {
                whole(body, lease.target().silence).await
            }
            status => Err(Trouble::refused(status, &head.headers)),
        };
        let told = read.and_then(|answer| {
            let usage = usage::of_answer(&answer).map_err(|_| Trouble::Odd("does not answer in JSON"))?;
            Ok((answer, usage))
        });
        match told {
            Ok((answer, usage)) => {
                if status == hyper::StatusCode::OK {
                    meter.answered(usage)
                } else {
                    meter.ended(status.as_u16())
                }
                lease.keep();
                Ok(builder(status).content_type(JSON).body(answer))
            }
            Err(trouble) => {
                let refusal = trouble.tell(lease.target());
                meter.ended(refusal.status());
                Err(refusal)
            }
        }
    }

    fn stream(self, pulse: Duration) -> HttpResponse {
        let Self { response, lease, meter } = self;
        let (body, tail, heard) = (response.into_body(), Tail::default(), Instant::now());
        let relay = Relay { body, lease: Some(lease), meter, tail, pulse, heard };
        let pieces = stream::unfold(relay, |mut relay| async move {
            let piece = relay.next().await?;
            Some((piece, relay))
        });
        HttpResponse::Ok()
            .content_type("text/event-stream")
            .insert_header((header::CACHE_CONTROL, "no-cache, no-store"))
            // nginx would otherwise gather the events.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(pieces)
    }
}

fn builder(status: hyper::StatusCode) -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY))
}

/// A body to its end; the usual one comes in one piece, which is not copied.
async fn whole(mut body: Incoming, silence: Duration) -> Result<Bytes, Trouble> {
    let mut all = Bytes::new();
    while !body.is_end_stream() {
        let Some(frame) = timeout(silence, body.frame()).await.map_err(|_| Trouble::Silent)? else { break };
        let Ok(piece) = frame.map_err(Trouble::Broken)?.into_data() else { continue };
        if all.len() + piece.len() > WHOLE_MAX {
            return Err(Trouble::Odd("gives an answer that is too large"));
        }
        all = if all.is_empty() { piece } else { [&all[..], &piece[..]].concat().into() };
    }
    Ok(all)
}

/// An event stream; dropping it (the client left) closes the server's connection.
struct Relay {
    body: Incoming,
    /// `None`: the stream has ended.
    lease: Option<Lease>,
    meter: Meter,
    tail: Tail,
    pulse: Duration,
    heard: Instant,
}

impl Relay {
    /// The error cuts the client's connection: the server broke off within an event.
    async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let silence = self.lease.as_ref()?.target().silence;
            let trouble = match timeout(self.pulse.min(silence), self.body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => return Some(Ok(self.hear(piece))),
                    Err(_) => continue,
                },
                Ok(None) => return self.end(),
                Ok(Some(Err(error))) => Trouble::Broken(error),
                Err(_) if self.heard.elapsed() >= silence => Trouble::Silent,
                Err(_) if self.tail.is_between_events() => return Some(Ok(Bytes::from_static(KEEP_ALIVE))),
                Err(_) => continue,
            };
            return self.fail(trouble);
        }
    }

    fn hear(&mut self, piece: Bytes) -> Bytes {
        self.heard = Instant::now();
        self.tail.push(&piece);
        self.meter.see(usage::events(&piece));
        piece
    }

    fn end(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        self.meter.answered(self.tail.usage());
        self.lease.take()?.keep();
        None
    }

    /// Between two events there is room for one that tells what happened.
    fn fail(&mut self, trouble: Trouble) -> Option<Result<Bytes, hyper::Error>> {
        let lease = self.lease.take()?;
        match trouble {
            Trouble::Broken(error) if !self.tail.is_between_events() => {
                self.meter.ended(502);
                Some(Err(error))
            }
            trouble => {
                let refusal = trouble.tell(lease.target());
                self.meter.ended(refusal.status());
                let object = error::object(&refusal.into_failure());
                Some(Ok(format!("data: {object}\n\n").into()))
            }
        }
    }
}
