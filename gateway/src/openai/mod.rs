//! `/v1/chat/completions` and `/v1/models`, in OpenAI's wire format.

mod logprobs;
mod messages;
mod parameters;
mod request;
mod response;
mod response_format;
mod sampling;
mod stream;
mod tools;

use crate::{
    Config, admission::Reserve, answer::Answer, auth::Caller, body, error::Refusal, passthrough::Upstreams,
    server::Gateway, sse,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path, Payload},
};
use actors::{Completion, TurnStream};
use protocol::{ErrorCode, Failure, TurnEvent};
use request::Request;
use response::Head;
use serde_json::{Value, json};
use std::time::Duration;

/// The model that answers as the tenant's assistant, with its knowledge.
pub(crate) const ASSISTANT: &str = "frontdesk";
/// The header with the client's deadline in milliseconds; OpenAI's body has no field for it.
const DEADLINE: &str = "x-deadline-ms";

/// Answers a conversation, streamed or whole.
pub(crate) async fn complete(
    gateway: Data<Gateway>,
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let body = body::json_bytes(&request, payload, &gateway.config).await?;
    if let Some(upstream) = upstreams.of(&body) {
        return upstream.complete(&gateway, &caller, &request, body).await;
    }
    let asked = Request::read(&body)?;
    let knowledge = knows(&gateway.config.model, &asked.model)?;
    let (stream, include_usage, logprobs) = (asked.stream, asked.include_usage, asked.logprobs);
    let (model, deadline_ms) = (asked.model.clone(), deadline_ms(&request)?);
    let completion = Completion { deadline_ms, ..asked.into_completion(knowledge)? };
    let reserve = Reserve::completion(&completion, gateway.registry.config());
    let mut permit = gateway.admission.turn(caller.tenant(), reserve).await?;
    let turn =
        gateway.registry.complete(caller.tenant(), completion).await.map_err(|failure| caller.refused(failure))?;
    permit.runs(&turn, None);
    let head = Head { job: turn.job().clone(), created: gateway.context.clock.now().0 / 1_000, model };
    if !stream {
        let answer = Answer::of(&mut turn.into(), &mut permit).await?;
        return Ok(HttpResponse::Ok().json(response::completion(&head, &answer, logprobs)));
    }
    let pulse = gateway.config.keep_alive();
    early_failure(&turn, pulse).await.map_err(|failure| caller.refused(failure))?;
    let mut chunks = stream::Chunks::new(head, include_usage);
    Ok(sse::respond(turn, permit, &gateway.config, move |_, event| chunks.encode(event)))
}

/// After how many milliseconds the answer is of no use to the client, if its header says so.
fn deadline_ms(request: &HttpRequest) -> Result<Option<u64>, Failure> {
    let Some(value) = request.headers().get(DEADLINE) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|ms| *ms > 0);
    parsed.map(Some).ok_or_else(|| Failure::invalid(DEADLINE, "expected milliseconds, at least 1, such as 10000"))
}

/// The models this gateway offers.
pub(crate) async fn models(gateway: Data<Gateway>, _caller: Caller) -> HttpResponse {
    let data: Vec<_> = names(&gateway.config).map(entry).collect();
    HttpResponse::Ok().json(json!({"object": "list", "data": data}))
}

/// One of them.
pub(crate) async fn model(
    gateway: Data<Gateway>,
    _caller: Caller,
    name: Path<String>,
) -> Result<HttpResponse, Refusal> {
    if names(&gateway.config).all(|offered| offered != name.as_str()) {
        return Err(unknown(&name).into());
    }
    Ok(HttpResponse::Ok().json(entry(&name)))
}

/// Every model by its name.
fn names(config: &Config) -> impl Iterator<Item = &str> {
    let own = [ASSISTANT, config.model.as_str()].into_iter().filter(|name| !name.is_empty());
    own.chain(config.upstreams.iter().map(|upstream| upstream.model.as_str()))
}

fn entry(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "frontdesk"})
}

/// Whether the model that `asked` names answers with the tenant's knowledge.
fn knows(bare: &str, asked: &str) -> Result<bool, Failure> {
    match asked {
        ASSISTANT => Ok(true),
        name if !name.is_empty() && name == bare => Ok(false),
        _ => Err(unknown(asked)),
    }
}

fn unknown(asked: &str) -> Failure {
    let shown: String = asked.chars().take(100).collect();
    let message = format!("there is no model {shown:?}; GET /v1/models lists them");
    Failure { code: ErrorCode::ModelNotFound, message, param: Some("model".into()) }
}

/// A turn that fails at once fails with its own status, so that clients repeat what is worth repeating; after `pulse` the
/// stream must begin.
async fn early_failure(turn: &TurnStream, pulse: Duration) -> Result<(), Failure> {
    let mut ahead = turn.clone();
    let news = async {
        loop {
            match ahead.next().await {
                Some((_, TurnEvent::Retrieved { .. })) => {}
                Some((_, TurnEvent::Failed(failure))) => return Err(failure),
                _ => return Ok(()),
            }
        }
    };
    tokio::time::timeout(pulse, news).await.unwrap_or(Ok(()))
}
