#!/bin/sh
# The units as systemd itself reads them: no complaint at all, and an exposure score of at most 1.5.
# The programs are looked for where this tree has them, since /opt/codepool exists on an installed machine only.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v systemd-analyze >/dev/null 2>&1 || { echo "systemd-analyze is missing: install Debian's systemd"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for unit in codepool-edge codepool-central; do
  sed "s|/opt/codepool/bin|$here/../.venv/bin|" "$here/$unit.service" > "$work/$unit.service"
  found=$(systemd-analyze verify --man=no "$work/$unit.service" 2>&1) || { echo "$unit: $found"; exit 1; }
  [ -z "$found" ] || { echo "$unit: $found"; exit 1; }
  systemd-analyze security --offline=yes --threshold=15 --no-pager "$work/$unit.service" > "$work/score" 2>&1 ||
    { tail -1 "$work/score"; exit 1; }
  tail -1 "$work/score"
done
