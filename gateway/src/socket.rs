//! `GET /v1/sessions/{id}/ws`: a conversation on one WebSocket.
//!
//! One task per socket reads frames and writes events. Turns that were sent while another runs wait in order; the session
//! bounds how many. Every write has a time limit: a client that takes nothing is cut, and may resume its turns on another
//! connection.

use crate::{
    admission::Permit,
    auth::{self, Caller},
    error::Refusal,
    messages,
    reading::{Reading, Source},
    server::Gateway,
    sessions,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    rt,
    web::{Data, Path, Payload, Query},
};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Closed, ProtocolError, Session};
use futures_util::StreamExt;
use protocol::{ErrorCode, Failure, JobId, SessionId, Submit, TurnEvent};
use runtime::metric;
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::Instrument;

/// The subprotocol of browsers, which cannot send headers: `["frontdesk", "key.<key>"]`.
const PROTOCOL: &str = "frontdesk";
const KEY_PREFIX: &str = "key.";
/// How often the client is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A client that was silent for this long has left.
const PATIENCE: Duration = Duration::from_secs(40);
/// Turns of one socket that wait or run; the session's own bound is lower.
const TURNS_MAX: usize = 16;

/// The route in a message's span.
const ROUTE: &str = "/v1/sessions/{id}/ws";

/// The query of an upgrade.
#[derive(Deserialize)]
pub(crate) struct Access {
    key: Option<String>,
}

/// What a client sends.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum ClientFrame {
    Message(Submit),
    /// Stops a turn; else the one that is read.
    Stop {
        turn: Option<JobId>,
    },
    /// Reads a turn again, after the event `last_seq`; else from its start.
    Resume {
        turn: JobId,
        last_seq: Option<u64>,
    },
}

/// What a client gets.
#[derive(Serialize)]
struct ServerFrame<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Of the message that is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<String>,
    #[serde(flatten)]
    event: &'a TurnEvent,
}

/// The turn could not be found again: another connection may resume it after the event `id`.
#[derive(Serialize)]
#[serde(tag = "type", rename = "moved")]
struct Moved {
    id: String,
}

/// What a refused frame called itself.
#[derive(Deserialize)]
struct Named {
    client_message_id: Option<String>,
}

/// Why a socket ends.
enum End {
    Gone,
    Slow,
    Close(CloseCode, &'static str),
}

/// Upgrades to a WebSocket, once the key and the session are known to be good.
pub(crate) async fn open(
    gateway: Data<Gateway>,
    id: Path<String>,
    access: Query<Access>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let offered = offered_key(&request);
    let key = auth::bearer(&request).or(offered.as_deref()).or(access.key.as_deref());
    let caller = Caller::identify(&request, key).await?;
    let id = sessions::session(id)?;
    gateway.registry.view(caller.tenant(), &id).await?;
    let upgraded = actix_ws::handle_with_protocols(&request, payload, &[PROTOCOL]);
    let (response, session, frames) = upgraded
        .map_err(|error| Failure::new(ErrorCode::InvalidRequest, format!("this path is a WebSocket: {error}")))?;
    let limit = gateway.config.max_body_bytes;
    let frames = frames.max_frame_size(limit).aggregate_continuations().max_continuation_size(limit);
    let socket = Socket { gateway, caller, id, session, turns: VecDeque::new(), heard: Instant::now() };
    rt::spawn(socket.run(frames));
    Ok(response)
}

fn offered_key(request: &HttpRequest) -> Option<String> {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).find_map(|offer| Some(offer.trim().strip_prefix(KEY_PREFIX)?.to_string()))
}

struct Socket {
    gateway: Data<Gateway>,
    caller: Caller,
    id: SessionId,
    session: Session,
    /// The first one is read, the others wait in the session.
    turns: VecDeque<(Reading, Option<Permit>)>,
    heard: Instant,
}

impl Socket {
    async fn run(mut self, mut frames: AggregatedMessageStream) {
        let end = self.serve(&mut frames).await;
        match end {
            End::Gone => {}
            End::Slow => metrics::counter!(metric::READERS_CUT, "over" => "websocket").increment(1),
            End::Close(code, why) => {
                let reason = CloseReason { code, description: Some(why.into()) };
                let _ = tokio::time::timeout(PATIENCE, self.session.close(Some(reason))).await;
            }
        }
    }

    async fn serve(&mut self, frames: &mut AggregatedMessageStream) -> End {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.gateway.context.stop.clone();
        loop {
            let idle = self.turns.is_empty();
            let step = tokio::select! {
                frame = frames.next() => self.hear(frame).await,
                event = next_event(&mut self.turns) => self.tell(event).await,
                _ = beat.tick() => self.beat().await,
                () = stop.cancelled(), if idle => Err(End::Close(CloseCode::Away, "the server stops; connect again")),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn hear(&mut self, frame: Option<Result<AggregatedMessage, ProtocolError>>) -> Result<(), End> {
        self.heard = Instant::now();
        match frame {
            Some(Ok(AggregatedMessage::Text(text))) => match self.obey(text.as_bytes()).await {
                Ok(()) => Ok(()),
                Err(refusal) => self.refuse(text.as_bytes(), refusal.into_failure()).await,
            },
            Some(Ok(AggregatedMessage::Binary(_))) => Err(End::Close(CloseCode::Unsupported, "send text frames")),
            Some(Ok(AggregatedMessage::Ping(payload))) => {
                let patience = self.patience();
                in_time(patience, self.session.pong(&payload)).await
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Ok(()),
            Some(Err(ProtocolError::Overflow)) => Err(End::Close(CloseCode::Size, "the frame is too large")),
            Some(Err(_)) => Err(End::Close(CloseCode::Protocol, "the frame cannot be read")),
            Some(Ok(AggregatedMessage::Close(_))) => Err(End::Close(CloseCode::Normal, "")),
            None => Err(End::Gone),
        }
    }

    async fn obey(&mut self, text: &[u8]) -> Result<(), Refusal> {
        match crate::body::parse(text)? {
            ClientFrame::Message(message) => {
                let span =
                    tracing::info_span!("admission", method = "message", route = ROUTE, tenant = %self.caller.tenant());
                self.submit(message).instrument(span).await
            }
            ClientFrame::Stop { turn } => {
                let turn = turn.as_ref().or_else(|| self.turns.front().map(|(turn, _)| turn.job()));
                Ok(self.gateway.registry.stop(self.caller.tenant(), &self.id, turn).await?)
            }
            ClientFrame::Resume { turn, last_seq } => self.resume(&turn, last_seq).await,
        }
    }

    /// Any number of readers may follow a turn; none of them begins anything.
    async fn resume(&mut self, turn: &JobId, last_seq: Option<u64>) -> Result<(), Refusal> {
        self.gateway.admission.request(self.caller.tenant()).await?;
        let from = last_seq.map_or(0, |seq| seq.saturating_add(1));
        let reading = self.source().follow(turn, from).await?;
        match self.turns.iter_mut().find(|(known, _)| known.job() == turn) {
            Some((known, _)) => *known = reading,
            None => {
                self.has_room()?;
                self.turns.push_back((reading, None));
            }
        }
        Ok(())
    }

    fn has_room(&self) -> Result<(), Failure> {
        if self.turns.len() < TURNS_MAX {
            return Ok(());
        }
        let why = format!("{TURNS_MAX} messages of this connection are waiting; wait for an answer");
        Err(Failure::new(ErrorCode::RateLimited, why))
    }

    fn source(&self) -> Source {
        messages::source(&self.gateway, &self.caller, &self.id)
    }

    fn patience(&self) -> Duration {
        self.gateway.config.slow_reader()
    }

    async fn submit(&mut self, message: Submit) -> Result<(), Refusal> {
        let message = messages::checked(message, self.gateway.registry.config())?;
        self.has_room()?;
        let tenant = self.caller.tenant();
        self.gateway.admission.request(tenant).await?;
        let (reading, permit) = messages::begin(&self.gateway, &self.caller, &self.id, message).await?;
        self.turns.push_back((reading, Some(permit)));
        Ok(())
    }

    async fn tell(&mut self, event: Option<(u64, TurnEvent)>) -> Result<(), End> {
        let Some((turn, permit)) = self.turns.front_mut() else { return Ok(()) };
        if let (Some((_, event)), Some(permit)) = (&event, permit) {
            permit.see(event);
        }
        let job = turn.job().clone();
        let Some((seq, event)) = event else {
            let lost = (!turn.is_over()).then(|| turn.last_seq());
            self.turns.pop_front();
            let Some(last) = lost else { return Ok(()) };
            return self.write(&Moved { id: last.map_or_else(|| job.to_string(), |seq| format!("{job}:{seq}")) }).await;
        };
        if event.is_last() {
            self.turns.pop_front();
        }
        self.write(&ServerFrame { id: Some(format!("{job}:{seq}")), client_message_id: None, event: &event }).await
    }

    async fn refuse(&mut self, frame: &[u8], failure: Failure) -> Result<(), End> {
        let client_message_id = serde_json::from_slice::<Named>(frame).ok().and_then(|named| named.client_message_id);
        self.write(&ServerFrame { id: None, client_message_id, event: &TurnEvent::Failed(failure) }).await
    }

    async fn beat(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > PATIENCE {
            return Err(End::Gone);
        }
        let patience = self.patience();
        in_time(patience, self.session.ping(b"")).await
    }

    async fn write(&mut self, frame: &impl Serialize) -> Result<(), End> {
        let text = serde_json::to_string(frame).unwrap_or_default();
        let patience = self.patience();
        in_time(patience, self.session.text(text)).await
    }
}

/// A write waits while the client has not taken what was written before. The system cuts the connection of one that takes
/// nothing for `patience`, which it counts from a moment before the first write waits.
async fn in_time(patience: Duration, write: impl Future<Output = Result<(), Closed>>) -> Result<(), End> {
    let since = Instant::now();
    match tokio::time::timeout(patience, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Closed)) if since.elapsed() < patience / 2 => Err(End::Gone),
        Ok(Err(Closed)) | Err(_) => Err(End::Slow),
    }
}

/// The next event of the turn that is read; without one, never.
async fn next_event(turns: &mut VecDeque<(Reading, Option<Permit>)>) -> Option<(u64, TurnEvent)> {
    match turns.front_mut() {
        Some((turn, _)) => turn.next().await,
        None => std::future::pending().await,
    }
}
