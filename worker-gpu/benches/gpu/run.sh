#!/usr/bin/env bash
# Measures Frontdesk, vLLM and transformers on this machine's first GPU, one after the other, and prints each beside the
# limit: run.sh [MODEL] [CONTEXT]. Needs what `make cuda` built; vLLM 0.25.1 and transformers only if they shall be measured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
model=${1:-qwen3-14b} context=${2:-1024} sequences=(1 16 64 256)
here=worker-gpu/benches/gpu frontdesk=${CARGO_TARGET_DIR:-target}/release/frontdesk
out=$(mktemp -d)

date -u '+%Y-%m-%d %H:%M UTC'
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
export FRONTDESK_INFERENCE__DEVICES='["cuda:0"]' FRONTDESK_INFERENCE__BATCH_TOKENS=8192
for quantized in "" -int4; do
  "$frontdesk" bench engine --model "dummy:$model$quantized" --prompt $((context - 128)) --generate 128 --session 0 \
    --sequences "$(IFS=,; echo "${sequences[*]}")" --json "$out/frontdesk$quantized.json"
  python3 "$here/shares.py" "$out/frontdesk$quantized.json" "$model$quantized" "$context"
done
for peer in vllm transformers; do
  if python3 -c "import $peer" 2>/dev/null; then
    python3 "$here/peers.py" "$peer" "$model" "$context" "${sequences[@]}"
  else
    echo "$peer is not installed for $(command -v python3) and was not measured" >&2
  fi
done
