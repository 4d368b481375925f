//! What is sent to the server, and what its refusals mean.

use super::SetupError;
use crate::{config::Config, engine::Request};
use protocol::{ErrorCode, Failure, Role};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an error's body that are looked at.
const ERROR_BYTES: usize = 64 * 1024;

/// A server and the model that it is asked for.
pub(super) struct Server {
    pub model: String,
    base: String,
    key: String,
    /// An answer has no more tokens, and so no more pieces, than this.
    context_tokens: usize,
    client: Client,
}

impl Server {
    pub fn new(config: &Config, base: String, model: String) -> Result<Self, SetupError> {
        // Another part of the process may have installed one; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let silence = Duration::from_millis(config.openai_silence_ms);
        let client = Client::builder().connect_timeout(CONNECT).read_timeout(silence).build()?;
        let (key, context_tokens) = (config.openai_key.0.clone(), config.context_tokens);
        Ok(Self { model, base, key, context_tokens, client })
    }

    /// Sends a request; its answer is a stream.
    pub async fn ask(&self, request: &Request) -> Result<Response, Failure> {
        let asked = self.client.post(format!("{}/chat/completions", self.base)).json(&self.body(request));
        let response = self.authorized(asked).send().await.map_err(|error| unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    /// Logs whether the server answers and knows the model.
    pub async fn look(self: Arc<Self>) {
        let asked = self.authorized(self.client.get(format!("{}/models", self.base))).timeout(CONNECT);
        let answer = match asked.send().await.and_then(Response::error_for_status) {
            Ok(response) => response.json::<Value>().await,
            Err(error) => Err(error),
        };
        let (server, model) = (self.base.as_str(), self.model.as_str());
        match answer {
            Ok(list) if !lists(&list, model) => {
                tracing::warn!(server, model, "the inference server lists no such model")
            }
            Ok(_) => tracing::info!(server, model, "the inference server answers"),
            Err(error) => tracing::warn!(server, %error, "the inference server does not answer yet"),
        }
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        if self.key.is_empty() { request } else { request.bearer_auth(&self.key) }
    }

    fn body(&self, request: &Request) -> Value {
        let sampling = &request.sampling;
        let mut body = json!({
            "model": self.model,
            "messages": request.messages,
            "stream": true,
            "stream_options": { "include_usage": true },
            "max_tokens": self.context_tokens.min(sampling.max_tokens as usize),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            // Servers read a signed number.
            "seed": sampling.seed & i64::MAX as u64,
        });
        if !sampling.stop.is_empty() {
            body["stop"] = json!(sampling.stop);
        }
        if !request.prefix.is_empty() {
            let mut messages = json!(request.messages);
            if let Some(messages) = messages.as_array_mut() {
                messages.push(json!({ "role": Role::Assistant, "content": request.prefix }));
            }
            body["messages"] = messages;
            body["continue_final_message"] = json!(true);
            body["add_generation_prompt"] = json!(false);
        }
        body
    }
}

fn lists(list: &Value, model: &str) -> bool {
    list["data"].as_array().is_some_and(|models| models.iter().any(|listed| listed["id"] == model))
}

/// A failure below HTTP. Its text may hold the address, so it goes to the log and not to the customer.
pub(super) fn unreachable(error: &reqwest::Error) -> Failure {
    tracing::warn!(%error, "the inference server cannot be reached");
    Failure::new(ErrorCode::Unavailable, "the inference server cannot be reached; try again")
}

/// The server's own words may quote the customer, so they are only searched for what they mean.
async fn refused(response: Response) -> Failure {
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    let mut end = body.len().min(ERROR_BYTES);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    tracing::warn!(%status, "the inference server refused a request");
    failure(status, &body[..end])
}

fn failure(status: StatusCode, body: &str) -> Failure {
    let (code, message) = match status.as_u16() {
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
    use crate::engine::SequenceId;
    use protocol::{ChatMessage, Sampling};

    fn request(prefix: &str) -> Request {
        let sampling =
            Sampling { max_tokens: 5, temperature: 0.5, top_p: 1.0, seed: u64::MAX, stop: vec!["END".into()] };
        let messages = vec![ChatMessage::new(Role::User, "hi")];
        Request { id: SequenceId(1), messages, prefix: prefix.into(), sampling }
    }

    #[test]
    fn a_prefix_is_sent_as_the_message_to_continue() {
        let server = Server::new(&Config::default(), "http://h/v1".into(), "m".into()).unwrap();
        let plain = server.body(&request(""));
        assert_eq!(plain["messages"], json!([{ "role": "user", "content": "hi" }]));
        assert_eq!((&plain["stop"], &plain["seed"]), (&json!(["END"]), &json!(i64::MAX)));
        assert!(plain.get("continue_final_message").is_none());
        let continued = server.body(&request("He"));
        assert_eq!(continued["messages"][1], json!({ "role": "assistant", "content": "He" }));
        assert_eq!(continued["continue_final_message"], json!(true));
        assert_eq!(continued["add_generation_prompt"], json!(false));
    }

    #[test]
    fn refusals_are_told_apart() {
        let too_long = r#"{"error":{"message":"This model's maximum context length is 4096 tokens","code":400}}"#;
        for (status, body, code) in [
            (400, too_long, ErrorCode::ContextLengthExceeded),
            (400, "temperature", ErrorCode::InvalidRequest),
            (401, "", ErrorCode::EngineFailed),
            (429, "", ErrorCode::Overloaded),
            (500, "", ErrorCode::EngineFailed),
            (503, "", ErrorCode::Overloaded),
        ] {
            assert_eq!(failure(StatusCode::from_u16(status).unwrap(), body).code, code, "{status}");
        }
    }
}
