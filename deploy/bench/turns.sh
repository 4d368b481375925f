#!/usr/bin/env bash
# What a gateway holds, on servers of its own, and LiteLLM's proxy under the same load before the same echo server.
# Called by compare.sh; see there. What it starts ends with it.
#
#   deploy/bench/compare.sh turns [FLAG OF FRONTDESK BENCH TURNS]…
#
# IDLE (100000 sessions; 0: not measured), SOCKETS (5000), PATHS ("pass-through repeat turns faq"), EMBEDDER ("hashing:"; the real one
# for faq), LITELLM (a virtual environment that has it) and FRONTDESK (a binary, instead of building one) come from the environment.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=deploy/install/lib.sh
source "$here/../install/lib.sh"

VERSION=1.106.2
KEY=bench-key
want curl has curl
want rabbitmq-server test -x /usr/lib/rabbitmq/bin/rabbitmq-server
want redis-server has redis-server
want python3-venv python3 -c 'import ensurepip, venv'
install_missing

if [[ -n ${FRONTDESK:-} ]]; then
  frontdesk=$(realpath "$FRONTDESK")
else
  (cd "$root" && cargo build --release -p frontdesk)
  frontdesk=${CARGO_TARGET_DIR:-$root/target}/release/frontdesk
fi
litellm=${LITELLM:-$cache/litellm-$VERSION}
if [[ ! -x $litellm/bin/litellm ]]; then
  say "Installing LiteLLM $VERSION into $litellm"
  quietly python3 -m venv --clear "$litellm"
  quietly "$litellm/bin/pip" install --quiet --disable-pip-version-check "litellm[proxy]==$VERSION"
fi

scratch=$(mktemp -d)
started=()
finish() {
  local at
  for ((at = ${#started[@]} - 1; at >= 0; at--)); do kill "${started[at]}" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT

# What is measured has a core of its own where there are two; all else shares the other one.
measured=() other=()
if (($(nproc) > 1)) && has taskset; then
  measured=(taskset -c 0)
  other=(taskset -c "1-$(($(nproc) - 1))")
fi

# Ports below those that the system gives to outgoing connections.
free_port() {
  python3 - <<'PYTHON'
import random, socket
while True:
    port = random.randrange(10_000, 30_000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PYTHON
}

# start NAME COMMAND…: in the background, with a log
start() {
  local name=$1
  shift
  "$@" >"$scratch/$name.log" 2>&1 </dev/null &
  started+=($!)
}

# await NAME COMMAND…: until the command succeeds, while what was started last runs
await() {
  local name=$1 since=$SECONDS
  shift
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "${started[-1]}" 2>/dev/null || ((SECONDS - since > 120)); then
      tail -n 20 "$scratch/$name.log" >&2
      die "$name does not start"
    fi
    sleep 0.2
  done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

redis=$(free_port)
start redis "${other[@]}" redis-server --port "$redis" --bind 127.0.0.1 --save '' --appendonly no --dir "$scratch"
await redis listens "$redis"

amqp=$(free_port) mapper=$(free_port)
start epmd epmd -port "$mapper" -address 127.0.0.1
await epmd listens "$mapper"
touch "$scratch/env.conf"
echo '[].' >"$scratch/plugins"
echo 'raft.wal_max_size_bytes = 33554432' >"$scratch/rabbitmq.conf"
start rabbitmq env HOME="$scratch" LC_ALL=C.UTF-8 ERL_EPMD_PORT="$mapper" RABBITMQ_CONF_ENV_FILE="$scratch/env.conf" \
  RABBITMQ_CONFIG_FILE="$scratch/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$scratch/plugins" \
  RABBITMQ_NODENAME="bench-$amqp@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$amqp" \
  RABBITMQ_DIST_PORT="$(free_port)" RABBITMQ_MNESIA_BASE="$scratch/data" RABBITMQ_LOG_BASE="$scratch/logs" RABBITMQ_LOGS=- \
  RABBITMQ_PID_FILE="$scratch/pid" RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
  "${other[@]}" /usr/lib/rabbitmq/bin/rabbitmq-server
await rabbitmq listens "$amqp"

echo=http://127.0.0.1:$(free_port)/v1
address=${echo#http://}
start echo "${other[@]}" "$frontdesk" bench echo --on "${address%/v1}"
await echo curl -sf "$echo/models"

cat >"$scratch/frontdesk.toml" <<TOML
data_dir = "$scratch"
broker.url = "amqp://guest:guest@127.0.0.1:$amqp/%2f"
session.store = "redis://127.0.0.1:$redis"
session.arbiters = 1
session.max_sessions = 200_000
session.abstain_below = 0
session.answer_cache = "off"
inference.engine = "echo:"
inference.max_sequences = 256
retrieval.embedder = "${EMBEDDER-hashing:}"
telemetry.log = "warn"
[gateway]
workers = 1
upstreams = [{ model = "echo", url = "$echo", max_requests = 10_000 }]
[[tenants]]
id = "bench"
name = "Bench"
key_hashes = ["$(printf %s "$KEY" | sha256sum | cut -d' ' -f1)"]
limits = { requests_per_minute = 100_000_000, concurrent_turns = 100_000 }
TOML
metrics=()
# role NAME PIN…: starts a role and waits until it is ready; its base URL is then in $url
role() {
  local name=$1
  shift
  url=http://127.0.0.1:$(free_port)
  start "$name" "$@" "$frontdesk" "$name" --config "$scratch/frontdesk.toml" --listen "${url#http://}"
  await "$name" curl -sf "$url/readyz"
  metrics+=("$url")
}
role worker-retrieval "${other[@]}"
role worker-gpu "${other[@]}"
role gateway "${measured[@]}"
gateway=${started[-1]} gateway_url=$url

proxy=$(free_port)
cat >"$scratch/litellm.yaml" <<YAML
model_list:
  - model_name: echo
    litellm_params: {model: openai/echo, api_base: "$echo", api_key: none}
general_settings: {master_key: sk-bench}
YAML
start litellm env LITELLM_LOG=ERROR LITELLM_MODE=PRODUCTION LITELLM_LOCAL_MODEL_COST_MAP=True "${measured[@]}" \
  "$litellm/bin/litellm" --config "$scratch/litellm.yaml" --host 127.0.0.1 --port "$proxy" --num_workers 1 --telemetry False
await litellm curl -sf "http://127.0.0.1:$proxy/health/liveliness"
peer=${started[-1]}

# bench FLAG…
bench() {
  say "frontdesk bench turns $*"
  "${other[@]}" "$frontdesk" bench turns --url "$gateway_url" --key "$KEY" --pid "$gateway" "$@"
  echo
}
against=(--upstream "$echo" --against "http://127.0.0.1:$proxy/v1" --against-key sk-bench --against-pid "$peer")
all=$(IFS=,; echo "${metrics[*]}")
costs=(--redis "redis://127.0.0.1:$redis" --metrics "$all")
for path in ${PATHS-pass-through repeat turns faq}; do
  case $path in
    pass-through)
      bench "${against[@]}" "$@"
      bench "${against[@]}" --stream "$@"
      ;;
    repeat) bench --path repeat "${costs[@]}" "$@" ;;
    turns)
      bench --path turns "${costs[@]}" "$@"
      bench --path turns --over websocket "${costs[@]}" "$@"
      ;;
    faq)
      curl -sf -o /dev/null -X POST "$gateway_url/v1/documents?name=faq.csv" -H "authorization: Bearer $KEY" \
        -H 'content-type: text/csv' --data-binary "@$root/deploy/demo/faq-en.csv"
      sleep 2
      bench --path faq "${costs[@]}" "$@"
      bench --path faq --over websocket "${costs[@]}" "$@"
      ;;
    *) die "PATHS: there is no $path" ;;
  esac
done
if ((${IDLE:-100000} > 0)); then
  bench --idle "${IDLE:-100000}" --sockets "${SOCKETS:-5000}" --redis "redis://127.0.0.1:$redis"
fi
