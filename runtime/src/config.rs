//! Layered configuration: shipped defaults < file < environment < flags.

/// A value that is well-formed but not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct Problem {
    /// The key's full path, such as `inference.max_sequences`.
    pub key: String,
    /// The value at fault.
    pub value: String,
    /// What would be accepted.
    pub expected: String,
}

impl Problem {
    /// A problem of `key`.
    pub fn new(key: &str, value: impl ToString, expected: &str) -> Self {
        Self { key: key.into(), value: value.to_string(), expected: expected.into() }
    }
}
