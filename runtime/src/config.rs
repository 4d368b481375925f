//! Layered configuration: shipped defaults < file < environment < flags.
