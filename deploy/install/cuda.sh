#!/usr/bin/env bash
# Installs NVIDIA's compiler and cuBLAS, and builds Frontdesk for NVIDIA GPUs. The machine needs no GPU for that.
#
# CUDA_COMPUTE_CAP: generations of GPUs, 80 (A100) and 90 (H100, H200); both by default.
# CUDA_HOME: a toolkit that is there already (13.0 or newer); nothing is installed then.
set -euo pipefail
# shellcheck source=deploy/install/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=13.0
packages=(
  nvidia-cuda-nvcc==13.0.88
  nvidia-cuda-crt==13.0.88
  nvidia-nvvm==13.0.88
  nvidia-cuda-runtime==13.0.96
  nvidia-cublas==13.1.0.3
)

# One call: a second one with --target would not merge its files. Renamed when complete, so a broken download is no toolkit.
install_toolkit() {
  local home=$1 part=$1.part
  say "Installing NVIDIA's compiler and cuBLAS, about 850 MB, into $home"
  rm -rf "$part"
  mkdir -p "$(dirname "$home")"
  quietly python3 -m pip install --no-deps --target "$part" "${packages[@]}"
  mv "$part" "$home"
}

if [[ -z ${CUDA_HOME:-} ]]; then
  home=$cache/cuda/$version
  [[ -x $home/nvidia/cu13/bin/nvcc ]] || install_toolkit "$home"
  export CUDA_HOME=$home/nvidia/cu13
fi
[[ -x $CUDA_HOME/bin/nvcc ]] || die "CUDA_HOME=$CUDA_HOME holds no bin/nvcc."

cd "$root"
cargo build --release -p frontdesk --features cuda
libraries=$(dirname "$(find -L "$CUDA_HOME" -name 'libcublasLt.so*' -print -quit)")
say "Built with CUDA_HOME=$CUDA_HOME"
say "Where the system has none of CUDA's libraries, start it with LD_LIBRARY_PATH=$libraries"
