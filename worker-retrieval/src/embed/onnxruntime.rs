//! The process's one ONNX Runtime, loaded from a file.

use super::EmbedError;
use ort::{environment::Environment, ep::ExecutionProviderDispatch};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The library allows one environment per process, and never a second one, so it is kept for the process's life.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Loads `$ORT_DYLIB_PATH`, or `libonnxruntime.so` in `models`, unless a library is loaded already.
pub fn environment(models: &Path) -> Result<Environment, EmbedError> {
    let mut loaded = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = loaded.as_ref() {
        return Ok(environment.clone());
    }
    let path = library(models);
    // Without the file the library panics at its first use.
    let path = path.canonicalize().map_err(|source| EmbedError::File { what: "ONNX Runtime library", path, source })?;
    let builder = ort::init_from(&path).map_err(|error| EmbedError::Runtime(error.to_string()))?;
    let built = builder.with_name("frontdesk").with_telemetry(false).build();
    let environment = built.map_err(|error| EmbedError::Runtime(error.to_string()))?;
    *loaded = Some(environment.clone());
    Ok(environment)
}

/// Where models are computed: on the GPU when built so, and on the CPU what it cannot do.
pub fn providers() -> Vec<ExecutionProviderDispatch> {
    #[cfg(feature = "cuda")]
    return vec![ort::ep::CUDA::default().build()];
    #[cfg(not(feature = "cuda"))]
    Vec::new()
}

fn library(models: &Path) -> PathBuf {
    std::env::var_os("ORT_DYLIB_PATH").map_or_else(|| models.join("libonnxruntime.so"), PathBuf::from)
}
