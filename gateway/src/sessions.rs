//! `/v1/sessions`: conversations.

use crate::{auth::Caller, body, error::Refusal, server::Gateway};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path, Payload},
};
use protocol::{ErrorCode, Failure, SessionId};
use serde::Deserialize;

/// A session is created without any choice; the object leaves room for one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {}

/// A new session.
pub(crate) async fn create(
    gateway: Data<Gateway>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let bytes = body::read(&request, payload, body::Bounds::json(&gateway.config)).await?;
    if !bytes.is_empty() {
        let Create {} = body::parse(&bytes)?;
    }
    let view = gateway.registry.create(caller.tenant()).await.map_err(|failure| caller.refused(failure))?;
    let location = format!("/v1/sessions/{}", view.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(view))
}

/// A session and its messages.
pub(crate) async fn view(gateway: Data<Gateway>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Refusal> {
    let view = gateway.registry.view(caller.tenant(), &session(id)?).await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// Forgets a session; its running turn is stopped.
pub(crate) async fn delete(gateway: Data<Gateway>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Refusal> {
    gateway.registry.delete(caller.tenant(), &session(id)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The session that a path names; what cannot be an id is no session.
pub(crate) fn session(id: Path<String>) -> Result<SessionId, Failure> {
    named(id.into_inner())
}

/// The session of this name; what cannot be an id is no session.
pub(crate) fn named(id: String) -> Result<SessionId, Failure> {
    SessionId::parse(id).map_err(|_| Failure::new(ErrorCode::SessionNotFound, "there is no such session"))
}
