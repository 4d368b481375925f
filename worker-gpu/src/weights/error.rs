//! What is wrong with a model's files.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A model's file cannot be used; the message is for an operator.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct WeightsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: WeightsProblem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsProblem {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It has another format, or ends early.
    #[error("{0}; fetch the file again")]
    Format(String),
    /// A key of the configuration or of the metadata is absent, or has a value that cannot be used.
    #[error("{key}: {problem}")]
    Key {
        /// The key.
        key: String,
        /// What was found and expected.
        problem: String,
    },
    /// A weight is absent, has an unexpected shape, or cannot be read.
    #[error("tensor {name}: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What was found and expected.
        problem: String,
    },
}

impl WeightsProblem {
    pub(super) fn key(key: &str, problem: impl Into<String>) -> Self {
        Self::Key { key: key.into(), problem: problem.into() }
    }

    pub(super) fn tensor(name: &str, problem: impl ToString) -> Self {
        Self::Tensor { name: name.into(), problem: problem.to_string() }
    }

    /// Of the file `path`.
    pub(crate) fn at(self, path: &Path) -> WeightsError {
        WeightsError { path: path.into(), problem: self }
    }
}
