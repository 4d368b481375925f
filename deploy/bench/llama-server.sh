#!/usr/bin/env bash
# The peer of `frontdesk bench engine`: llama.cpp's own server, on this machine, for this processor.
# Builds it once from the sources that PyPI's llama-cpp-python carries, then serves a GGUF file on the loopback.
#
#   deploy/bench/llama-server.sh [GGUF] [FLAG OF LLAMA-SERVER]…
#   deploy/bench/llama-server.sh --build      only builds it
#
# PORT (8090), THREADS (2), SEQUENCES (16) and CONTEXT (1024 tokens for each of them) come from the environment.
set -euo pipefail
# shellcheck source=deploy/install/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../install/lib.sh"

VERSION=0.3.36
tool=$cache/tools/llama-server-$VERSION

# Prints the folder of llama.cpp's sources, unpacked below $1.
sources() {
  # pip calls the package's build backend for its metadata; that needs cmake and compiles nothing.
  quietly "$1/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-cache-dir \
    --no-binary llama-cpp-python --dest "$1" "llama-cpp-python==$VERSION"
  tar -xzf "$1"/llama_cpp_python-*.tar.gz -C "$1" &&
    echo "$1"/llama_cpp_python-*/vendor/llama.cpp
}

build() {
  local scratch from
  mkdir -p "$cache/tools"
  scratch=$(mktemp -d "$cache/tools/.llama.XXXXXX")
  # shellcheck disable=SC2064 # the folder as it is called now
  trap "rm -rf '$scratch'" EXIT
  say "Building llama-server of llama-cpp-python $VERSION into $cache/tools (some minutes)"
  quietly python3 -m venv "$scratch/venv"
  quietly "$scratch/venv/bin/pip" install --quiet --disable-pip-version-check cmake==4.4.4 ninja==1.13.2
  from=$(sources "$scratch")
  PATH=$scratch/venv/bin:$PATH
  quietly cmake -S "$from" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
  quietly nice cmake --build "$scratch/build" --target llama-server --parallel "$(nproc)"
  mv "$scratch/build/bin/llama-server" "$tool"
}

serve() {
  local model=$cache/models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf sequences=${SEQUENCES:-16}
  if [[ $# -gt 0 && $1 != -* ]]; then
    model=$1
    shift
  fi
  exec "$tool" --model "$model" --host 127.0.0.1 --port "${PORT:-8090}" --threads "${THREADS:-2}" \
    --threads-batch "${THREADS:-2}" --parallel "$sequences" --ctx-size $((sequences * ${CONTEXT:-1024})) \
    --alias "$(basename "$model" .gguf)" --no-webui "$@"
}

want g++ has g++
want python3-venv python3 -c 'import ensurepip, venv'
install_missing
[[ -x $tool ]] || (build)
[[ ${1:-} == --build ]] || serve "$@"
