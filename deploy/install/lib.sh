# shellcheck shell=bash disable=SC2034 # the variables are for the scripts that source this
# Shared by build.sh and test.sh: installs what is missing, and asks the network for nothing when nothing is.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${FRONTDESK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/frontdesk}
missing=()

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

has() { command -v "$1" >/dev/null; }

# want PACKAGE TEST...: remembers the Debian package when the test fails
want() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

# Runs a command quietly; shows what it said when it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "failed: $*"
  fi
  rm -f "$log"
}

# Installs the packages that want() found missing. Succeeds at once when there are none.
install_missing() {
  ((${#missing[@]})) || return 0
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  has apt-get || die "Please install what Debian calls: ${missing[*]}"
  if ((EUID != 0)); then
    if ! has sudo || ! { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
      die "Please install as root: apt-get install ${missing[*]}"
    fi
    apt=(sudo "${apt[@]}")
  fi
  say "Installing ${missing[*]}"
  quietly "${apt[@]}" update
  quietly "${apt[@]}" install --no-install-recommends --yes "${missing[@]}"
}
