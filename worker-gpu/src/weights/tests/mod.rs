//! Model directories, right and wrong.

mod damaged;
mod four_bits;

use crate::candle::tests::golden;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// A copy of a tiny model, to be changed.
pub fn copy(name: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in golden::dir(name).read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// Changes keys of a directory's `config.json`.
pub fn configure(dir: &Path, changes: &Value) {
    let path = dir.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    std::fs::write(path, config.to_string()).unwrap();
}
