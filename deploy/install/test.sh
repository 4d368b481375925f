#!/usr/bin/env bash
# Installs what the tests need: servers, a browser, an OpenAI client, cargo-deny and the models.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
"$here/build.sh"
# shellcheck source=deploy/install/lib.sh
source "$here/lib.sh"

CARGO_DENY=0.20.2

want rabbitmq-server test -x /usr/sbin/rabbitmq-server
want redis-server has redis-server
want mariadb-server test -x /usr/sbin/mariadbd
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

python3 "$root/deploy/models/fetch.py" qwen2.5-coder-1.5b smollm2-135m bge-small-zh-v1.5 all-minilm-l6-v2 onnxruntime
