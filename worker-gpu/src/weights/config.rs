//! `config.json` of a directory in Hugging Face's format.

use super::{
    Architecture, Pairing, Shape, WeightsProblem,
    int4::Scheme,
    keys::Keys,
    rope::{self, Scaling},
};
use serde_json::Value;

/// What `config.json` says; `has_head`: the weights have a head of their own.
pub(super) fn parse(config: &Value, has_head: bool) -> Result<(Shape, Option<Scheme>), WeightsProblem> {
    let keys = Keys::new(config);
    let name = keys.text(&["model_type"])?.ok_or_else(|| keys.wrong("model_type", "missing"))?;
    let architecture = Architecture::parse(name).map_err(|problem| keys.wrong("model_type", problem))?;
    refuse(&keys)?;
    let (hidden, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let head_dim = keys.optional_size("head_dim")?.unwrap_or(hidden / heads);
    let shape = Shape {
        architecture,
        layers: keys.size("num_hidden_layers")?,
        hidden,
        feed_forward: keys.size("intermediate_size")?,
        heads,
        kv_heads: keys.optional_size("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        context: keys.size("max_position_embeddings")?,
        epsilon: keys.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        vocabulary: keys.size("vocab_size")?,
        tied: keys.flag("tie_word_embeddings")?.unwrap_or(!has_head),
        pairing: Pairing::Halves,
        frequencies: frequencies(&keys, head_dim)?,
    };
    let scheme = keys.section("quantization_config").map(|section| Scheme::parse(&section)).transpose()?;
    Ok((shape, scheme))
}

/// Variations that would silently give wrong answers.
fn refuse(keys: &Keys) -> Result<(), WeightsProblem> {
    let act = keys.text(&["hidden_act"])?.unwrap_or("silu");
    if act != "silu" {
        return Err(keys.wrong("hidden_act", format!("{act:?}; only silu is supported")));
    }
    if keys.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
        return Err(keys.wrong("partial_rotary_factor", "only 1 is supported"));
    }
    let kinds = keys.texts("layer_types");
    let slides = match kinds.is_empty() {
        true => keys.flag("use_sliding_window")?.unwrap_or(false),
        false => kinds.iter().any(|kind| *kind != "full_attention"),
    };
    match slides {
        true => Err(keys.wrong("use_sliding_window", "attention in windows is not supported")),
        false => Ok(()),
    }
}

/// transformers 5 writes `rope_parameters`, older versions `rope_theta` and `rope_scaling`.
fn frequencies(keys: &Keys, head_dim: usize) -> Result<Vec<f64>, WeightsProblem> {
    let section = keys.section("rope_parameters").or_else(|| keys.section("rope_scaling"));
    let inner = section.as_ref().map(|section| section.number("rope_theta")).transpose()?.flatten();
    let base = inner.or(keys.number("rope_theta")?).unwrap_or(10_000.0);
    let scaling = section.map_or(Ok(Scaling::None), |section| scaling(&section))?;
    Ok(rope::frequencies(base, head_dim, &scaling))
}

fn scaling(keys: &Keys) -> Result<Scaling, WeightsProblem> {
    match keys.text(&["rope_type", "type"])?.unwrap_or("default") {
        "default" => Ok(Scaling::None),
        "linear" => keys.required_number("factor").map(Scaling::Linear),
        "llama3" => Ok(Scaling::Llama3 {
            factor: keys.required_number("factor")?,
            low: keys.required_number("low_freq_factor")?,
            high: keys.required_number("high_freq_factor")?,
            original: keys.required_number("original_max_position_embeddings")?,
        }),
        other => {
            let problem = format!(
                "{other:?}; supported are default, linear and llama3: take it out and keep to the first context"
            );
            Err(keys.wrong("rope_type", problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn qwen3() -> Value {
        json!({"model_type": "qwen3", "hidden_size": 64, "num_attention_heads": 10, "num_key_value_heads": 2,
            "head_dim": 16, "num_hidden_layers": 3, "intermediate_size": 96, "max_position_embeddings": 512,
            "vocab_size": 300, "rms_norm_eps": 1e-6, "rope_theta": 5000.0, "tie_word_embeddings": true})
    }

    fn with(changes: Value) -> Result<(Shape, Option<Scheme>), WeightsProblem> {
        let mut config = qwen3();
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        parse(&config, true)
    }

    #[test]
    fn both_spellings_of_the_base_are_read() {
        let (old, _) = with(json!({"rope_scaling": null, "layer_types": ["full_attention"]})).unwrap();
        let new = json!({"rope_theta": null, "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"}});
        assert_eq!(old, with(new).unwrap().0);
        assert_eq!((old.frequencies.len(), old.head_dim, old.tied), (8, 16, true));
        let scaled = json!({"rope_scaling": {"type": "linear", "factor": 4}});
        assert_eq!(with(scaled).unwrap().0.frequencies[0], 0.25);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let wrong = [
            ("model_type", json!({"model_type": "gemma3"}), "gemma3"),
            ("hidden_size", json!({"hidden_size": null}), "missing"),
            ("hidden_size", json!({"hidden_size": -1}), "-1"),
            ("hidden_act", json!({"hidden_act": "gelu"}), "gelu"),
            ("use_sliding_window", json!({"use_sliding_window": true}), "windows"),
            ("use_sliding_window", json!({"layer_types": ["full_attention", "sliding_attention"]}), "windows"),
            ("rope_scaling.rope_type", json!({"rope_scaling": {"rope_type": "yarn", "factor": 4}}), "yarn"),
            ("rope_scaling.low_freq_factor", json!({"rope_scaling": {"type": "llama3", "factor": 8}}), "missing"),
            ("quantization_config.quant_method", json!({"quantization_config": {"quant_method": "fp8"}}), "fp8"),
        ];
        for (key, changes, says) in wrong {
            let message = with(changes).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{key}: ")) && message.contains(says), "{message}");
        }
    }
}
