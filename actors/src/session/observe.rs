//! A turn's span and metrics. Neither holds a text.

use crate::turn::Spec;
use protocol::{FinishReason, Origin, Timestamp, TurnEvent};
use runtime::{metric, telemetry};
use tracing::{Span, field::Empty, info_span};

use super::SessionKey;

/// What is seen of a running turn from outside.
pub(super) struct Observed {
    span: Span,
    stage: Option<Span>,
    tenant: String,
    accepted: Timestamp,
    has_token: bool,
    /// The model was given passages.
    was_given: bool,
}

impl Observed {
    pub fn new(key: &SessionKey, spec: &Spec, parent: &Span, accepted: Timestamp) -> Self {
        let span = info_span!(
            parent: parent.id(),
            "turn",
            tenant = %key.tenant,
            session = %key.session,
            job = %spec.job,
            lang = %spec.lang,
            outcome = Empty,
            origin = Empty,
            gen_ai.operation.name = "chat",
            gen_ai.request.max_tokens = spec.sampling.max_tokens,
            gen_ai.response.model = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
        );
        metrics::gauge!(metric::TURNS_RUNNING).increment(1.0);
        Self { span, stage: None, tenant: key.tenant.to_string(), accepted, has_token: false, was_given: false }
    }

    /// For the messages of the turn: its own span.
    pub fn traceparent(&self) -> Option<String> {
        self.span.in_scope(telemetry::traceparent)
    }

    /// The turn waits for retrieval.
    pub fn retrieval(&mut self) {
        self.stage = Some(info_span!(parent: &self.span, "retrieval_wait"));
    }

    /// The turn waits for generation, or goes on with it.
    pub fn generation(&mut self) {
        self.stage = Some(info_span!(parent: &self.span, "generation_wait"));
    }

    pub fn model(&self, model: &str) {
        self.span.record("gen_ai.response.model", model);
    }

    /// `event` is shown at `now`.
    pub fn event(&mut self, event: &TurnEvent, now: Timestamp) {
        match event {
            TurnEvent::Retrieved { citations } => (self.stage, self.was_given) = (None, !citations.is_empty()),
            TurnEvent::Token { .. } | TurnEvent::Aside { .. } if !self.has_token => {
                (self.has_token, self.stage) = (true, None);
                metrics::histogram!(metric::TURN_FIRST_TOKEN).record(self.seconds(now));
            }
            TurnEvent::Token { .. } | TurnEvent::Aside { .. } => {}
            TurnEvent::Finished { finish_reason, usage, degraded, citations, origin, text, .. } => {
                if *degraded {
                    self.degraded(if citations.is_empty() { "apology" } else { "faq" });
                }
                let says_nothing = text.is_empty() || (*degraded && citations.is_empty());
                if !says_nothing {
                    self.answered(*origin, citations.is_empty());
                }
                self.span.record("origin", origin.name());
                self.span.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
                self.span.record("gen_ai.usage.output_tokens", usage.completion_tokens);
                self.ended(reason_name(*finish_reason), now);
            }
            TurnEvent::Failed(failure) => self.ended(failure.code.name(), now),
        }
    }

    /// `cites` tells whether an answer of the model refers to any of the passages that it was given.
    fn answered(&self, origin: Origin, cites_nothing: bool) {
        let cites = match (origin, self.was_given, cites_nothing) {
            (Origin::Model, true, true) => "nothing",
            (Origin::Model, true, false) => "passages",
            _ => "",
        };
        let labels = [("tenant", self.tenant.clone()), ("origin", origin.name().into()), ("cites", cites.into())];
        metrics::counter!(metric::ANSWERS, &labels).increment(1);
    }

    fn degraded(&self, with: &'static str) {
        metrics::counter!(metric::DEGRADED, "tenant" => self.tenant.clone(), "with" => with).increment(1);
    }

    fn ended(&mut self, outcome: &'static str, now: Timestamp) {
        self.stage = None;
        self.span.record("outcome", outcome);
        let seconds = self.seconds(now);
        metrics::counter!(metric::TURNS, "tenant" => self.tenant.clone(), "outcome" => outcome).increment(1);
        metrics::histogram!(metric::TURN_DURATION).record(seconds);
        self.span.in_scope(|| tracing::debug!(seconds, "the turn ended"));
    }

    fn seconds(&self, now: Timestamp) -> f64 {
        now.ms_from(self.accepted) as f64 / 1000.0
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        metrics::gauge!(metric::TURNS_RUNNING).decrement(1.0);
    }
}

fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled => "cancelled",
        FinishReason::ToolCalls => "tool_calls",
    }
}
