//! `/v1/ingests`: documents that are served together once all of them are read.

use crate::{
    auth::Caller,
    body,
    documents::{Taken, Upload, ask, permit, take, unexpected},
    error::Refusal,
    server::Gateway,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path, Payload, Query},
};
use protocol::{ErrorCode, Event, Failure, IngestId, IngestReport, KnowledgeJob};
use serde::Deserialize;

/// How an ingest is published.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    /// Whether documents that it does not name are removed.
    #[serde(default)]
    remove_others: bool,
}

/// Which page of a report.
#[derive(Deserialize)]
pub(crate) struct Page {
    after: Option<String>,
}

/// Begins an ingest.
pub(crate) async fn begin(gateway: Data<Gateway>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let _permit = permit(&gateway, &caller).await?;
    let ingest = IngestId::from_uuid(gateway.context.random.uuid());
    Ok(HttpResponse::Created().json(report(&gateway, &caller, KnowledgeJob::Begin { ingest }).await?))
}

/// Reads one more document; tells what became of it, also if that is a failure.
pub(crate) async fn put(
    gateway: Data<Gateway>,
    caller: Caller,
    id: Path<String>,
    query: Query<Upload>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let ingest = Some(ingest(id)?);
    let _permit = permit(&gateway, &caller).await?;
    let Taken { name, format, original } = take(&gateway, &caller, query.into_inner(), &request, payload).await?;
    let mut report = report(&gateway, &caller, KnowledgeJob::Add { name, format, original, ingest }).await?;
    let outcome = report.documents.pop().ok_or_else(|| crate::error::internal("an answer without a document"))?;
    Ok(HttpResponse::Ok().json(outcome))
}

/// Serves the ingest's documents.
pub(crate) async fn publish(
    gateway: Data<Gateway>,
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let ingest = ingest(id)?;
    let Publish { remove_others } = body::json(&request, payload, &gateway.config).await?;
    let _permit = permit(&gateway, &caller).await?;
    let job = KnowledgeJob::Publish { ingest, remove_others };
    Ok(HttpResponse::Ok().json(report(&gateway, &caller, job).await?))
}

/// How far it is, and a page of its documents.
pub(crate) async fn view(
    gateway: Data<Gateway>,
    caller: Caller,
    id: Path<String>,
    page: Query<Page>,
) -> Result<HttpResponse, Refusal> {
    let (ingest, after) = (ingest(id)?, page.into_inner().after);
    let _permit = permit(&gateway, &caller).await?;
    Ok(HttpResponse::Ok().json(report(&gateway, &caller, KnowledgeJob::Progress { ingest, after }).await?))
}

/// Gives it up.
pub(crate) async fn abort(gateway: Data<Gateway>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Refusal> {
    let ingest = ingest(id)?;
    let _permit = permit(&gateway, &caller).await?;
    report(&gateway, &caller, KnowledgeJob::Abort { ingest }).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn ingest(id: Path<String>) -> Result<IngestId, Failure> {
    IngestId::parse(id.into_inner()).map_err(|_| Failure::new(ErrorCode::NotFound, "there is no such ingest"))
}

async fn report(gateway: &Gateway, caller: &Caller, job: KnowledgeJob) -> Result<IngestReport, Refusal> {
    match ask(gateway, caller, job).await? {
        Event::Ingest(report) => Ok(report),
        other => Err(unexpected(other)),
    }
}
