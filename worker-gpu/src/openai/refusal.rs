//! What it means when the server cannot be reached or refuses.

use protocol::{ErrorCode, Failure};
use reqwest::{Response, StatusCode};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of an error's body that are looked at.
const ERROR_BYTES: usize = 64 * 1024;
/// How long an error's body may take.
const ERROR_TIME: Duration = Duration::from_secs(5);

/// A failure below HTTP. Its text may hold the address, so it goes to the log and not to the customer.
pub(super) fn unreachable(error: &reqwest::Error) -> Failure {
    tracing::warn!(%error, "the inference server cannot be reached");
    Failure::new(ErrorCode::Unavailable, "the inference server cannot be reached; try again")
}

/// The server's own words may quote the customer, so they are only searched for what they mean.
pub(super) async fn refused(response: Response) -> Failure {
    let status = response.status();
    let body = timeout(ERROR_TIME, beginning(response, ERROR_BYTES)).await.unwrap_or_default();
    tracing::warn!(%status, "the inference server refused a request");
    failure(status, &String::from_utf8_lossy(&body))
}

/// Up to `most` bytes of a body, or what came of it before it broke off.
pub(super) async fn beginning(mut response: Response, most: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < most {
        let Ok(Some(bytes)) = response.chunk().await else { break };
        body.extend_from_slice(&bytes[..bytes.len().min(most - body.len())]);
    }
    body
}

fn failure(status: StatusCode, body: &str) -> Failure {
    let (code, message) = match status.as_u16() {
        300..=399 => {
            (ErrorCode::EngineFailed, "the inference server redirects; inference.engine must name its final address")
        }
        400 | 413 | 422 if speaks_of_length(body) => {
            (ErrorCode::ContextLengthExceeded, "the prompt does not fit the model's context")
        }
        400 | 422 => (ErrorCode::InvalidRequest, "the inference server refused the request"),
        401 | 403 => (ErrorCode::EngineFailed, "the inference server refused inference.openai_key"),
        404 => (ErrorCode::EngineFailed, "the inference server does not know the model of inference.engine"),
        429 | 503 => (ErrorCode::Overloaded, "the inference server is full; try again"),
        502 | 504 => (ErrorCode::Unavailable, "the inference server cannot be reached; try again"),
        _ => (ErrorCode::EngineFailed, "the inference server failed"),
    };
    Failure::new(code, format!("{message} (status {})", status.as_u16()))
}

fn speaks_of_length(body: &str) -> bool {
    let body = body.to_lowercase();
    ["context_length", "context length", "context size", "maximum context", "too long", "n_ctx"]
        .iter()
        .any(|words| body.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let too_long = r#"{"error":{"message":"This model's maximum context length is 4096 tokens","code":400}}"#;
        for (status, body, code) in [
            (400, too_long, ErrorCode::ContextLengthExceeded),
            (400, "temperature", ErrorCode::InvalidRequest),
            (307, "", ErrorCode::EngineFailed),
            (401, "", ErrorCode::EngineFailed),
            (429, "", ErrorCode::Overloaded),
            (500, "", ErrorCode::EngineFailed),
            (503, "", ErrorCode::Overloaded),
        ] {
            assert_eq!(failure(StatusCode::from_u16(status).unwrap(), body).code, code, "{status}");
        }
    }
}
