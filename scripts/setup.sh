#!/usr/bin/env bash
# Prepares this checkout: the Debian packages that compile and emulate, and a virtual environment with the pinned packages.
#
# Usage: scripts/setup.sh [VENV [EXTRAS]]   (default .venv test,zoo,check,cross; `make venv` calls it once per change of
#                                            pyproject.toml, `make bench` once more with the extra `bench`)
#
# Environment: PYTHON  the interpreter to build the environment with (default python3, at least 3.10).
#
# As root on Debian it installs what is missing; otherwise it prints the command that would, and goes on without. A rerun
# changes nothing and needs no network when everything is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${1:-.venv}
extras=${2:-test,zoo,check,cross}
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }

# Prints the Debian packages that this machine lacks, one a line. A tool that is there by another way counts as found.
missing_debian_packages() {
  command -v "$python" >/dev/null || echo python3
  if ! command -v "$python" >/dev/null || ! "$python" -c 'import ensurepip' 2>/dev/null; then echo python3-venv; fi
  command -v gcc >/dev/null || echo gcc
  command -v g++ >/dev/null || echo g++
  [ -e /usr/include/stdlib.h ] || echo libc6-dev # gcc alone only recommends it
  command -v aarch64-linux-gnu-g++ >/dev/null || echo g++-aarch64-linux-gnu
  [ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ] || echo libc6-dev-arm64-cross
  command -v arm-linux-gnueabihf-gcc >/dev/null || echo gcc-arm-linux-gnueabihf
  [ -e /usr/arm-linux-gnueabihf/lib/libc.so.6 ] || echo libc6-dev-armhf-cross
  command -v qemu-aarch64 >/dev/null || echo qemu-user
}

install_debian_packages() {
  local -a packages
  mapfile -t packages < <(missing_debian_packages)
  [ ${#packages[@]} -gt 0 ] || return 0
  local -a install=(apt-get install -y --no-install-recommends "${packages[@]}")
  if ! command -v apt-get >/dev/null; then
    say "this is not Debian; what it would install here: ${packages[*]}"
  elif [ "$(id -u)" -ne 0 ]; then
    say "some tools are missing; to get them: sudo apt-get update && sudo ${install[*]}"
  else
    say "installing Debian packages: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # A bare image has no package lists, an old one stale lists: both show as a failed install.
    "${install[@]}" >/dev/null 2>&1 </dev/null || { apt-get update -qq && "${install[@]}" >/dev/null </dev/null; } ||
      say "apt-get failed; going on without: ${packages[*]}"
  fi
}

make_environment() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    { say "Python 3.10 or newer is needed, but $python is missing or older; name another with PYTHON="; exit 1; }
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making $venv"
    "$python" -m venv --clear "$venv" ||
      { say "$python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
  fi
}

install_python_packages() {
  local -a pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet)
  say "installing Python packages into $venv (the first time several minutes, 2 GB of disk)"
  # The build backend goes in first: an isolated build would fetch it again on every rerun.
  "${pip[@]}" "setuptools>=77" wheel
  "${pip[@]}" --no-build-isolation --editable ".[$extras]"
  # The build leaves its own copy of the metadata, which programs started in this folder would read, old or not.
  rm -rf edgecompile.egg-info
}

install_debian_packages
make_environment
install_python_packages
say "ready"
