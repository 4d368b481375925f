//! `/v1/documents`: what a tenant's assistant knows.

use crate::{
    admission::{Permit, Reserve},
    auth::Caller,
    body,
    error::Refusal,
    server::Gateway,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path, Payload, Query},
};
use catalog::ArchiveError;
use protocol::{DocumentFormat, DocumentId, ErrorCode, Event, Failure, KnowledgeJob, Original};
use serde::Deserialize;
use serde_json::json;

/// Longest file name in bytes.
const NAME_MAX: usize = 200;
const FORMATS: &[(&str, DocumentFormat)] = &[
    ("text/markdown", DocumentFormat::Markdown),
    ("text/plain", DocumentFormat::Text),
    ("text/html", DocumentFormat::Html),
    ("application/pdf", DocumentFormat::Pdf),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", DocumentFormat::Docx),
    ("text/csv", DocumentFormat::FaqCsv),
    ("application/jsonl", DocumentFormat::FaqJsonl),
];

/// The query of an upload.
#[derive(Deserialize)]
pub(crate) struct Upload {
    name: Option<String>,
}

/// A document that was taken and lies in the archive.
pub(crate) struct Taken {
    pub(crate) name: String,
    pub(crate) format: DocumentFormat,
    pub(crate) original: Original,
}

/// Adds a document, or replaces the one of the same name.
pub(crate) async fn put(
    gateway: Data<Gateway>,
    caller: Caller,
    query: Query<Upload>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let _permit = permit(&gateway, &caller).await?;
    let Taken { name, format, original } = take(&gateway, &caller, query.into_inner(), &request, payload).await?;
    let job = KnowledgeJob::Add { name, format, original, ingest: None };
    match ask(&gateway, &caller, job).await? {
        Event::Ingested(report) if report.replaced => Ok(HttpResponse::Ok().json(report)),
        Event::Ingested(report) => Ok(HttpResponse::Created().json(report)),
        other => Err(unexpected(other)),
    }
}

/// The documents by id.
pub(crate) async fn list(gateway: Data<Gateway>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let _permit = permit(&gateway, &caller).await?;
    match ask(&gateway, &caller, KnowledgeJob::List).await? {
        Event::Documents { documents } => Ok(HttpResponse::Ok().json(json!({"data": documents}))),
        other => Err(unexpected(other)),
    }
}

/// Removes a document.
pub(crate) async fn delete(gateway: Data<Gateway>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Refusal> {
    let document = DocumentId::parse(id.into_inner())
        .map_err(|_| Failure::new(ErrorCode::DocumentNotFound, "there is no such document"))?;
    let _permit = permit(&gateway, &caller).await?;
    match ask(&gateway, &caller, KnowledgeJob::Delete { document }).await? {
        Event::Deleted => Ok(HttpResponse::NoContent().finish()),
        other => Err(unexpected(other)),
    }
}

/// Requests about knowledge count as turns.
pub(crate) async fn permit(gateway: &Gateway, caller: &Caller) -> Result<Permit, Refusal> {
    gateway.admission.turn(caller.tenant(), Reserve::default()).await
}

/// What a retrieval worker makes of `job`.
pub(crate) async fn ask(gateway: &Gateway, caller: &Caller, job: KnowledgeJob) -> Result<Event, Refusal> {
    gateway.registry.knowledge(caller.tenant(), job).await.map_err(|failure| caller.refused(failure))
}

/// Reads the document of a request and keeps it in the archive.
pub(crate) async fn take(
    gateway: &Gateway,
    caller: &Caller,
    upload: Upload,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Taken, Refusal> {
    let (name, format) = (file_name(upload)?, format(request)?);
    let bytes = body::read(request, payload, body::Bounds::document(&gateway.config)).await?;
    let original = catalog::keep(&*gateway.archive, caller.tenant(), bytes).await.map_err(unkept)?;
    Ok(Taken { name, format, original })
}

fn unkept(error: ArchiveError) -> Refusal {
    tracing::error!(%error, "a document is not kept");
    Failure::new(ErrorCode::Unavailable, "the archive of documents cannot be used now; try again shortly").into()
}

pub(crate) fn unexpected(event: Event) -> Refusal {
    match event {
        Event::Failed(failure) => failure.into(),
        _ => crate::error::internal("an answer to another kind of job").into(),
    }
}

fn file_name(upload: Upload) -> Result<String, Failure> {
    let name = upload.name.unwrap_or_default();
    let sound = (1..=NAME_MAX).contains(&name.len()) && !name.contains(|c: char| c.is_control() || "/\\".contains(c));
    let advice = format!("expected ?name=<file name>, 1 to {NAME_MAX} bytes without slashes and control characters");
    if sound { Ok(name) } else { Err(Failure::invalid("name", advice)) }
}

fn format(request: &HttpRequest) -> Result<DocumentFormat, Failure> {
    let kind = body::media_type(request).unwrap_or_default();
    FORMATS.iter().find(|(name, _)| *name == kind).map(|(_, format)| *format).ok_or_else(|| {
        let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let known: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
        let message = format!("Content-Type is {:?}: expected one of {}", value.unwrap_or_default(), known.join(", "));
        Failure::new(ErrorCode::UnsupportedMediaType, message)
    })
}
