//! Request bodies: bounded in size and in time, and errors that name the place and the field.

use crate::{Config, error::Refusal};
use actix_web::{
    HttpRequest,
    http::header,
    web::{Bytes, BytesMut, Payload},
};
use futures_util::StreamExt;
use protocol::{ErrorCode, Failure};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Slowest upload of a document that is waited for, in bytes per second.
const SLOWEST: usize = 64 << 10;

/// How much is read, and how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    bytes: usize,
    patience: Duration,
}

impl Bounds {
    /// Of a JSON body.
    pub(crate) fn json(config: &Config) -> Self {
        Self { bytes: config.max_body_bytes, patience: config.read_timeout() }
    }

    /// Of a document.
    pub(crate) fn document(config: &Config) -> Self {
        let extra = u64::try_from(config.max_document_bytes / SLOWEST).unwrap_or(u64::MAX);
        let patience = config.read_timeout().saturating_add(Duration::from_secs(extra));
        Self { bytes: config.max_document_bytes, patience }
    }
}

/// The body of `request`; refused as soon as it is known to be too large or too slow.
pub(crate) async fn read(request: &HttpRequest, payload: Payload, bounds: Bounds) -> Result<Bytes, Refusal> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > bounds.bytes) {
        return Err(too_large(bounds.bytes));
    }
    let encoding = request.headers().get(header::CONTENT_ENCODING).map(header::HeaderValue::as_bytes);
    if encoding.is_some_and(|name| !name.eq_ignore_ascii_case(b"identity")) {
        let message = "compressed bodies are not accepted: send the body without Content-Encoding";
        return Err(Failure::new(ErrorCode::UnsupportedMediaType, message).into());
    }
    tokio::time::timeout(bounds.patience, collect(payload, bounds.bytes)).await.map_err(|_| {
        let message = format!("the body did not arrive within {} ms", bounds.patience.as_millis());
        Failure::new(ErrorCode::RequestTimeout, message)
    })?
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Refusal> {
    let mut body = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| {
            Failure::new(ErrorCode::InvalidRequest, format!("the body could not be read to its end: {error}"))
        })?;
        if body.len() + piece.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn too_large(limit: usize) -> Refusal {
    Failure::new(ErrorCode::PayloadTooLarge, format!("the body is larger than {limit} bytes")).into()
}

/// The JSON body of `request`; an absent `Content-Type` is taken for JSON.
pub(crate) async fn json<T>(request: &HttpRequest, payload: Payload, config: &Config) -> Result<T, Refusal>
where
    T: DeserializeOwned,
{
    Ok(parse(&json_bytes(request, payload, config).await?)?)
}

/// The bytes of a body that claims to be JSON.
pub(crate) async fn json_bytes(request: &HttpRequest, payload: Payload, config: &Config) -> Result<Bytes, Refusal> {
    let kind = media_type(request).unwrap_or_else(|| "application/json".into());
    if kind != "application/json" && !kind.ends_with("+json") {
        let message = format!("Content-Type is {kind:?}: send 'Content-Type: application/json'");
        return Err(Failure::new(ErrorCode::UnsupportedMediaType, message).into());
    }
    read(request, payload, Bounds::json(config)).await
}

/// The `Content-Type` in lower case, without its parameters.
pub(crate) fn media_type(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().unwrap_or("(unreadable)");
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads `bytes` as `T`; the failure tells line and column and names the field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, cause) = (error.path().to_string(), error.inner().to_string());
        unreadable(&path, &cause, error.inner().is_data())
    })?;
    reader.end().map_err(|error| unreadable(".", &error.to_string(), false))?;
    Ok(value)
}

fn unreadable(path: &str, cause: &str, is_json: bool) -> Failure {
    // "missing field `x`" and "unknown field `x`" name a field that the path does not reach.
    let named = cause.split('`').nth(1).filter(|_| cause.contains("field `"));
    let parent = Some(path.trim_end_matches(['?', '.'])).filter(|path| !path.is_empty());
    let param = match (parent, named) {
        (Some(parent), Some(field)) if !parent.ends_with(field) => Some(format!("{parent}.{field}")),
        (parent, field) => parent.or(field).map(str::to_string),
    };
    let what = if is_json { "the body is not as expected" } else { "the body is not valid JSON" };
    let place = param.as_ref().map(|param| format!(" ({param})")).unwrap_or_default();
    Failure { code: ErrorCode::InvalidRequest, message: format!("{what}{place}: {cause}"), param }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Submit;

    #[test]
    fn a_bad_body_names_line_column_and_field() {
        for (body, param, words) in [
            ("{\"content\": 5}", Some("content"), "expected a string at line 1 column 13"),
            ("{\n\"content\": \"a\", \"colour\": 1}", Some("colour"), "unknown field `colour`"),
            ("{}", Some("content"), "missing field `content` at line 1 column 2"),
            ("{\"content\": \"a\"", None, "not valid JSON: EOF while parsing an object at line 1"),
            ("", None, "not valid JSON: EOF"),
            ("{\"content\": \"a\"} x", None, "trailing characters at line 1 column 18"),
            ("{\"content\": \"a\", \"lang\": \"9\"}", Some("lang"), "language tag"),
        ] {
            let failure = parse::<Submit>(body.as_bytes()).unwrap_err();
            assert_eq!((failure.code, failure.param.as_deref()), (ErrorCode::InvalidRequest, param), "{body}");
            assert!(failure.message.contains(words), "{body}: {}", failure.message);
        }
    }
}
