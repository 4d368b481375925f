//! Logs and traces. Neither ever holds a message's text.
//!
//! A turn is one trace: the publisher puts [`traceparent`] into the message, the worker calls [`continue_from`].

use crate::config::{Problem, redact};
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, io::IsTerminal};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Section `[telemetry]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which events are logged: `tracing` filter directives.
    pub log: String,
    /// How.
    pub log_format: LogFormat,
    /// Base URL of an OTLP/HTTP receiver, such as `http://127.0.0.1:4318`; empty: traces are not exported.
    pub otlp_endpoint: String,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self { log: "info".into(), log_format: LogFormat::Auto, otlp_endpoint: String::new() }
    }
}

impl Config {
    /// What is wrong with the values.
    pub fn problems(&self) -> Vec<Problem> {
        let filter = EnvFilter::try_new(&self.log).err().map(|error| {
            Problem::new(
                "telemetry.log",
                format!("{:?}", self.log),
                format!("filter directives such as \"info\": {error}"),
            )
        });
        let url_like = self.otlp_endpoint.is_empty() || self.otlp_endpoint.starts_with("http");
        let url = (!url_like).then(|| {
            Problem::new("telemetry.otlp_endpoint", redact(&self.otlp_endpoint), "a URL such as http://127.0.0.1:4318")
        });
        filter.into_iter().chain(url).collect()
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The exporter's settings are wrong.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The process has a subscriber already.
    #[error("logging: {0}")]
    Subscriber(#[from] tracing_subscriber::util::TryInitError),
}

/// Flushes what is not exported yet when it is dropped.
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown()) {
            eprintln!("telemetry: the last spans could not be exported: {error}");
        }
    }
}

/// Starts logging, and the export of traces when it is configured; `role` becomes `service.name`.
pub fn init(config: &Config, role: &str) -> Result<Guard, InitError> {
    let provider = exporter(config, role)?;
    let json = match config.log_format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json { lines.json().boxed() } else { lines.compact().boxed() };
    let traces = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("frontdesk"));
        layer.with_filter(exported())
    });
    tracing_subscriber::registry().with(traces).with(lines.with_filter(filter(&config.log))).try_init()?;
    Ok(Guard(provider))
}

/// lapin would log returned messages with their bodies (the broker port reports its errors itself), and tokenizers every
/// character that it reads.
fn filter(directives: &str) -> EnvFilter {
    EnvFilter::new(format!("{directives},lapin=off,tokenizers=off"))
}

/// Spans of ours at `info`, whatever is logged: libraries would export bodies, and the exporter's own client itself.
fn exported() -> EnvFilter {
    EnvFilter::new("info,lapin=off,hyper=off,hyper_util=off,h2=off,reqwest=off,opentelemetry=off")
}

fn exporter(config: &Config, role: &str) -> Result<Option<SdkTracerProvider>, InitError> {
    if config.otlp_endpoint.is_empty() {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", config.otlp_endpoint.trim_end_matches('/')))
        .build()?;
    let resource = Resource::builder().with_service_name(format!("frontdesk-{role}")).build();
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
}

/// The W3C `traceparent` of the current span, to be carried in a message; `None` without an active trace.
pub fn traceparent() -> Option<String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    headers.remove("traceparent")
}

/// Makes `span` a child of the span that `traceparent` names; a malformed or absent one changes nothing.
pub fn continue_from(span: &Span, traceparent: Option<&str>) {
    if let Some(traceparent) = traceparent {
        let headers = HashMap::from([("traceparent".to_string(), traceparent.to_string())]);
        // Fails only when traces are not exported, and then nothing has to be linked.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&headers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing::{Event, Subscriber, info, info_span, trace_span};
    use tracing_subscriber::layer::Context;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_new_span(&self, attributes: &tracing::span::Attributes<'_>, _: &tracing::Id, _: Context<'_, S>) {
            self.0.lock().unwrap().push(attributes.metadata().name().into());
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata().target().into());
        }
    }

    #[test]
    fn only_our_own_spans_are_exported() {
        let seen = Seen::default();
        let subscriber = tracing_subscriber::registry().with(seen.clone().with_filter(exported()));
        tracing::subscriber::with_default(subscriber, || {
            let _turn = info_span!("turn").entered();
            let _detail = trace_span!("detail").entered();
            info!("ours");
            for _ in 0..2 {
                info!(target: "lapin::channel", body = "secret");
                info!(target: "hyper_util::client", "x");
                info!(target: "reqwest::connect", "x");
            }
        });
        assert_eq!(*seen.0.lock().unwrap(), ["turn", "runtime::telemetry::tests"]);
    }

    #[test]
    fn libraries_that_would_print_bodies_stay_silent_at_any_level() {
        let seen = Seen::default();
        let subscriber = tracing_subscriber::registry().with(seen.clone().with_filter(filter("trace")));
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!("ours");
            tracing::warn!(target: "lapin::returned_messages", body = "secret");
            tracing::trace!(target: "tokenizers::tokenizer::normalizer", "secret");
        });
        assert_eq!(*seen.0.lock().unwrap(), ["runtime::telemetry::tests"]);
    }
}
