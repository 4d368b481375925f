//! Weights in one or several safetensors files.

use super::{Float, Info, Kind, WeightsError, WeightsProblem, file::Parts};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

/// Bytes before a file's header: its length.
const LENGTH: usize = 8;
/// The longest header that is read, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// A directory's weights.
pub(crate) struct Safetensors {
    dir: PathBuf,
    files: Vec<Shard>,
    /// Which file holds a tensor.
    places: HashMap<String, usize>,
}

struct Shard {
    parts: Parts,
    metadata: Metadata,
    /// Where the tensors begin.
    start: u64,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Safetensors {
    /// `model.safetensors`, or else the files that `model.safetensors.index.json` names.
    pub fn open(dir: &Path) -> Result<Self, WeightsError> {
        let names = match dir.join("model.safetensors").is_file() {
            true => BTreeSet::from(["model.safetensors".into()]),
            false => indexed(dir)?,
        };
        let shards = names.iter().map(|name| Shard::open(&dir.join(name)));
        let files = shards.collect::<Result<Vec<Shard>, _>>()?;
        let tensors =
            |(at, shard): (usize, &Shard)| shard.metadata.offset_keys().into_iter().map(move |name| (name, at));
        let places = files.iter().enumerate().flat_map(tensors).collect();
        Ok(Self { dir: dir.into(), files, places })
    }

    /// The file of a tensor, or the directory.
    pub fn path(&self, name: &str) -> &Path {
        self.find(name).map_or(&self.dir, |(shard, _)| &shard.parts.path)
    }

    pub fn info(&self, name: &str) -> Option<Info> {
        let (_, info) = self.find(name)?;
        let kind = match info.dtype {
            Dtype::F32 => Kind::Float(Float::F32),
            Dtype::F16 => Kind::Float(Float::F16),
            Dtype::BF16 => Kind::Float(Float::Bf16),
            Dtype::I32 => Kind::I32,
            _ => Kind::Other,
        };
        Some(Info { dims: info.shape.clone(), kind })
    }

    pub fn bytes(&self, name: &str, len: usize) -> Result<Vec<u8>, WeightsProblem> {
        let (shard, info) = self.find(name).ok_or_else(|| WeightsProblem::tensor(name, "missing"))?;
        let read = shard.parts.read(shard.start + info.data_offsets.0 as u64, len);
        read.map_err(|problem| WeightsProblem::tensor(name, problem))
    }

    fn find(&self, name: &str) -> Option<(&Shard, &TensorInfo)> {
        let shard = &self.files[*self.places.get(name)?];
        Some((shard, shard.metadata.info(name)?))
    }
}

/// Names of the files that hold weights.
fn indexed(dir: &Path) -> Result<BTreeSet<String>, WeightsError> {
    let path = dir.join("model.safetensors.index.json");
    if !path.exists() {
        let problem = "holds neither model.safetensors nor model.safetensors.index.json".into();
        return Err(WeightsProblem::Format(problem).at(dir));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| WeightsProblem::Read(error).at(&path))?;
    let unreadable = |error| WeightsProblem::Format(format!("not a readable index: {error}")).at(&path);
    let index: Index = serde_json::from_str(&text).map_err(unreadable)?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    let strange = names.iter().find(|name| name.contains(['/', '\\']) || name.as_str() == "..");
    match strange {
        Some(name) => {
            Err(WeightsProblem::key("weight_map", format!("{name:?} is no file of this directory")).at(&path))
        }
        None => Ok(names),
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self, WeightsError> {
        let parts = Parts::open(path)?;
        match header(&parts) {
            Ok((start, metadata)) => Ok(Self { parts, metadata, start }),
            Err(problem) => Err(problem.at(path)),
        }
    }
}

/// Where the tensors begin, and what they are. All of them lie within the file.
fn header(parts: &Parts) -> Result<(u64, Metadata), WeightsProblem> {
    let unreadable = |problem: String| WeightsProblem::Format(format!("not a readable safetensors file: {problem}"));
    let length = parts.read(0, LENGTH)?;
    let length = length.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if length > MAX_HEADER || length > parts.len {
        return Err(unreadable(format!("its header claims {length} bytes, the file has {}", parts.len)));
    }
    let header = parts.read(LENGTH as u64, length as usize)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| unreadable(error.to_string()))?;
    let start = LENGTH as u64 + length;
    let end = start.saturating_add(metadata.data_len() as u64);
    match end == parts.len {
        true => Ok((start, metadata)),
        false => Err(WeightsProblem::Format(format!("the file has {} bytes, its header says {end}", parts.len))),
    }
}
