//! `/v1/knowledge`: the versions of a tenant's knowledge, and what it does not answer.

use crate::{
    auth::Caller,
    body,
    documents::{ask, permit, unexpected},
    error::Refusal,
    server::Gateway,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload, Query},
};
use protocol::{Event, Failure, KnowledgeJob, KnowledgeVersion, Timestamp};
use serde::Deserialize;
use serde_json::json;

/// Which version is served again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// Absent: the one before the served one.
    #[serde(default)]
    to: Option<KnowledgeVersion>,
}

/// Up to when questions were seen.
#[derive(Deserialize)]
pub(crate) struct Seen {
    until: Option<u64>,
}

/// The versions that are kept.
pub(crate) async fn versions(gateway: Data<Gateway>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let _permit = permit(&gateway, &caller).await?;
    answer(ask(&gateway, &caller, KnowledgeJob::Versions).await?)
}

/// Serves an earlier version again.
pub(crate) async fn rollback(
    gateway: Data<Gateway>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let Rollback { to } = body::json(&request, payload, &gateway.config).await?;
    let _permit = permit(&gateway, &caller).await?;
    answer(ask(&gateway, &caller, KnowledgeJob::Rollback { to }).await?)
}

/// Builds the index anew; the versions tell when it is done.
pub(crate) async fn rebuild(gateway: Data<Gateway>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let _permit = permit(&gateway, &caller).await?;
    let begun = gateway.registry.rebuild(caller.tenant()).await;
    begun.map_err(|failure| caller.refused(failure))?;
    Ok(HttpResponse::Accepted().json(json!({"status": "the knowledge is being rebuilt; GET /v1/knowledge/versions"})))
}

/// Questions that the knowledge did not answer.
pub(crate) async fn unanswered(gateway: Data<Gateway>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let _permit = permit(&gateway, &caller).await?;
    answer(ask(&gateway, &caller, KnowledgeJob::Unanswered).await?)
}

/// Forgets those up to an instant.
pub(crate) async fn dismiss(
    gateway: Data<Gateway>,
    caller: Caller,
    seen: Query<Seen>,
) -> Result<HttpResponse, Refusal> {
    let advice = "expected ?until=<milliseconds since 1970>, such as the `last` of the latest question that was seen";
    let until = seen.into_inner().until.map(Timestamp).ok_or_else(|| Failure::invalid("until", advice))?;
    let _permit = permit(&gateway, &caller).await?;
    answer(ask(&gateway, &caller, KnowledgeJob::Dismiss { until }).await?)
}

fn answer(event: Event) -> Result<HttpResponse, Refusal> {
    match event {
        Event::Versions { versions } => Ok(HttpResponse::Ok().json(json!({"data": versions}))),
        Event::Unanswered { questions } => Ok(HttpResponse::Ok().json(json!({"data": questions}))),
        other => Err(unexpected(other)),
    }
}
