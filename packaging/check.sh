#!/usr/bin/env bash
# Checks what can be checked of packaging/ without a cluster: packaging/check.sh. Exit code 1 on any fault.
#
# systemd-analyze, promtool and kubectl are used where they are; PyYAML comes from PyPI, once.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${XDG_CACHE_HOME:-$HOME/.cache}/segue/packaging-venv"
wanted=$(sha256sum packaging/requirements.txt | cut -d' ' -f1)
if [ "$(cat "$venv/requirements.sha256" 2>/dev/null)" != "$wanted" ]; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --requirement packaging/requirements.txt
    printf '%s\n' "$wanted" > "$venv/requirements.sha256"
fi
"$venv/bin/python" packaging/check.py

if command -v promtool > /dev/null; then
    promtool check rules packaging/prometheus/segue.rules.yml
    promtool test rules packaging/prometheus/segue.test.yml
fi
if command -v systemd-analyze > /dev/null; then
    # The binary need not be installed here; anything else is a fault.
    faults=$(systemd-analyze verify packaging/systemd/segue.service 2>&1 | grep segue.service | grep -v 'is not executable' || true)
    if [ -n "$faults" ]; then
        printf '%s\n' "$faults" >&2
        exit 1
    fi
    systemd-analyze security --offline=true --threshold=20 packaging/systemd/segue.service | tail -1
fi
