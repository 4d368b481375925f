//! The stages of a job as spans and metrics: it waits, its prompt is prefilled, its answer is decoded.

use metrics::{counter, histogram};
use protocol::{FinishReason, Timestamp, Usage};
use runtime::{metric, telemetry};
use tokio::time::Instant;
use tracing::{Span, field::Empty, info_span};

/// Follows one job; the current stage's span ends when the next one begins or the job does.
pub(super) struct Stages {
    model: String,
    traceparent: Option<String>,
    span: Span,
    came: Instant,
    last_token: Option<Instant>,
    prompt_tokens: u32,
}

impl Stages {
    /// The job has come to this worker.
    pub fn queue_wait(model: &str, traceparent: Option<String>) -> Self {
        let span = info_span!("queue_wait", gen_ai.request.model = model);
        telemetry::continue_from(&span, traceparent.as_deref());
        Self { model: model.into(), traceparent, span, came: Instant::now(), last_token: None, prompt_tokens: 0 }
    }

    /// The job has a slot; it was published at `published`.
    pub fn prefill(&mut self, prompt_tokens: u32, published: Timestamp, now: Timestamp) {
        let model = self.model.as_str();
        let span = info_span!("prefill", gen_ai.request.model = model, gen_ai.usage.input_tokens = prompt_tokens);
        self.enter(span);
        histogram!(metric::ENGINE_QUEUE).record(now.ms_from(published) as f64 / 1000.0);
        self.prompt_tokens = prompt_tokens;
        counter!(metric::ENGINE_PROMPT_TOKENS).increment(prompt_tokens.into());
    }

    /// `tokens` more were generated.
    pub fn decoded(&mut self, tokens: u32) {
        let now = Instant::now();
        match self.last_token.replace(now) {
            None => self.decode(now),
            Some(last) if tokens > 0 => {
                let each = (now - last).as_secs_f64() / f64::from(tokens);
                histogram!(metric::ENGINE_PER_TOKEN).record(each);
            }
            Some(_) => {}
        }
        counter!(metric::ENGINE_GENERATED_TOKENS).increment(tokens.into());
    }

    fn decode(&mut self, now: Instant) {
        histogram!(metric::ENGINE_FIRST_TOKEN).record((now - self.came).as_secs_f64());
        let span = info_span!(
            "decode",
            gen_ai.request.model = self.model.as_str(),
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.response.finish_reasons = Empty,
        );
        self.enter(span);
    }

    /// The answer is complete.
    pub fn finished(&self, reason: FinishReason, usage: Usage) {
        let reason = match reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Cancelled => "cancelled",
            FinishReason::ToolCalls => "tool_calls",
        };
        // Some engines know the prompt's length only now.
        let unknown = usage.prompt_tokens.saturating_sub(self.prompt_tokens);
        counter!(metric::ENGINE_PROMPT_TOKENS).increment(unknown.into());
        self.span.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
        self.span.record("gen_ai.usage.output_tokens", usage.completion_tokens);
        self.span.record("gen_ai.response.finish_reasons", reason);
    }

    fn enter(&mut self, span: Span) {
        telemetry::continue_from(&span, self.traceparent.as_deref());
        self.span = span;
    }
}
