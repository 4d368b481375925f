//! The forward pass on tiny random models: right against a naive reference.

pub(crate) mod golden;
mod parity;
mod real;
mod reference;
pub(crate) mod tiny;
