//! `/v1/documents`: what a tenant's assistant knows.

use crate::{admission::Reserve, auth::Caller, body, error::Refusal, server::Gateway};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path, Payload, Query},
};
use protocol::{DocumentFormat, DocumentId, ErrorCode, Event, Failure, KnowledgeJob};
use serde::Deserialize;
use serde_json::json;

/// Longest file name in bytes.
const NAME_MAX: usize = 200;
const FORMATS: &[(&str, DocumentFormat)] = &[
    ("text/markdown", DocumentFormat::Markdown),
    ("text/plain", DocumentFormat::Text),
    ("text/csv", DocumentFormat::FaqCsv),
];

/// The query of an upload.
#[derive(Deserialize)]
pub(crate) struct Upload {
    name: Option<String>,
}

/// Adds a document, or replaces the one of the same name.
pub(crate) async fn put(
    gateway: Data<Gateway>,
    caller: Caller,
    query: Query<Upload>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let (name, format) = (file_name(query.into_inner())?, format(&request)?);
    let _permit = gateway.admission.turn(caller.tenant(), Reserve::default()).await?;
    let bytes = body::read(&request, payload, body::Bounds::document(&gateway.config)).await?;
    let job = KnowledgeJob::Put { name, format, content: text(&bytes)? };
    match gateway.registry.knowledge(caller.tenant(), job).await.map_err(|failure| caller.refused(failure))? {
        Event::Ingested(report) if report.replaced => Ok(HttpResponse::Ok().json(report)),
        Event::Ingested(report) => Ok(HttpResponse::Created().json(report)),
        other => Err(unexpected(other)),
    }
}

/// The documents by id.
pub(crate) async fn list(gateway: Data<Gateway>, caller: Caller) -> Result<HttpResponse, Refusal> {
    let _permit = gateway.admission.turn(caller.tenant(), Reserve::default()).await?;
    match gateway
        .registry
        .knowledge(caller.tenant(), KnowledgeJob::List)
        .await
        .map_err(|failure| caller.refused(failure))?
    {
        Event::Documents { documents } => Ok(HttpResponse::Ok().json(json!({"data": documents}))),
        other => Err(unexpected(other)),
    }
}

/// Removes a document.
pub(crate) async fn delete(gateway: Data<Gateway>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Refusal> {
    let document = DocumentId::parse(id.into_inner())
        .map_err(|_| Failure::new(ErrorCode::DocumentNotFound, "there is no such document"))?;
    let _permit = gateway.admission.turn(caller.tenant(), Reserve::default()).await?;
    match gateway
        .registry
        .knowledge(caller.tenant(), KnowledgeJob::Delete { document })
        .await
        .map_err(|failure| caller.refused(failure))?
    {
        Event::Deleted => Ok(HttpResponse::NoContent().finish()),
        other => Err(unexpected(other)),
    }
}

fn unexpected(event: Event) -> Refusal {
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
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let charset = value.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    let found = FORMATS.iter().find(|(name, _)| *name == kind).map(|(_, format)| *format);
    let readable = charset.is_none_or(|charset| matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii"));
    found.filter(|_| readable).ok_or_else(|| {
        let message = format!("Content-Type is {value:?}: expected text/markdown, text/plain or text/csv, in UTF-8");
        Failure::new(ErrorCode::UnsupportedMediaType, message)
    })
}

fn text(bytes: &Bytes) -> Result<String, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("the document is not UTF-8: the byte at offset {} is wrong", error.valid_up_to());
        Failure::new(ErrorCode::UnreadableDocument, message)
    })?;
    Ok(text.to_string())
}
