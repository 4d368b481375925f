//! Every kernel against a plain computation in f64, on input that is drawn anew at each run: on the emulated device, and on
//! the first GPU where the feature is built and there is one.

mod attention;
mod elementwise;
mod golden;
mod int4;
mod runner;
mod sample;

use super::device::{Buffer, Device, Element};
use half::bf16;
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// Runs `test` on each device that there is, and says which are missing.
pub(super) fn on_devices(test: impl Fn(&Arc<dyn Device>, &mut Random)) {
    let seed = RandomState::new().hash_one("seed");
    for (name, device) in devices() {
        eprintln!("{name}, seed {seed}");
        test(&device, &mut Random(seed));
    }
}

fn devices() -> Vec<(&'static str, Arc<dyn Device>)> {
    let emulated = super::emulated::device().map(|device| ("emulated device", device));
    #[cfg(feature = "cuda")]
    let gpu = match super::driver::open(0) {
        Ok(device) => Some(("CUDA device 0", device)),
        Err(problem) => {
            eprintln!("SKIPPED on a GPU: no CUDA device ({problem})");
            None
        }
    };
    #[cfg(not(feature = "cuda"))]
    let gpu = None;
    emulated.into_iter().chain(gpu).collect()
}

/// Xorshift numbers; each run of a test starts at another one.
pub(super) struct Random(u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From -1 to 1.
    pub fn signed(&mut self) -> f32 {
        (self.unit() * 2.0 - 1.0) as f32
    }

    pub fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.signed()).collect()
    }

    pub fn halves(&mut self, len: usize) -> Vec<bf16> {
        (0..len).map(|_| bf16::from_f32(self.signed())).collect()
    }

    /// `count` different numbers below `bound`.
    pub fn different(&mut self, count: usize, bound: usize) -> Vec<i32> {
        let mut all: Vec<i32> = (0..bound as i32).collect();
        (0..count).for_each(|at| all.swap(at, at + self.below(bound - at)));
        all.truncate(count);
        all
    }
}

pub(super) fn buffer<T: Element>(device: &Arc<dyn Device>, elements: &[T]) -> Buffer<T> {
    Buffer::from_slice(device, elements).unwrap()
}

/// Memory of which every element must be written: it holds no numbers.
pub(super) fn unwritten<T: Element>(device: &Arc<dyn Device>, len: usize) -> Buffer<T> {
    let bytes = vec![0xff; size_of::<T>()];
    Buffer::from_slice(device, &vec![T::from_bytes(&bytes); len]).unwrap()
}

pub(super) fn read(buffer: &Buffer<bf16>) -> Vec<f64> {
    wide(&buffer.read(0, buffer.len()).unwrap())
}

pub(super) fn wide(halves: &[bf16]) -> Vec<f64> {
    halves.iter().map(|half| half.to_f64()).collect()
}

/// Whether `found` differs from `expected` by no more than `tolerance` of its length; NaN never passes.
#[track_caller]
pub(super) fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let error = length(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let whole = length(&mut expected.iter().copied());
    assert!(error <= tolerance * whole, "error {error} of {whole}");
}

/// What rounding to bf16 costs, with room.
pub(super) const BF16: f64 = 4e-3;
