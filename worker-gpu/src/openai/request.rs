//! What is sent to the server.

use super::{
    SetupError, calls,
    refusal::{beginning, refused, unreachable},
    sampling,
};
use crate::{config::Config, engine::Request};
use protocol::{Failure, Role};
use reqwest::{Client, Response, redirect::Policy};
use runtime::config::redact;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of a list of models that are read.
const LIST_BYTES: usize = 1 << 20;
/// Models of the server that a warning names.
const NAMED: usize = 5;

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
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(silence)
            // A redirect would carry the customer's words to a host that nobody configured.
            .redirect(Policy::none())
            .build()?;
        let (key, context_tokens) = (config.openai_key.0.clone(), config.context_tokens);
        Ok(Self { model, base, key, context_tokens, client })
    }

    /// Sends a request; its answer is a stream. Servers close a kept connection after a while, perhaps just when it is used
    /// again; nothing was answered then, so the request is sent once more.
    pub async fn ask(&self, request: &Request) -> Result<Response, Failure> {
        let (url, body) = (format!("{}/chat/completions", self.base), self.body(request));
        let send = || self.authorized(self.client.post(&url).json(&body)).send();
        let mut sent = send().await;
        if sent.as_ref().is_err_and(is_cut_off) {
            sent = send().await;
        }
        let response = sent.map_err(|error| unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    /// Logs whether the server answers and knows the model.
    pub async fn look(self: Arc<Self>) {
        let (server, model) = (redact(&self.base), self.model.as_str());
        match self.models().await {
            Ok(models) if models.iter().any(|listed| listed == model) => {
                tracing::info!(server, model, "the inference server answers")
            }
            Ok(models) => {
                let known = models.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
                tracing::warn!(server, model, known, "the inference server lists no such model")
            }
            Err(error) => tracing::warn!(server, error, "the inference server does not answer yet"),
        }
    }

    async fn models(&self) -> Result<Vec<String>, String> {
        let asked = self.authorized(self.client.get(format!("{}/models", self.base))).timeout(CONNECT);
        let response = asked.send().await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()));
        }
        let list = serde_json::from_slice(&beginning(response, LIST_BYTES).await);
        list.map(|list| names(&list)).map_err(|error| format!("its list of models cannot be read: {error}"))
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        if self.key.is_empty() { request } else { request.bearer_auth(&self.key) }
    }

    fn body(&self, request: &Request) -> Value {
        let sampling = &request.sampling;
        let mut messages: Vec<Value> = request.messages.iter().map(calls::message).collect();
        if !request.prefix.is_empty() {
            messages.push(json!({ "role": Role::Assistant, "content": request.prefix }));
        }
        let mut body = json!({
            "model": self.model,
            "messages": messages,
            "stream": true,
            "stream_options": { "include_usage": true },
            "max_tokens": self.context_tokens.min(sampling.max_tokens as usize),
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(sampling::fields(sampling));
            body.extend(calls::fields(request));
        }
        if !request.prefix.is_empty() {
            body["continue_final_message"] = json!(true);
            body["add_generation_prompt"] = json!(false);
        }
        body
    }
}

/// The connection broke before an answer began.
fn is_cut_off(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

fn names(list: &Value) -> Vec<String> {
    let models = list["data"].as_array().into_iter().flatten();
    models.filter_map(|model| model["id"].as_str().map(String::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::tests::request_of;
    use protocol::Sampling;

    fn request(prefix: &str) -> Request {
        let sampling = Sampling {
            max_tokens: 5,
            temperature: 0.5,
            seed: u64::MAX,
            stop: vec!["END".into()],
            ..Sampling::default()
        };
        Request { prefix: prefix.into(), ..request_of(1, "hi", sampling) }
    }

    #[test]
    fn a_prefix_is_sent_as_the_message_to_continue() {
        let server = Server::new(&Config::default(), "http://h/v1".into(), "m".into()).unwrap();
        let plain = server.body(&request(""));
        assert_eq!(plain["messages"], json!([{ "role": "user", "content": "hi" }]));
        assert_eq!((&plain["stop"], &plain["seed"]), (&json!(["END"]), &json!(i64::MAX)));
        // What a server that reads 32 bits takes for less than 1.
        assert!(plain["top_p"].as_f64().is_some_and(|top_p| top_p > 0.999_999 && (top_p as f32) < 1.0));
        assert!(plain.get("continue_final_message").is_none());
        let continued = server.body(&request("He"));
        assert_eq!(continued["messages"][1], json!({ "role": "assistant", "content": "He" }));
        assert_eq!(continued["continue_final_message"], json!(true));
        assert_eq!(continued["add_generation_prompt"], json!(false));
    }
}
