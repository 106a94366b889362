#!/bin/sh
# What the tests need of the machine besides Python. As root, or with sudo, it is installed; else the command is named.
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
need mosquitto mosquitto
need chromium chromium
need strace strace
need systemd-analyze systemd
need systemd-nspawn systemd-container
[ -d /usr/lib/postgresql ] || missing="$missing postgresql"
[ -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ] || missing="$missing fonts-noto-cjk"
[ -z "$missing" ] && exit 0

install="apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests need these programs (Debian's names):$missing. Install them and run make test again." >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  echo "Installing for the tests:$missing"
  sh -c "$install" >/dev/null
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  echo "Installing for the tests (sudo):$missing"
  sudo sh -c "$install" >/dev/null
else
  echo "The tests need:$missing. As root, run:" >&2
  echo "  $install" >&2
  exit 1
fi
