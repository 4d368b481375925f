//! Layered configuration: shipped defaults < file < `FRONTDESK_*` environment < flags.
//!
//! A key's environment variable is its path in capitals with `__` between the parts: `gateway.listen` is
//! `FRONTDESK_GATEWAY__LISTEN`.

use figment::{
    Error, Figment, Metadata, Source,
    error::Kind,
    providers::{Env, Format, Serialized, Toml},
    value::Value,
};
use serde::de::DeserializeOwned;
use std::path::Path;

/// Stands for a value that is not shown.
const HIDDEN: &str = "(not shown)";
const PREFIX: &str = "FRONTDESK_";
/// Variables of the install scripts and of single commands, which are not configuration.
const NOT_KEYS: &[&str] = &["cache", "config", "key"];

/// A value that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct Problem {
    /// The key's full path, such as `inference.max_sequences`.
    pub key: String,
    /// The value at fault.
    pub value: String,
    /// What would be accepted.
    pub expected: String,
}

impl Problem {
    /// A problem of `key`.
    pub fn new(key: &str, value: impl ToString, expected: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.to_string(), expected: expected.into() }
    }

    /// A problem unless `value` lies in `range`.
    pub fn out_of_range<T: PartialOrd + std::fmt::Display>(key: &str, value: T, low: T, high: T) -> Option<Self> {
        let inside = low <= value && value <= high;
        (!inside).then(|| Self::new(key, value, format!("{low} to {high}")))
    }
}

/// `url` as it may be shown: `***` stands for its user information. A password may hold what should have been escaped, so
/// all before the last `@` is hidden.
pub fn redact(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else { return url.into() };
    let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
    format!("{scheme}***@{host}")
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

/// Merges the layers and reads them as `T`.
///
/// `defaults` is TOML; `flags` are `(key path, value)` pairs. A missing `file` is an error only when one is named.
pub fn load<T: DeserializeOwned>(
    defaults: &str,
    file: Option<&Path>,
    flags: &[(&str, String)],
) -> Result<T, ConfigError> {
    let mut layers = Figment::from(Toml::string(defaults));
    if let Some(file) = file {
        if !file.is_file() {
            return Err(ConfigError(vec![Problem::new("--config", file.display(), "a readable TOML file")]));
        }
        layers = layers.merge(Toml::file_exact(file));
    }
    let variables = Env::prefixed(PREFIX).ignore(NOT_KEYS).filter(|key| !is_from_kubernetes(key.as_str()));
    layers = layers.merge(variables.split("__"));
    for (key, value) in flags {
        let Ok(value) = value.parse::<Value>();
        layers = layers.merge(Serialized::default(key, value));
    }
    layers.extract().map_err(|errors| ConfigError(errors.into_iter().map(|error| problem(&layers, &error)).collect()))
}

/// Kubernetes tells every pod where each Service is: a Service `frontdesk-gateway` makes `FRONTDESK_GATEWAY_PORT`,
/// `FRONTDESK_GATEWAY_PORT_8080_TCP_ADDR`, `FRONTDESK_GATEWAY_SERVICE_HOST` and their like.
fn is_from_kubernetes(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let port = key == "port" || key.ends_with("_port") || key.contains("_tcp") || key.contains("_udp");
    port || key.contains("service_host") || key.contains("service_port")
}

/// Reads one TOML file as `T`.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T, ConfigError> {
    let layers = Figment::from(Toml::file_exact(file));
    layers.extract().map_err(|errors| ConfigError(errors.into_iter().map(|error| problem(&layers, &error)).collect()))
}

fn problem(layers: &Figment, error: &Error) -> Problem {
    let mut path = error.path.clone();
    let (value, expected) = match &error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => (found(layers, &path), in_words(expected)),
        Kind::Message(text) if path.is_empty() => {
            return Problem::new("--config", error.metadata.as_ref().map(source).unwrap_or_default().trim(), text);
        }
        Kind::Message(text) => (found(layers, &path), in_words(text)),
        Kind::UnknownField(name, known) => {
            if path.last() != Some(name) {
                path.push(name.clone());
            }
            // It may be a misspelt key whose value is a secret.
            (HIDDEN.into(), format!("no such key; known here: {}", known.join(", ")))
        }
        Kind::UnknownVariant(name, known) => (format!("{name:?}"), format!("one of {}", known.join(", "))),
        other => (found(layers, &path), other.to_string()),
    };
    let value = if path.iter().any(|part| is_secret(part)) { HIDDEN.into() } else { redact(&value) };
    let source = error.metadata.as_ref().map(source).unwrap_or_default();
    Problem { key: path.join("."), value: format!("{value}{source}"), expected }
}

/// What a Rust type's name, or its parser's complaint, means to a person.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "a boolean" => "true or false".into(),
        text if text.contains("socket address") => "ADDRESS:PORT, such as 127.0.0.1:8080".into(),
        text if text.starts_with("invalid") => format!("another value ({text})"),
        text => text.into(),
    }
}

/// `openai_key`, `key_hashes`: what was meant to be a hash may be the key itself.
fn is_secret(part: &str) -> bool {
    part.ends_with("_key") || part.starts_with("key")
}

fn found(layers: &Figment, path: &[String]) -> String {
    match layers.find_value(&path.join(".")) {
        Ok(Value::String(_, text)) => format!("{text:?}"),
        Ok(Value::Num(_, number)) => number.to_actual().to_string(),
        Ok(Value::Bool(_, flag)) => flag.to_string(),
        Ok(_) => "(a table or list)".into(),
        Err(_) => "(nothing)".into(),
    }
}

fn source(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(Source::File(file)) => format!(" (in {})", file.display()),
        Some(_) => " (a flag)".into(),
        None if metadata.name.contains("environment") => " (in the environment)".into(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::io::Write;

    const DEFAULTS: &str = "[gateway]\nlisten = \"127.0.0.1:8080\"\nworkers = 2\n";

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Root {
        gateway: Gateway,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Gateway {
        listen: std::net::SocketAddr,
        workers: u16,
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Secretive {
        #[expect(dead_code, reason = "only read")]
        openai_key: String,
        #[expect(dead_code, reason = "only read")]
        url: u16,
    }

    #[test]
    fn no_error_shows_a_secret() {
        for (key, value) in [
            ("openai_key", "1234567"),
            ("openai_key", "[s3cret]"),
            ("url", "amqp://me:s3cret@h/s3cret@host"),
            ("uri", "amqp://me:s3cret@host"),
            ("opanai_key", "s3cret"),
        ] {
            let flags = [("openai_key", "x".into()), ("url", "1".into()), (key, value.to_string())];
            let error = load::<Secretive>("", None, &flags).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("s3cret") && !error.contains("1234567"), "{error}");
        }
    }

    #[test]
    fn a_url_is_shown_without_who_logs_in() {
        for (url, shown) in [
            ("amqp://me:pass@host:5672/%2f", "amqp://***@host:5672/%2f"),
            ("redis://:p@ss/w@host", "redis://***@host"),
            ("amqp:me:pass@host", "***@host"),
            ("memory:", "memory:"),
        ] {
            assert_eq!(redact(url), shown);
        }
    }

    #[test]
    fn later_layers_win() {
        let file = file("[gateway]\nworkers = 3\n");
        let flags = [("gateway.listen", "127.0.0.1:0".to_string())];
        let root: Root = load(DEFAULTS, Some(file.path()), &flags).unwrap();
        assert_eq!((root.gateway.workers, root.gateway.listen.port()), (3, 0));
    }

    #[test]
    fn text_that_is_not_toml_is_named_with_its_file() {
        let file = file("[gateway\n");
        let error = load::<Root>(DEFAULTS, Some(file.path()), &[]).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()) && error.contains("TOML"), "{error}");
    }

    #[test]
    fn variables_that_kubernetes_sets_are_not_keys() {
        for name in ["PORT", "GATEWAY_PORT", "PORT_8080_TCP_ADDR", "SERVICE_HOST", "GATEWAY_SERVICE_PORT_HTTP"] {
            assert!(is_from_kubernetes(name), "{name}");
        }
        assert!(!["GATEWAY__LISTEN", "DATA_DIR", "INFERENCE__ENGINE"].into_iter().any(is_from_kubernetes));
    }

    #[test]
    fn an_error_names_the_key_the_value_and_what_was_expected() {
        let file = file("[gateway]\nworkers = \"many\"\n");
        let error = load::<Root>(DEFAULTS, Some(file.path()), &[]).unwrap_err().to_string();
        assert!(
            error.contains("gateway.workers") && error.contains("\"many\"") && error.contains("whole number"),
            "{error}"
        );
        let error = load::<Root>(DEFAULTS, None, &[("gateway.lisen", "x".into())]).unwrap_err().to_string();
        assert!(error.contains("gateway.lisen = (not shown) (a flag)") && error.contains("listen, workers"), "{error}");
    }
}
