//! The engine's forward pass on NVIDIA GPUs (feature `cuda`).
//!
//! The kernels are in `kernels/*.cu`, dense products in cuBLASLt. Everything above the driver speaks to a
//! [`device::Device`], so that tests run the same code on an emulated one.

#[cfg(feature = "cuda")]
mod blas;
mod cache;
mod device;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(test)]
mod emulated;
mod inputs;
mod int4;
mod kernels;
mod linear;
mod load;
mod model;
mod open;
mod read;
mod runner;
mod space;
#[cfg(test)]
mod tests;

#[cfg(feature = "cuda")]
pub(crate) use open::open;
