//! `POST /v1/sessions/{id}/messages`: a customer's message and the answer to it.

use crate::{admission::Reserve, answer::Answer, auth::Caller, body, error::Refusal, server::Gateway, sessions, sse};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path, Payload},
};
use protocol::{Failure, JobId, Submit, TurnEvent};
use serde::Serialize;

const LAST_EVENT_ID: &str = "last-event-id";

/// The answer as one object.
#[derive(Serialize)]
struct Whole<'a> {
    id: &'a JobId,
    #[serde(flatten)]
    answer: Answer,
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
    let message = checked(body::json(&request, payload, &gateway.config).await?)?;
    let reserve = Reserve::message(&message, gateway.registry.config());
    let mut permit = gateway.admission.turn(caller.tenant(), reserve).await?;
    let mut turn =
        gateway.registry.submit(caller.tenant(), &session, message).await.map_err(|failure| caller.refused(failure))?;
    permit.runs(&turn);
    if wants_json(&request) {
        let answer = Answer::of(&mut turn, &mut permit).await?;
        return Ok(HttpResponse::Ok().json(Whole { id: turn.job(), answer }));
    }
    let job = turn.job().clone();
    if let Some((_, seq)) = resume.filter(|(seen, _)| *seen == job) {
        turn.skip_to(seq.saturating_add(1));
    }
    Ok(sse::respond(turn, permit, gateway.config.keep_alive(), move |seq, event| frame(&job, seq, &event)))
}

/// The message, unless there is nothing in it.
pub(crate) fn checked(message: Submit) -> Result<Submit, Failure> {
    if message.content.trim().is_empty() {
        return Err(Failure::invalid("content", "content is empty: write a message"));
    }
    Ok(message)
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
