#!/usr/bin/env bash
# Puts one load to the engine and to llama.cpp's server in turns (same model, same threads, one machine), or to the gateway
# and to LiteLLM's proxy.
#
#   deploy/bench/compare.sh engine [FLAG OF FRONTDESK BENCH ENGINE]…     how fast both are
#   deploy/bench/compare.sh parity [FLAG OF FRONTDESK BENCH PARITY]…     whether both choose the same tokens
#   deploy/bench/compare.sh turns  [FLAG OF FRONTDESK BENCH TURNS]…      what a gateway holds; see turns.sh for its own settings
#
# MODEL (the default model's GGUF file), PORT (8090), THREADS (2), SEQUENCES (16) and FRONTDESK (a binary, instead of
# building one) come from the environment. Figures are worth something only when nothing else computes.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=deploy/install/lib.sh
source "$here/../install/lib.sh"

[[ ${1:-} != turns ]] || exec "$here/turns.sh" "${@:2}"
[[ ${1:-} == engine || ${1:-} == parity ]] || die "usage: $0 engine|parity|turns [FLAG]…"
what=$1
shift
want curl has curl
install_missing
export PORT=${PORT:-8090} THREADS=${THREADS:-2} SEQUENCES=${SEQUENCES:-16}
model=${MODEL:-$cache/models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf}
url=http://127.0.0.1:$PORT

if [[ -n ${FRONTDESK:-} ]]; then
  frontdesk=$(realpath "$FRONTDESK")
else
  (cd "$root" && cargo build --release -p frontdesk)
  frontdesk=${CARGO_TARGET_DIR:-$root/target}/release/frontdesk
fi

if curl -s -o /dev/null "$url"; then die "something answers on $url already; set PORT"; fi
"$here/llama-server.sh" --build
log=$(mktemp)
"$here/llama-server.sh" "$model" 2>"$log" >&2 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$log"' EXIT
until curl -sf -o /dev/null "$url/health"; do
  kill -0 "$server" 2>/dev/null || { tail -n 20 "$log" >&2; die "the server has ended"; }
  sleep 1
done

flags=(--model "candle:$model" --against "$url/v1" --set "inference.threads=$THREADS")
[[ $what == parity ]] || flags+=(--against-pid "$server")
cd "$root"
"$frontdesk" bench "$what" "${flags[@]}" "$@"
