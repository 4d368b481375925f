//! A GGUF file: one file that holds metadata, tokenizer and weights.

use super::{Architecture, Info, Pairing, Part, Shape, WeightsError, WeightsProblem, file::Parts, rope};
use candle_core::quantized::gguf_file::{Content, Value};
use std::{fs::File, io::BufReader, path::Path};

/// An open GGUF file.
pub(crate) struct Gguf {
    parts: Parts,
    /// Metadata and the tensors' places.
    pub content: Content,
}

impl Gguf {
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let parts = Parts::open(path)?;
        let file = File::open(path).map_err(|error| WeightsProblem::Read(error).at(path))?;
        let unreadable = |error| WeightsProblem::Format(format!("not a readable GGUF file: {error}")).at(path);
        let content = Content::read(&mut BufReader::new(file)).map_err(unreadable)?;
        Ok(Self { parts, content })
    }

    pub fn path(&self) -> &Path {
        &self.parts.path
    }

    pub fn info(&self, name: &str) -> Option<Info> {
        let info = self.content.tensor_infos.get(name)?;
        Some(Info { dims: info.shape.dims().to_vec(), kind: info.ggml_dtype.into() })
    }

    pub fn bytes(&self, name: &str, len: usize) -> Result<Vec<u8>, WeightsProblem> {
        let read = self.parts.read(self.offset(name)?, len);
        read.map_err(|problem| WeightsProblem::tensor(name, problem))
    }

    /// Whether all bytes of a tensor are in the file.
    pub fn check_place(&self, name: &str, len: usize) -> Result<(), WeightsProblem> {
        let found = self.parts.check(self.offset(name)?, len);
        found.map_err(|problem| WeightsProblem::tensor(name, problem))
    }

    fn offset(&self, name: &str) -> Result<u64, WeightsProblem> {
        let info = self.content.tensor_infos.get(name).ok_or_else(|| WeightsProblem::tensor(name, "missing"))?;
        Ok(self.content.tensor_data_offset.saturating_add(info.offset))
    }

    pub fn shape(&self) -> Result<Shape, WeightsProblem> {
        self.metadata()?.shape(self)
    }

    fn metadata(&self) -> Result<Metadata<'_>, WeightsProblem> {
        if let Some(Value::U16(2..)) = self.content.metadata.get("split.count") {
            return Err(WeightsProblem::key("split.count", "one part of several; merge them with llama-gguf-split"));
        }
        let arch = text(&self.content, "general.architecture")?.ok_or_else(|| missing("general.architecture"))?;
        Ok(Metadata { content: &self.content, arch })
    }
}

/// Reads the metadata of one architecture.
struct Metadata<'a> {
    content: &'a Content,
    arch: &'a str,
}

impl Metadata<'_> {
    fn shape(&self, gguf: &Gguf) -> Result<Shape, WeightsProblem> {
        let parsed = Architecture::parse(self.arch);
        let architecture = parsed.map_err(|problem| WeightsProblem::key("general.architecture", problem))?;
        let heads = self.size("attention.head_count")?;
        let hidden = self.size("embedding_length")?;
        let head_dim = self.optional_size("attention.key_length")?.unwrap_or(hidden / heads);
        let embedding = format!("{}.weight", Part::Embedding.gguf());
        let vocabulary = gguf.info(&embedding).and_then(|info| info.dims.first().copied());
        let epsilon = self.float("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5) as f32;
        Ok(Shape {
            architecture,
            layers: self.size("block_count")?,
            hidden,
            feed_forward: self.size("feed_forward_length")?,
            heads,
            kv_heads: self.optional_size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            context: self.size("context_length")?,
            epsilon,
            vocabulary: vocabulary.ok_or_else(|| WeightsProblem::tensor(&embedding, "missing"))?,
            tied: gguf.info(&format!("{}.weight", Part::Head.gguf())).is_none(),
            pairing: if architecture == Architecture::Llama { Pairing::Neighbours } else { Pairing::Halves },
            frequencies: self.frequencies(gguf, head_dim)?,
        })
    }

    fn frequencies(&self, gguf: &Gguf, head_dim: usize) -> Result<Vec<f64>, WeightsProblem> {
        let turned = self.optional_size("rope.dimension_count")?.unwrap_or(head_dim);
        if turned > head_dim || !turned.is_multiple_of(2) {
            let key = self.key("rope.dimension_count");
            return Err(WeightsProblem::key(&key, format!("{turned}; expected an even number up to {head_dim}")));
        }
        let base = self.float("rope.freq_base")?.unwrap_or(10_000.0);
        let mut frequencies = rope::frequencies(base, turned, &self.scaling()?);
        let factors = "rope_freqs.weight";
        if let Some(info) = gguf.info(factors) {
            let floats = info.floats(factors, &[turned / 2], |len| gguf.bytes(factors, len))?;
            frequencies.iter_mut().zip(floats).for_each(|(frequency, factor)| *frequency /= f64::from(factor));
        }
        Ok(frequencies)
    }

    fn scaling(&self) -> Result<rope::Scaling, WeightsProblem> {
        let key = self.key("rope.scaling.type");
        match text(self.content, &key)?.unwrap_or("none") {
            "none" => Ok(rope::Scaling::None),
            "linear" => {
                let factor = self.float("rope.scaling.factor")?.filter(|factor| *factor > 0.0);
                Ok(rope::Scaling::Linear(factor.unwrap_or(1.0)))
            }
            other => Err(WeightsProblem::key(&key, format!("{other:?}; supported are none and linear"))),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    fn size(&self, name: &str) -> Result<usize, WeightsProblem> {
        self.optional_size(name)?.ok_or_else(|| missing(&self.key(name)))
    }

    fn optional_size(&self, name: &str) -> Result<Option<usize>, WeightsProblem> {
        let key = self.key(name);
        let Some(value) = self.content.metadata.get(&key) else { return Ok(None) };
        let size =
            value.to_u64().ok().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=1 << 24).contains(size));
        size.map(Some).ok_or_else(|| WeightsProblem::key(&key, format!("{value:?}; expected a number from 1 to 2^24")))
    }

    fn float(&self, name: &str) -> Result<Option<f64>, WeightsProblem> {
        let key = self.key(name);
        match self.content.metadata.get(&key) {
            None => Ok(None),
            Some(Value::F32(value)) => Ok(Some(f64::from(*value))),
            Some(Value::F64(value)) => Ok(Some(*value)),
            Some(other) => Err(WeightsProblem::key(&key, format!("{other:?}; expected a floating point number"))),
        }
    }
}

fn text<'a>(content: &'a Content, key: &str) -> Result<Option<&'a str>, WeightsProblem> {
    let Some(value) = content.metadata.get(key) else { return Ok(None) };
    let text = value.to_string().map(|text| Some(text.as_str()));
    text.map_err(|_| WeightsProblem::key(key, "expected a text"))
}

fn missing(key: &str) -> WeightsProblem {
    WeightsProblem::key(key, "missing")
}
