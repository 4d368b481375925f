//! Whether a model file is the one that it should be.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The models that `make models` fetches.
const MANIFEST: &str = include_str!("../../../deploy/models/models.toml");

#[derive(Deserialize)]
struct Manifest {
    model: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    file: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    size: u64,
    sha256: String,
}

/// How a file differs from what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is too long or too short.
    #[error("{found} bytes, expected {expected}")]
    Size {
        /// Its length.
        found: u64,
        /// The length it should have.
        expected: u64,
    },
    /// It has other contents.
    #[error("SHA-256 {found}, expected {expected}")]
    Hash {
        /// Its hash in hexadecimal.
        found: String,
        /// The hash it should have.
        expected: String,
    },
}

/// Compares `path` with the file `<path>.sha256` beside it, or else with the manifest's entry of that name. A file that
/// neither knows passes.
pub(crate) fn check(path: &Path) -> io::Result<Result<(), Mismatch>> {
    let Some((size, expected)) = beside(path)?.or_else(|| in_manifest(path)) else {
        return Ok(Ok(()));
    };
    let found = path.metadata()?.len();
    if let Some(expected) = size.filter(|size| *size != found) {
        return Ok(Err(Mismatch::Size { found, expected }));
    }
    let found = sha256(path)?;
    Ok(if found == expected { Ok(()) } else { Err(Mismatch::Hash { found, expected }) })
}

/// The files in `dir` that have a hash beside them.
pub(crate) fn hashed(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in dir.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sha256") {
            files.push(path.with_extension(""));
        }
    }
    Ok(files)
}

type Expected = (Option<u64>, String);

/// In the format of `sha256sum`.
fn beside(path: &Path) -> io::Result<Option<Expected>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha256");
    match std::fs::read_to_string(name) {
        Ok(text) => Ok(text.split_whitespace().next().map(|hash| (None, hash.to_lowercase()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn in_manifest(path: &Path) -> Option<Expected> {
    let manifest: Manifest = toml::from_str(MANIFEST).ok()?;
    let name = path.file_name()?.to_str()?;
    let entry = manifest.model.into_iter().flat_map(|model| model.file).find(|entry| entry.path == name)?;
    Some((Some(entry.size), entry.sha256))
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0u8; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_understood() {
        let (size, hash) = in_manifest(Path::new("/x/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")).unwrap();
        assert_eq!((size, hash.len()), (Some(1_117_320_768), 64));
    }

    #[test]
    fn what_differs_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(check(&path).unwrap(), Ok(()));
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        std::fs::write(dir.path().join("model.gguf.sha256"), format!("{}  model.gguf\n", right.to_uppercase()))
            .unwrap();
        assert_eq!(check(&path).unwrap(), Ok(()));
        std::fs::write(&path, "abd").unwrap();
        assert!(matches!(check(&path).unwrap(), Err(Mismatch::Hash { expected, .. }) if expected == right));
        let known = dir.path().join("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf");
        std::fs::write(&known, "abc").unwrap();
        assert_eq!(check(&known).unwrap(), Err(Mismatch::Size { found: 3, expected: 1_117_320_768 }));
    }
}
