//! The engine on tiny random models: right against a naive reference, and the same whatever runs beside.

mod engine;
mod parity;
mod real;
mod reference;
mod tiny;
