//! Compiles the CUDA kernels. Without feature `cuda` there is nothing to do.

use std::{env, path::PathBuf, process::Command};

/// Generations of GPUs: A100, and H100 or H200.
const GENERATIONS: &str = "80,90";

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    for variable in ["CUDA_HOME", "CUDA_COMPUTE_CAP", "NVCC_CCBIN"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rerun-if-changed=kernels");
    let nvcc = env::var_os("CUDA_HOME").map_or_else(|| "nvcc".into(), |home| PathBuf::from(home).join("bin/nvcc"));
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?).join("kernels.fatbin");
    let generations = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| GENERATIONS.into());
    let targets = generations.split([',', ' ']).map(str::trim).filter(|generation| !generation.is_empty());
    let mut command = Command::new(&nvcc);
    command.args(["--fatbin", "-std=c++17", "-O3"]);
    for generation in targets {
        command.arg(format!("-gencode=arch=compute_{generation},code=sm_{generation}"));
    }
    command.arg("-o").arg(out).arg("kernels/kernels.cu");
    let run = command.output();
    let run = run.map_err(|error| format!("{}: {error}; `make cuda` installs it, or set CUDA_HOME", nvcc.display()))?;
    if run.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", nvcc.display(), String::from_utf8_lossy(&run.stderr)))
}
