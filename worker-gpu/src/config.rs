//! Section `[inference]`.

use crate::{device::Device, open::Choice};
use protocol::topology;
use runtime::config::Problem;
use serde::Deserialize;
use std::fmt;

/// Section `[inference]` of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `candle:<file>` (a GGUF file, or a directory with safetensors; in `models_dir`, or a path),
    /// `openai:<base url>#<model>` (vLLM, SGLang, TGI, llama.cpp), or for measuring only: `dummy:<model>` (its shape with
    /// random weights, such as `dummy:qwen3-14b`) and `echo:` (`echo:?delay_ms=20` waits at every word).
    pub engine: String,
    /// What the `candle:` engine computes on: `cpu` or `cuda:<number>`, each with an engine of its own.
    pub devices: Vec<String>,
    /// Share of a GPU's memory that its weights, KV cache and buffers take together.
    pub memory_fraction: f64,
    /// Threads that compute, divided among the CPU's engines; 0: one per physical core that the process may use.
    pub threads: usize,
    /// Sequences that are generated at the same time.
    pub max_sequences: usize,
    /// The longest prompt plus answer, in tokens.
    pub context_tokens: usize,
    /// Tokens that one step computes at most: decodes first, prompts in chunks with the rest.
    pub batch_tokens: usize,
    /// Sequences that may wait for a slot.
    pub waiting: usize,
    /// MiB of the KV cache of each engine on a CPU. What running answers leave of it keeps the beginnings of past prompts.
    pub cache_mib: usize,
    /// Milliseconds for which an answer's tokens are gathered into one frame; the first is sent at once.
    pub coalesce_ms: u64,
    /// Milliseconds that a job of a session whose prefix is in this worker's cache waits for it before any worker may take
    /// the job; 0: sessions do not come back to this worker.
    pub affinity_ttl_ms: u32,
    /// Milliseconds that running answers get to finish after a stop signal, before their jobs are handed back.
    pub drain_ms: u64,
    /// Bearer key for the `openai:` engine; empty: none.
    pub openai_key: Secret,
    /// Milliseconds without any byte after which the `openai:` engine gives a request up.
    pub openai_silence_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: "candle:qwen2.5-coder-1.5b-instruct-q4_k_m.gguf".into(),
            devices: vec!["cpu".into()],
            memory_fraction: 0.9,
            threads: 0,
            max_sequences: 8,
            context_tokens: 4096,
            batch_tokens: 512,
            waiting: 16,
            cache_mib: 1024,
            coalesce_ms: 30,
            affinity_ttl_ms: 1_500,
            drain_ms: 20_000,
            openai_key: Secret::default(),
            openai_silence_ms: 60_000,
        }
    }
}

impl Config {
    /// The engine's own name of its model, as [`crate::Engine::model`] will tell it.
    pub fn model_name(&self) -> Result<String, Problem> {
        Ok(match Choice::parse(&self.engine)? {
            Choice::Candle { file } => crate::local::model_name(file.as_ref()),
            Choice::Openai { model, .. } => model,
            Choice::Echo { .. } => "echo".into(),
        })
    }

    /// What is wrong with the values.
    pub fn problems(&self) -> Vec<Problem> {
        let range = Problem::out_of_range::<usize>;
        let ranges = [
            Problem::out_of_range("inference.memory_fraction", self.memory_fraction, 0.05, 0.95),
            range("inference.threads", self.threads, 0, 1024),
            range("inference.max_sequences", self.max_sequences, 1, 1024),
            range("inference.context_tokens", self.context_tokens, 16, 1 << 20),
            range("inference.batch_tokens", self.batch_tokens, self.max_sequences, 1 << 16),
            range("inference.waiting", self.waiting, 1, 10_000),
            range("inference.cache_mib", self.cache_mib, 1, 1 << 20),
            Problem::out_of_range("inference.coalesce_ms", self.coalesce_ms, 1, 1000),
            Problem::out_of_range("inference.affinity_ttl_ms", self.affinity_ttl_ms, 0, topology::OWN_TTL_MAX_MS),
            Problem::out_of_range("inference.drain_ms", self.drain_ms, 0, 600_000),
            Problem::out_of_range("inference.openai_silence_ms", self.openai_silence_ms, 100, 600_000),
        ];
        let engine = Choice::parse(&self.engine);
        let devices = Device::parse_all(&self.devices);
        let elsewhere = matches!((&engine, &devices), (Ok(Choice::Openai { .. }), Ok(devices)) if devices.len() > 1);
        let expected = "one device, for the openai: engine computes elsewhere";
        let elsewhere = elsewhere.then(|| Problem::new("inference.devices", format!("{:?}", self.devices), expected));
        engine.err().into_iter().chain(devices.err()).chain(elsewhere).chain(ranges.into_iter().flatten()).collect()
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "unset" } else { "set" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_acceptable() {
        assert_eq!(Config::default().problems(), []);
    }

    #[test]
    fn a_problem_names_its_key() {
        let wrong = Config { engine: "vllm".into(), max_sequences: 9, batch_tokens: 8, ..Config::default() };
        let keys: Vec<_> = wrong.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["inference.engine", "inference.batch_tokens"]);
    }

    #[test]
    fn a_key_is_not_printed() {
        let config = Config { openai_key: Secret("hidden".into()), ..Config::default() };
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
