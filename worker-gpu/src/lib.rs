//! Generates answers: job intake, continuous batching, models, sampling and engines.
