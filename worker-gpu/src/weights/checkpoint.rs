//! A model's files, whatever their format.

use super::{
    Data, Int4, Kind, Part, Shape, Weight, WeightsError, WeightsProblem, config,
    dummy::{self, Dummy},
    gguf::Gguf,
    int4::Scheme,
    safetensors::Safetensors,
};
use candle_core::quantized::gguf_file::Content;
use std::path::Path;

/// An open model: its shape, and its weights on demand.
pub(crate) struct Checkpoint {
    pub shape: Shape,
    source: Source,
    /// How layers' matrices are quantized to four bits.
    scheme: Option<Scheme>,
}

enum Source {
    Gguf(Box<Gguf>),
    Directory(Safetensors),
    Dummy(Dummy),
}

/// What is known of a tensor before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Info {
    pub dims: Vec<usize>,
    pub kind: Kind,
}

impl Checkpoint {
    /// Opens a GGUF file, a directory in Hugging Face's format, or a dummy. Every weight is there whole and has the right
    /// shape.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        if let Some(name) = dummy::dummy_name(path) {
            let opened = Dummy::open(name).map_err(|problem| WeightsProblem::Format(problem).at(path))?;
            return Ok(Self { shape: opened.0, source: Source::Dummy(opened.1), scheme: None });
        }
        let opened = if path.is_dir() { Self::directory(path)? } else { Self::gguf(path)? };
        opened.shape.check().map_err(|problem| problem.at(path))?;
        opened.shape.parts().try_for_each(|part| opened.info(part).map(drop))?;
        Ok(opened)
    }

    fn gguf(path: &Path) -> Result<Self, WeightsError> {
        let gguf = Gguf::open(path)?;
        let shape = gguf.shape().map_err(|problem| problem.at(path))?;
        Ok(Self { shape, source: Source::Gguf(Box::new(gguf)), scheme: None })
    }

    fn directory(dir: &Path) -> Result<Self, WeightsError> {
        let path = dir.join("config.json");
        let text = std::fs::read(&path).map_err(|error| WeightsProblem::Read(error).at(&path))?;
        let unreadable = |error| WeightsProblem::Format(format!("not readable JSON: {error}")).at(&path);
        let config = serde_json::from_slice(&text).map_err(unreadable)?;
        let tensors = Safetensors::open(dir)?;
        let has_head = tensors.info("lm_head.weight").is_some();
        let (shape, scheme) = config::parse(&config, has_head).map_err(|problem| problem.at(&path))?;
        Ok(Self { shape, source: Source::Directory(tensors), scheme })
    }

    /// Metadata of a GGUF file, which holds the tokenizer too.
    pub fn metadata(&self) -> Option<&Content> {
        match &self.source {
            Source::Gguf(gguf) => Some(&gguf.content),
            Source::Directory(_) | Source::Dummy(_) => None,
        }
    }

    /// How a weight is stored. Of four bits: `Kind::I32`, in `[inputs, outputs]` with one of them divided by eight.
    pub fn info(&self, part: Part) -> Result<Info, WeightsError> {
        if let Source::Dummy(dummy) = self.source {
            return Ok(dummy.info(&self.shape, part));
        }
        if let Some((scheme, base)) = self.quantized(part) {
            let dims = self.shape.dims(part);
            return scheme.check(&base, &dims, &|name| self.find(name)).map_err(|problem| self.at(&base, problem));
        }
        let name = format!("{}.weight", self.name(part));
        let found = self.find(&name).ok_or_else(|| WeightsProblem::tensor(&name, "missing; the file is incomplete"));
        let checked = found.and_then(|info| {
            let len = info.bytes(&name, &self.shape.dims(part))?;
            self.check_place(&name, len).map(|()| info)
        });
        checked.map_err(|problem| self.at(&name, problem))
    }

    /// Reads a matrix.
    pub fn matrix(&self, part: Part) -> Result<Weight, WeightsError> {
        if let Source::Dummy(dummy) = self.source {
            return Ok(dummy.matrix(&self.shape, part));
        }
        let dims = self.shape.dims(part);
        let data = match self.quantized(part) {
            Some((scheme, base)) => self.four_bits(scheme, &base, &dims).map(Data::Int4),
            None => self.numbers(&format!("{}.weight", self.name(part)), &dims),
        };
        let data = data.map_err(|problem| self.at(&format!("{}.weight", self.name(part)), problem))?;
        Ok(Weight { outputs: dims[0], inputs: dims[dims.len() - 1], data })
    }

    /// Reads a norm's weights.
    pub fn norm(&self, part: Part) -> Result<Vec<f32>, WeightsError> {
        if let Source::Dummy(_) = self.source {
            return Ok(vec![1.0; self.shape.dims(part)[0]]);
        }
        let name = format!("{}.weight", self.name(part));
        self.floats(&name, &self.shape.dims(part)).map_err(|problem| self.at(&name, problem))
    }

    /// Reads what is added to a matrix's results, one float per output; empty: nothing.
    pub fn bias(&self, part: Part) -> Result<Vec<f32>, WeightsError> {
        if let Source::Dummy(_) = self.source {
            let biased = self.shape.needs_bias(part);
            return Ok(if biased { vec![0.0; self.shape.dims(part)[0]] } else { Vec::new() });
        }
        let name = format!("{}.bias", self.name(part));
        if self.find(&name).is_none() && !self.shape.needs_bias(part) {
            return Ok(Vec::new());
        }
        self.floats(&name, &self.shape.dims(part)[..1]).map_err(|problem| self.at(&name, problem))
    }

    fn numbers(&self, name: &str, dims: &[usize]) -> Result<Data, WeightsProblem> {
        let info = self.find(name).ok_or_else(|| WeightsProblem::tensor(name, "missing"))?;
        let bytes = self.bytes(name, info.bytes(name, dims)?)?;
        match info.kind {
            Kind::Float(float) => Ok(Data::Floats(float, bytes)),
            Kind::Blocks(dtype) => Ok(Data::Blocks(dtype, bytes)),
            Kind::I32 | Kind::Other => Err(WeightsProblem::tensor(name, "has a format that is not supported")),
        }
    }

    fn floats(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsProblem> {
        let info = self.find(name).ok_or_else(|| WeightsProblem::tensor(name, "missing; the file is incomplete"))?;
        info.floats(name, dims, |len| self.bytes(name, len))
    }

    fn four_bits(&self, scheme: Scheme, base: &str, dims: &[usize]) -> Result<Int4, WeightsProblem> {
        scheme.check(base, dims, &|name| self.find(name))?;
        let read = |name: &str| {
            let info = self.find(name).ok_or_else(|| WeightsProblem::tensor(name, "missing"))?;
            let bytes = self.bytes(name, info.bytes(name, &info.dims)?)?;
            Ok((info.kind, bytes))
        };
        scheme.read(base, dims[0], dims[1], &read)
    }

    /// How a weight is quantized to four bits, and its name.
    fn quantized(&self, part: Part) -> Option<(Scheme, String)> {
        let (scheme, base) = (self.scheme?, self.name(part));
        self.find(&format!("{base}.qweight")).map(|_| (scheme, base))
    }

    fn name(&self, part: Part) -> String {
        match self.source {
            Source::Gguf(_) => part.gguf(),
            Source::Directory(_) | Source::Dummy(_) => part.hugging_face(),
        }
    }

    fn find(&self, name: &str) -> Option<Info> {
        match &self.source {
            Source::Gguf(gguf) => gguf.info(name),
            Source::Directory(tensors) => tensors.info(name),
            Source::Dummy(_) => None,
        }
    }

    fn bytes(&self, name: &str, len: usize) -> Result<Vec<u8>, WeightsProblem> {
        match &self.source {
            Source::Gguf(gguf) => gguf.bytes(name, len),
            Source::Directory(tensors) => tensors.bytes(name, len),
            Source::Dummy(_) => Err(WeightsProblem::tensor(name, "a dummy has no files")),
        }
    }

    /// Whether a tensor's bytes are in the file. Of safetensors files the header has been compared with the length.
    fn check_place(&self, name: &str, len: usize) -> Result<(), WeightsProblem> {
        match &self.source {
            Source::Gguf(gguf) => gguf.check_place(name, len),
            Source::Directory(_) | Source::Dummy(_) => Ok(()),
        }
    }

    fn at(&self, name: &str, problem: WeightsProblem) -> WeightsError {
        problem.at(match &self.source {
            Source::Gguf(gguf) => gguf.path(),
            Source::Directory(tensors) => tensors.path(name),
            Source::Dummy(_) => Path::new(name),
        })
    }
}

impl Info {
    /// Bytes of the tensor `name`, which must have the dimensions `dims`.
    pub fn bytes(&self, name: &str, dims: &[usize]) -> Result<usize, WeightsProblem> {
        if self.dims != dims {
            return Err(WeightsProblem::tensor(name, format!("shape {:?}, expected {dims:?}", self.dims)));
        }
        let count = dims.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
        let bytes = count.and_then(|count| self.kind.bytes(count));
        bytes.ok_or_else(|| WeightsProblem::tensor(name, "has a format that is not supported"))
    }

    /// The tensor's numbers, which `read` reads.
    pub(super) fn floats(
        &self,
        name: &str,
        dims: &[usize],
        read: impl FnOnce(usize) -> Result<Vec<u8>, WeightsProblem>,
    ) -> Result<Vec<f32>, WeightsProblem> {
        let len = self.bytes(name, dims)?;
        match self.kind {
            Kind::Float(float) => read(len).map(|bytes| float.widen(&bytes)),
            _ => Err(WeightsProblem::tensor(name, "expected F32, F16 or BF16")),
        }
    }
}
