//! `GET /v1/sessions/{id}/ws`: a conversation on one WebSocket.
//!
//! One task per socket reads frames and writes events. Turns that were sent while another runs wait in order; the session
//! bounds how many. Every write has a time limit, so a client that reads nothing cannot hold a turn for ever.

use crate::{
    admission::{Permit, Reserve},
    auth::{self, Caller},
    error::Refusal,
    messages,
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
use actors::TurnStream;
use futures_util::StreamExt;
use protocol::{ErrorCode, Failure, SessionId, Submit, TurnEvent};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::Instrument;

/// The subprotocol of browsers, which cannot send headers: `["frontdesk", "key.<key>"]`.
const PROTOCOL: &str = "frontdesk";
const KEY_PREFIX: &str = "key.";
/// How often the client is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A client that was silent or read nothing for this long has left.
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
    Stop {},
}

/// What a client gets.
#[derive(Serialize)]
struct ServerFrame<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(flatten)]
    event: &'a TurnEvent,
}

/// Why a socket ends.
enum End {
    Gone,
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
    turns: VecDeque<(TurnStream, Permit)>,
    heard: Instant,
}

impl Socket {
    async fn run(mut self, mut frames: AggregatedMessageStream) {
        let end = self.serve(&mut frames).await;
        if let End::Close(code, why) = end {
            let reason = CloseReason { code, description: Some(why.into()) };
            let _ = tokio::time::timeout(PATIENCE, self.session.close(Some(reason))).await;
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
                Err(refusal) => self.send(None, &TurnEvent::Failed(refusal.into_failure())).await,
            },
            Some(Ok(AggregatedMessage::Binary(_))) => Err(End::Close(CloseCode::Unsupported, "send text frames")),
            Some(Ok(AggregatedMessage::Ping(payload))) => in_time(self.session.pong(&payload)).await,
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
            ClientFrame::Stop {} => {
                let turn = self.turns.front().map(|(turn, _)| turn.job());
                Ok(self.gateway.registry.stop(self.caller.tenant(), &self.id, turn).await?)
            }
        }
    }

    async fn submit(&mut self, message: Submit) -> Result<(), Refusal> {
        let message = messages::checked(message)?;
        if self.turns.len() >= TURNS_MAX {
            let why = format!("{TURNS_MAX} messages of this connection are waiting; wait for an answer");
            return Err(Failure::new(ErrorCode::RateLimited, why).into());
        }
        if self.gateway.context.stop.is_cancelled() {
            return Err(Failure::new(ErrorCode::Unavailable, "the server stops; connect again").into());
        }
        let tenant = self.caller.tenant();
        self.gateway.admission.request(tenant).await?;
        let reserve = Reserve::message(&message, self.gateway.registry.config());
        let mut permit = self.gateway.admission.turn(tenant, reserve).await?;
        let turn = self
            .gateway
            .registry
            .submit(tenant, &self.id, message)
            .await
            .map_err(|failure| self.caller.refused(failure))?;
        permit.runs(&turn);
        self.turns.push_back((turn, permit));
        Ok(())
    }

    async fn tell(&mut self, event: Option<(u64, TurnEvent)>) -> Result<(), End> {
        let job = self.turns.front().map(|(turn, _)| turn.job().clone());
        if let (Some((_, event)), Some((_, permit))) = (&event, self.turns.front_mut()) {
            permit.see(event);
        }
        let ended = event.as_ref().is_none_or(|(_, event)| event.is_last());
        if ended {
            self.turns.pop_front();
        }
        match (event, job) {
            (Some((seq, event)), Some(job)) => self.send(Some(format!("{job}:{seq}")), &event).await,
            _ => Ok(()),
        }
    }

    async fn beat(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > PATIENCE {
            return Err(End::Gone);
        }
        in_time(self.session.ping(b"")).await
    }

    async fn send(&mut self, id: Option<String>, event: &TurnEvent) -> Result<(), End> {
        let text = serde_json::to_string(&ServerFrame { id, event }).unwrap_or_default();
        in_time(self.session.text(text)).await
    }
}

async fn in_time(write: impl Future<Output = Result<(), Closed>>) -> Result<(), End> {
    match tokio::time::timeout(PATIENCE, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Closed)) | Err(_) => Err(End::Gone),
    }
}

/// The next event of the turn that is read; without one, never.
async fn next_event(turns: &mut VecDeque<(TurnStream, Permit)>) -> Option<(u64, TurnEvent)> {
    match turns.front_mut() {
        Some((turn, _)) => turn.next().await,
        None => std::future::pending().await,
    }
}
