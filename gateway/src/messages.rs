//! `/v1/sessions/{id}/messages` and `…/turns`: a customer's message, the answer to it, and its end.

use crate::{
    admission::{Permit, Reserve},
    answer::Answer,
    auth::{self, Caller},
    body,
    error::Refusal,
    reading::{Reading, Source},
    server::Gateway,
    sessions, sse,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path, Payload, Query},
};
use protocol::{ErrorCode, Failure, JobId, SessionId, Submit, TurnEvent};
use serde::{Deserialize, Serialize};

const LAST_EVENT_ID: &str = "last-event-id";

/// The answer as one object.
#[derive(Serialize)]
struct Whole<'a> {
    id: &'a JobId,
    #[serde(flatten)]
    answer: Answer,
}

/// The query of a resumed stream; browsers' `EventSource` sends no header but its own.
#[derive(Deserialize)]
pub(crate) struct Place {
    key: Option<String>,
    last_seq: Option<u64>,
}

/// What is to be stopped.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Stop {
    turn: Option<JobId>,
}

/// Streams the answer as events, or gives it whole to a client that accepts only JSON.
pub(crate) async fn submit(
    gateway: Data<Gateway>,
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let session = sessions::session(id)?;
    let resume = last_event_id(&request)?;
    let message = checked(body::json(&request, payload, &gateway.config).await?, gateway.registry.config())?;
    let (mut reading, mut permit) = begin(&gateway, &caller, &session, message).await?;
    if wants_json(&request) {
        let answer = Answer::of(&mut reading, &mut permit).await?;
        return Ok(HttpResponse::Ok().json(Whole { id: reading.job(), answer }));
    }
    if let Some((_, seq)) = resume.filter(|(seen, _)| seen == reading.job()) {
        reading.skip_to(seq.saturating_add(1));
    }
    Ok(stream(&gateway, reading, Some(permit)))
}

/// Streams the events of a turn from a place on, as often as it is asked for.
pub(crate) async fn events(
    gateway: Data<Gateway>,
    path: Path<(String, String)>,
    place: Query<Place>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let caller = Caller::identify(&request, auth::bearer(&request).or(place.key.as_deref())).await?;
    let (session, turn) = path.into_inner();
    let session = sessions::named(session)?;
    let turn = JobId::parse(turn).map_err(|_| Failure::new(ErrorCode::NotFound, "there is no such turn"))?;
    let seen = last_event_id(&request)?.filter(|(job, _)| *job == turn).map(|(_, seq)| seq).or(place.last_seq);
    let from = seen.map_or(0, |seq| seq.saturating_add(1));
    let mut reading = source(&gateway, &caller, &session).follow(&turn, from).await?;
    if from > 0 && reading.is_over() {
        // An `EventSource` connects again when a stream ends, until it is told that there is nothing.
        return Ok(HttpResponse::NoContent().finish());
    }
    Ok(stream(&gateway, reading, None))
}

/// Stops the turn that runs, or the one that the body names.
pub(crate) async fn stop(
    gateway: Data<Gateway>,
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let session = sessions::session(id)?;
    let bytes = body::read(&request, payload, body::Bounds::json(&gateway.config)).await?;
    let stop: Stop = if bytes.is_empty() { Stop::default() } else { body::parse(&bytes)? };
    gateway.registry.stop(caller.tenant(), &session, stop.turn.as_ref()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Admits `message` and begins its turn, or finds the one that runs or has answered it.
pub(crate) async fn begin(
    gateway: &Gateway,
    caller: &Caller,
    session: &SessionId,
    message: Submit,
) -> Result<(Reading, Permit), Refusal> {
    let reserve = Reserve::message(&message, gateway.registry.config());
    let name = message.client_message_id.clone().map(|id| (session.clone(), id));
    let mut permit = gateway.admission.message(caller.tenant(), name.as_ref(), reserve).await?;
    let turn = gateway.registry.submit(caller.tenant(), session, message).await;
    let turn = turn.map_err(|failure| caller.refused(failure))?;
    permit.runs(&turn, name.as_ref());
    Ok((source(gateway, caller, session).reading(turn), permit))
}

/// Where the turns of `caller`'s `session` are found.
pub(crate) fn source(gateway: &Gateway, caller: &Caller, session: &SessionId) -> Source {
    Source { registry: gateway.registry.clone(), tenant: caller.tenant().clone(), session: session.clone() }
}

/// The message, unless there is nothing in it, or a deadline that cannot be kept.
pub(crate) fn checked(message: Submit, config: &actors::Config) -> Result<Submit, Failure> {
    if message.content.trim().is_empty() {
        return Err(Failure::invalid("content", "content is empty: write a message"));
    }
    let most = config.turn_deadline_ms;
    match message.deadline_ms {
        Some(ms) if !(1..=most).contains(&ms) => {
            Err(Failure::invalid("deadline_ms", format!("deadline_ms is {ms}: expected 1 to {most}")))
        }
        _ => Ok(message),
    }
}

fn stream(gateway: &Gateway, reading: Reading, permit: Option<Permit>) -> HttpResponse {
    let job = reading.job().clone();
    sse::respond(reading, permit, &gateway.config, move |seq, event| frame(&job, seq, &event))
}

fn frame(job: &JobId, seq: u64, event: &TurnEvent) -> String {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("event: {}\nid: {job}:{seq}\ndata: {data}\n\n", event.name())
}

fn wants_json(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts = |kind: &str| accept.split([',', ';']).any(|part| part.trim().eq_ignore_ascii_case(kind));
    accepts("application/json") && !accepts("text/event-stream")
}

fn last_event_id(request: &HttpRequest) -> Result<Option<(JobId, u64)>, Failure> {
    let Some(value) = request.headers().get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let place = value.to_str().ok().and_then(|text| text.rsplit_once(':'));
    let place = place.and_then(|(job, seq)| Some((JobId::parse(job).ok()?, seq.parse().ok()?)));
    place.map(Some).ok_or_else(|| Failure::invalid("Last-Event-ID", "expected an event's id, such as job_1f…:7"))
}
