//! Reads a GGUF file: architecture, hyperparameters, weights.

use crate::{
    candle::{Attention, HeadNorms, Layer, Linear, Model, Pairing, Rope},
    schedule::BLOCK,
};
use candle_core::{
    Device,
    quantized::{
        QTensor,
        gguf_file::{Content, Value},
    },
};
use std::{fs::File, io::BufReader, sync::Arc};

/// What is wrong with a model file, in words for an operator.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// A key is absent or has a value that cannot be used.
    #[error("metadata {key}: {problem}")]
    Metadata {
        /// The GGUF key.
        key: String,
        /// What was found and expected.
        problem: String,
    },
    /// A weight is absent, has an unexpected shape, or cannot be read.
    #[error("tensor {name}: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What was found and expected.
        problem: String,
    },
    /// The file is no GGUF file, or ends early.
    #[error("not a readable GGUF file: {0}")]
    Format(candle_core::Error),
}

/// An open model file.
pub(crate) struct Gguf {
    file: BufReader<File>,
    pub content: Content,
    arch: String,
}

/// A model's sizes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub layers: usize,
    pub hidden: usize,
    pub feed_forward: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub context: usize,
    pub epsilon: f32,
    pub vocabulary: usize,
}

impl Shape {
    /// Bytes of a KV block when a number takes `size` bytes.
    pub fn block_bytes(&self, size: usize) -> usize {
        2 * size * self.layers * self.kv_heads * self.head_dim * BLOCK
    }
}

impl Gguf {
    pub fn open(file: File) -> Result<Self, GgufError> {
        let mut file = BufReader::new(file);
        let content = Content::read(&mut file).map_err(GgufError::Format)?;
        let mut gguf = Self { file, content, arch: String::new() };
        gguf.arch = gguf.text("general.architecture")?.to_string();
        match gguf.arch.as_str() {
            "qwen2" | "qwen3" | "llama" => Ok(gguf),
            other => Err(metadata("general.architecture", format!("{other:?}; supported are qwen2, qwen3 and llama"))),
        }
    }

    pub fn text(&self, key: &str) -> Result<&str, GgufError> {
        let value = self.content.metadata.get(key).ok_or_else(|| metadata(key, "missing"))?;
        value.to_string().map(String::as_str).map_err(|_| metadata(key, "expected a text"))
    }

    pub fn shape(&self) -> Result<Shape, GgufError> {
        let heads = self.size("attention.head_count")?;
        let hidden = self.size("embedding_length")?;
        let kv_heads = self.optional_size("attention.head_count_kv")?.unwrap_or(heads);
        let head_dim = self.optional_size("attention.key_length")?.unwrap_or(hidden / heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(metadata(&self.key("attention.head_count"), format!("{heads} is no multiple of {kv_heads}")));
        }
        if !head_dim.is_multiple_of(2) {
            return Err(metadata(&self.key("attention.key_length"), format!("{head_dim} is odd")));
        }
        Ok(Shape {
            layers: self.size("block_count")?,
            hidden,
            feed_forward: self.size("feed_forward_length")?,
            heads,
            kv_heads,
            head_dim,
            context: self.size("context_length")?,
            epsilon: self.float("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5) as f32,
            vocabulary: self.rows("token_embd.weight")?,
        })
    }

    /// Loads the weights; positions up to `context` can be computed.
    pub fn model(&mut self, shape: &Shape, context: usize) -> Result<Model, GgufError> {
        let sizes = [shape.vocabulary, shape.hidden];
        let embedding = Arc::new(self.weight("token_embd.weight", sizes, Vec::new())?);
        let tied = !self.content.tensor_infos.contains_key("output.weight");
        let head = if tied { embedding.clone() } else { Arc::new(self.weight("output.weight", sizes, Vec::new())?) };
        Ok(Model {
            layers: (0..shape.layers).map(|number| self.layer(number, shape)).collect::<Result<_, _>>()?,
            norm: self.floats("output_norm.weight", shape.hidden)?,
            head,
            attention: Attention {
                heads: shape.heads,
                kv_heads: shape.kv_heads,
                head_dim: shape.head_dim,
                norm_epsilon: shape.epsilon,
                rope: self.rope(shape, context)?,
            },
            epsilon: shape.epsilon,
            embedding,
        })
    }

    fn layer(&mut self, number: usize, shape: &Shape) -> Result<Layer, GgufError> {
        let (q, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        let (hidden, ff) = (shape.hidden, shape.feed_forward);
        let name = |part: &str| format!("blk.{number}.{part}");
        Ok(Layer {
            attention_norm: self.floats(&name("attn_norm.weight"), hidden)?,
            query: self.linear(&name("attn_q"), q, hidden)?,
            key: self.linear(&name("attn_k"), kv, hidden)?,
            value: self.linear(&name("attn_v"), kv, hidden)?,
            head_norms: self.head_norms(&name("attn_q_norm.weight"), &name("attn_k_norm.weight"), shape.head_dim)?,
            output: self.linear(&name("attn_output"), hidden, q)?,
            mlp_norm: self.floats(&name("ffn_norm.weight"), hidden)?,
            gate: self.linear(&name("ffn_gate"), ff, hidden)?,
            up: self.linear(&name("ffn_up"), ff, hidden)?,
            down: self.linear(&name("ffn_down"), hidden, ff)?,
        })
    }

    fn head_norms(&mut self, query: &str, key: &str, head_dim: usize) -> Result<Option<HeadNorms>, GgufError> {
        if self.arch != "qwen3" {
            return Ok(None);
        }
        Ok(Some(HeadNorms { query: self.floats(query, head_dim)?, key: self.floats(key, head_dim)? }))
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Linear, GgufError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let bias = match self.content.tensor_infos.contains_key(&bias) {
            true => self.floats(&bias, outputs)?,
            false => Vec::new(),
        };
        self.weight(&weight, [outputs, inputs], bias)
    }

    fn weight(&mut self, name: &str, sizes: [usize; 2], bias: Vec<f32>) -> Result<Linear, GgufError> {
        let read = self.tensor(name, &sizes)?;
        Linear::new(&read, bias).map_err(|error| tensor(name, error))
    }

    fn rope(&mut self, shape: &Shape, context: usize) -> Result<Rope, GgufError> {
        let turned = self.optional_size("rope.dimension_count")?.unwrap_or(shape.head_dim);
        if turned > shape.head_dim || !turned.is_multiple_of(2) {
            return Err(metadata(&self.key("rope.dimension_count"), format!("{turned} of {}", shape.head_dim)));
        }
        let scale = self.rope_scale()?;
        let base = self.float("rope.freq_base")?.unwrap_or(10_000.0);
        let factors = match self.content.tensor_infos.contains_key("rope_freqs.weight") {
            true => self.floats("rope_freqs.weight", turned / 2)?,
            false => vec![1.0; turned / 2],
        };
        let frequency =
            |(pair, factor): (usize, f32)| base.powf(-2.0 * pair as f64 / turned as f64) / f64::from(factor) / scale;
        let frequencies: Vec<f64> = factors.into_iter().enumerate().map(frequency).collect();
        let pairing = if self.arch == "llama" { Pairing::Neighbours } else { Pairing::Halves };
        Ok(Rope::new(pairing, &frequencies, context))
    }

    fn rope_scale(&self) -> Result<f64, GgufError> {
        let key = self.key("rope.scaling.type");
        let kind = if self.content.metadata.contains_key(&key) { self.text(&key)? } else { "none" };
        match kind {
            "none" => Ok(1.0),
            "linear" => Ok(self.float("rope.scaling.factor")?.filter(|factor| *factor > 0.0).unwrap_or(1.0)),
            other => Err(metadata(&key, format!("{other:?}; supported are none and linear"))),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    fn size(&self, name: &str) -> Result<usize, GgufError> {
        self.optional_size(name)?.ok_or_else(|| metadata(&self.key(name), "missing"))
    }

    fn optional_size(&self, name: &str) -> Result<Option<usize>, GgufError> {
        let key = self.key(name);
        let Some(value) = self.content.metadata.get(&key) else { return Ok(None) };
        let size =
            value.to_u64().ok().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=1 << 24).contains(size));
        size.map(Some).ok_or_else(|| metadata(&key, format!("{value:?}; expected a number from 1 to 2^24")))
    }

    fn float(&self, name: &str) -> Result<Option<f64>, GgufError> {
        let key = self.key(name);
        match self.content.metadata.get(&key) {
            None => Ok(None),
            Some(Value::F32(value)) => Ok(Some(f64::from(*value))),
            Some(Value::F64(value)) => Ok(Some(*value)),
            Some(other) => Err(metadata(&key, format!("{other:?}; expected a floating point number"))),
        }
    }

    fn rows(&self, name: &str) -> Result<usize, GgufError> {
        let info = self.content.tensor_infos.get(name).ok_or_else(|| tensor(name, "missing"))?;
        info.shape.dims().first().copied().ok_or_else(|| tensor(name, "has no dimensions"))
    }

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<QTensor, GgufError> {
        let info = self.content.tensor_infos.get(name).ok_or_else(|| tensor(name, "missing"))?;
        if info.shape.dims() != shape {
            return Err(tensor(name, format!("shape {:?}, expected {shape:?}", info.shape.dims())));
        }
        let read = self.content.tensor(&mut self.file, name, &Device::Cpu);
        read.map_err(|error| tensor(name, error))
    }

    fn floats(&mut self, name: &str, len: usize) -> Result<Vec<f32>, GgufError> {
        let read = self.tensor(name, &[len])?.dequantize(&Device::Cpu);
        read.and_then(|floats| floats.to_vec1()).map_err(|error| tensor(name, error))
    }
}

fn metadata(key: &str, problem: impl Into<String>) -> GgufError {
    GgufError::Metadata { key: key.into(), problem: problem.into() }
}

fn tensor(name: &str, problem: impl ToString) -> GgufError {
    GgufError::Tensor { name: name.into(), problem: problem.to_string() }
}
