//! From a configured engine to a running one.

use crate::{
    candle,
    config::Config,
    device::Device,
    echo::Echo,
    engine::Engine,
    local::{self, LoadError},
    openai::{OpenaiEngine, SetupError},
    weights::dummy_name,
};
use runtime::config::{Problem, redact};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Why an engine cannot be opened; the message says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configured value is wrong.
    #[error(transparent)]
    Config(#[from] Problem),
    /// The model cannot be loaded.
    #[error("inference.engine: {0}")]
    Model(#[from] LoadError),
    /// The client of an inference server cannot be set up.
    #[error("inference.engine: {0}")]
    Client(#[from] SetupError),
}

/// Which engine `inference.engine` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Candle { file: String },
    Openai { base: String, model: String },
    Echo { delay: Duration },
}

impl Choice {
    pub fn parse(engine: &str) -> Result<Self, Problem> {
        let chosen = match engine.split_once(':') {
            Some(("candle", file)) if !file.is_empty() => Some(Self::Candle { file: file.into() }),
            Some(("dummy", _)) => Some(Self::Candle { file: engine.into() }),
            Some(("openai", url)) => openai(url),
            Some(("echo", query)) => echo(query),
            _ => None,
        };
        let expected = "candle:<file.gguf or directory>, dummy:<model>, openai:<http(s) base url>#<model>, echo: or echo:?delay_ms=<n>";
        chosen.ok_or_else(|| Problem::new("inference.engine", format!("{:?}", redact(engine)), expected))
    }
}

fn openai(url: &str) -> Option<Choice> {
    let (base, model) = url.split_once('#')?;
    let is_http = base.starts_with("http://") || base.starts_with("https://");
    let base = base.trim_end_matches('/').to_string();
    (is_http && !model.is_empty()).then(|| Choice::Openai { base, model: model.into() })
}

fn echo(query: &str) -> Option<Choice> {
    let delay_ms = match query {
        "" => 0,
        _ => query.strip_prefix("?delay_ms=")?.parse().ok()?,
    };
    Some(Choice::Echo { delay: Duration::from_millis(delay_ms) })
}

/// Opens the engine that `config` names, on its first device; a model is loaded whole, so this takes seconds and blocks.
pub fn open(config: &Config, models_dir: &Path) -> Result<Box<dyn Engine>, OpenError> {
    open_on(Device::parse_all(&config.devices)?[0], config, models_dir)
}

/// Opens the engine that `config` names on each of its devices, in order; see [`open`].
pub fn open_all(config: &Config, models_dir: &Path) -> Result<Vec<Box<dyn Engine>>, OpenError> {
    let devices = Device::parse_all(&config.devices)?;
    let on_cpu = devices.iter().filter(|device| **device == Device::Cpu).count();
    let threads = if on_cpu > 1 { (candle::wanted(config.threads) / on_cpu).max(1) } else { config.threads };
    if on_cpu > 1 {
        tracing::info!(
            on_cpu,
            threads,
            "each engine on the CPU loads the weights for itself and gets its share of the threads"
        );
    }
    let config = Config { threads, ..config.clone() };
    devices.into_iter().map(|device| open_on(device, &config, models_dir)).collect()
}

fn open_on(device: Device, config: &Config, models_dir: &Path) -> Result<Box<dyn Engine>, OpenError> {
    match Choice::parse(&config.engine)? {
        Choice::Echo { delay } => {
            tracing::warn!("inference.engine = echo: repeats its input; it is for tests and overhead benchmarks only");
            Ok(Box::new(Echo::new(config, delay)))
        }
        Choice::Candle { file } => {
            let (path, clock) = (model_path(&file, models_dir), Arc::new(runtime::clock::System));
            match device {
                Device::Cpu => Ok(Box::new(local::open(config, &path, clock)?)),
                #[cfg(feature = "cuda")]
                Device::Cuda(number) => Ok(Box::new(crate::cuda::open(config, &path, number, clock)?)),
                #[cfg(not(feature = "cuda"))]
                Device::Cuda(_) => {
                    Err(Problem::new("inference.devices", device, "a build with the feature cuda").into())
                }
            }
        }
        Choice::Openai { base, model } => Ok(Box::new(OpenaiEngine::open(config, base, model)?)),
    }
}

/// A bare file name lies in `models_dir`; anything else is a path, or a dummy's name.
fn model_path(file: &str, models_dir: &Path) -> PathBuf {
    let is_elsewhere = file.contains(std::path::MAIN_SEPARATOR) || dummy_name(file.as_ref()).is_some();
    if is_elsewhere { file.into() } else { models_dir.join(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_picks_the_engine() {
        let candle = Choice::Candle { file: "a.gguf".into() };
        assert_eq!(Choice::parse("candle:a.gguf"), Ok(candle));
        let dummy = Choice::Candle { file: "dummy:qwen3-14b".into() };
        assert_eq!(Choice::parse("dummy:qwen3-14b"), Ok(dummy));
        assert_eq!(model_path("dummy:qwen3-14b", "/m".as_ref()), Path::new("dummy:qwen3-14b"));
        let openai = Choice::Openai { base: "http://127.0.0.1:8000/v1".into(), model: "qwen".into() };
        assert_eq!(Choice::parse("openai:http://127.0.0.1:8000/v1/#qwen"), Ok(openai));
        assert_eq!(Choice::parse("echo:?delay_ms=7"), Ok(Choice::Echo { delay: Duration::from_millis(7) }));
        for wrong in ["", "echo", "candle:", "openai:127.0.0.1#m", "openai:http://h", "echo:?delay=1", "echo:x"] {
            assert_eq!(Choice::parse(wrong).unwrap_err().key, "inference.engine", "{wrong}");
        }
        assert_eq!(Choice::parse("openai:http://me:hidden@h/v1").unwrap_err().value, "\"openai:http://***@h/v1\"");
    }
}
