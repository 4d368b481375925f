//! Reads model files: what a model is, and its weights as they are stored, one at a time and for any device.

mod checkpoint;
mod config;
mod dummy;
mod error;
mod file;
mod gguf;
mod int4;
mod keys;
mod memory;
mod part;
mod rope;
mod safetensors;
mod shape;
mod verify;
mod weight;

#[cfg(test)]
mod tests;

pub(crate) use checkpoint::{Checkpoint, Info};
pub(crate) use dummy::dummy_name;
pub use error::{WeightsError, WeightsProblem};
pub(crate) use int4::Int4;
pub(crate) use memory::available;
pub(crate) use part::{LayerPart, Part};
pub(crate) use shape::{Architecture, Pairing, Shape};
pub use verify::Mismatch;
pub(crate) use verify::{check, hashed};
pub(crate) use weight::{Data, Float, Kind, Weight};
