#!/usr/bin/env bash
# Installs what building Frontdesk and fetching its models need.
set -euo pipefail
# shellcheck source=deploy/install/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")

python_is_new() { python3 -c 'import sys, tomllib; sys.exit(sys.version_info < (3, 11))'; }

rust_is_new() {
  local have
  have=$(cd "$root" && cargo --version 2>/dev/null | cut -d' ' -f2) &&
    [[ $(printf '%s\n' "$rust" "$have" | sort -V | head -n 1) == "$rust" ]]
}

want gcc has gcc
want g++ has g++
want pkg-config has pkg-config
want make has make
want ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
want python3 has python3
want python3-venv python3 -c 'import ensurepip, venv'
want python3-pip python3 -m pip --version
want npm has npm
install_missing

python_is_new || die "Python 3.11 or newer is needed, this is $(python3 --version)."
rust_is_new ||
  die "Rust $rust or newer is needed, this is $(cd "$root" && cargo --version 2>&1 | head -n 1)." \
    "Install rustup from https://rustup.rs, then run: rustup update stable"
