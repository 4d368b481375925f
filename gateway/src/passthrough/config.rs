//! `[[gateway.upstreams]]`.

use hyper::{Uri, header::HeaderValue};
use runtime::config::{Problem, redact};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, fmt};

/// A key that no log and no error shows.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "unset" } else { "set" })
    }
}

/// A model that an OpenAI-compatible server answers directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The model as clients and the server name it.
    pub model: String,
    /// The server's base URL, such as `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// The server's bearer key; empty: none. The tenant's own key is never sent on.
    #[serde(default)]
    pub key: Secret,
    /// A connection must be open within this time.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// The server may be silent for this long, before its answer and in the middle of it.
    #[serde(default = "silence_ms")]
    pub silence_ms: u64,
    /// Requests at the server at once; beyond, clients are refused.
    #[serde(default = "max_requests")]
    pub max_requests: usize,
}

fn connect_timeout_ms() -> u64 {
    2_000
}

fn silence_ms() -> u64 {
    120_000
}

fn max_requests() -> usize {
    1_024
}

impl Upstream {
    /// The URL's parts; fails in words about what was expected.
    pub(super) fn base(&self) -> Result<Uri, &'static str> {
        let uri: Uri = self.url.parse().map_err(|_| "a URL such as http://127.0.0.1:8000/v1")?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                Err("a URL without user information; the key belongs into the entry's key")
            }
            (Some("http" | "https"), Some(_)) if uri.query().is_some() => Err("a URL without a query"),
            (Some("http" | "https"), Some(_)) => Ok(uri),
            _ => Err("a URL such as http://127.0.0.1:8000/v1"),
        }
    }

    /// The header that carries the key.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, &'static str> {
        if self.key.0.is_empty() {
            return Ok(None);
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.key.0))
            .map_err(|_| "a key of visible ASCII characters")?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// What is wrong with `upstreams`, beside which the gateway offers `own` models.
pub(crate) fn problems(upstreams: &[Upstream], own: [&str; 2]) -> Vec<Problem> {
    let (mut problems, mut models) = (Vec::new(), HashSet::from(own));
    for (position, upstream) in upstreams.iter().enumerate() {
        let key = |name: &str| format!("gateway.upstreams.{position}.{name}");
        if upstream.model.is_empty() {
            problems.push(Problem::new(&key("model"), "\"\"", "the model's name"));
        } else if !models.insert(&upstream.model) {
            problems.push(Problem::new(
                &key("model"),
                &upstream.model,
                "a name that no other model of this gateway has",
            ));
        }
        problems.extend(upstream.base().err().map(|why| Problem::new(&key("url"), redact(&upstream.url), why)));
        problems.extend(upstream.authorization().err().map(|why| Problem::new(&key("key"), "(not shown)", why)));
        let ranges = [
            Problem::out_of_range(&key("connect_timeout_ms"), upstream.connect_timeout_ms, 1, 600_000),
            Problem::out_of_range(&key("silence_ms"), upstream.silence_ms, 1, 3_600_000),
        ];
        problems.extend(ranges.into_iter().flatten());
        problems.extend(Problem::out_of_range(&key("max_requests"), upstream.max_requests, 1, 1_000_000));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(model: &str, url: &str, key: &str) -> Upstream {
        let entry = serde_json::json!({"model": model, "url": url, "key": key});
        serde_json::from_value(entry).unwrap_or_else(|error| unreachable!("{error}"))
    }

    #[test]
    fn every_problem_names_its_key_and_shows_no_secret() {
        let good = upstream("m", "https://host/v1", "k");
        assert_eq!(problems(std::slice::from_ref(&good), ["frontdesk", "tiny"]), []);
        let mut slow = upstream("z", "http://[::1]:9", "");
        (slow.silence_ms, slow.max_requests) = (0, 0);
        let bad = [
            upstream("frontdesk", "ftp://host", "s3cret\n"),
            upstream("tiny", "http://me:s3cret@host/v1", ""),
            upstream("", "host:80", ""),
            good.clone(),
            good,
            slow,
        ];
        let found = problems(&bad, ["frontdesk", "tiny"]);
        let keys: Vec<_> = found.iter().map(|problem| problem.key.trim_start_matches("gateway.upstreams.")).collect();
        let expected = [
            "0.model",
            "0.url",
            "0.key",
            "1.model",
            "1.url",
            "2.model",
            "2.url",
            "4.model",
            "5.silence_ms",
            "5.max_requests",
        ];
        assert_eq!(keys, expected);
        assert!(found.iter().all(|problem| !problem.to_string().contains("s3cret")), "{found:?}");
        assert!(!format!("{bad:?}").contains("s3cret\\n"));
    }
}
