//! Sampling parameters as vLLM reads them: OpenAI's, and beside them its own.

use protocol::{Format, Sampling};
use serde_json::{Map, Value, json};

/// The largest `top_p` that is sent: TGI refuses 1, and without the field vLLM takes the default of the model's own
/// `generation_config.json`. This one leaves no token out that a 32-bit sum of probabilities could tell from none.
const TOP_P: f32 = 1.0_f32.next_down();

/// Fields of the request's body. What asks for nothing is left out: not every server knows every field.
pub(super) fn fields(sampling: &Sampling) -> Map<String, Value> {
    let neutral = Sampling::default();
    let asked = [
        ("temperature", Some(json!(sampling.temperature))),
        ("top_p", Some(json!(sampling.top_p.min(TOP_P)))),
        // Servers read a signed number.
        ("seed", Some(json!(sampling.seed & i64::MAX as u64))),
        ("stop", unless(sampling.stop.is_empty(), &sampling.stop)),
        ("top_k", unless(sampling.top_k == neutral.top_k, &sampling.top_k)),
        ("min_p", unless(sampling.min_p == neutral.min_p, &sampling.min_p)),
        ("repetition_penalty", unless(sampling.repetition_penalty == 1.0, &sampling.repetition_penalty)),
        ("presence_penalty", unless(sampling.presence_penalty == 0.0, &sampling.presence_penalty)),
        ("frequency_penalty", unless(sampling.frequency_penalty == 0.0, &sampling.frequency_penalty)),
        ("logit_bias", unless(sampling.logit_bias.is_empty(), &sampling.logit_bias)),
        ("ignore_eos", unless(!sampling.ignore_eos, &true)),
        ("logprobs", unless(sampling.logprobs.is_none(), &true)),
        ("top_logprobs", sampling.logprobs.map(Value::from)),
        ("response_format", format(&sampling.format)),
    ];
    asked.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
}

fn unless(is_neutral: bool, value: &impl serde::Serialize) -> Option<Value> {
    (!is_neutral).then(|| json!(value))
}

fn format(format: &Format) -> Option<Value> {
    match format {
        Format::Text => None,
        Format::JsonObject => Some(json!({"type": "json_object"})),
        Format::JsonSchema { schema } => {
            Some(json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": true}}))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_nothing_is_left_out() {
        let fields = fields(&Sampling::default());
        assert_eq!(fields.keys().map(String::as_str).collect::<Vec<_>>(), ["temperature", "top_p", "seed"]);
    }

    #[test]
    fn everything_that_is_asked_for_is_sent() {
        let schema = json!({"type": "integer"});
        let sampling = Sampling {
            top_k: 5,
            min_p: 0.5,
            repetition_penalty: 1.5,
            presence_penalty: -1.0,
            frequency_penalty: 2.0,
            logit_bias: [(7, -100.0)].into(),
            ignore_eos: true,
            logprobs: Some(3),
            format: Format::JsonSchema { schema: schema.clone() },
            ..Sampling::default()
        };
        let mut sent = Value::Object(fields(&sampling));
        for known in ["temperature", "top_p", "seed"] {
            sent[known].take();
        }
        let format =
            json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": true}});
        let expected = json!({
            "temperature": null, "top_p": null, "seed": null, "top_k": 5, "min_p": 0.5, "repetition_penalty": 1.5,
            "presence_penalty": -1.0, "frequency_penalty": 2.0, "logit_bias": {"7": -100.0}, "ignore_eos": true,
            "logprobs": true, "top_logprobs": 3, "response_format": format,
        });
        assert_eq!(sent, expected);
    }
}
