#!/usr/bin/env bash
# The features of features.toml by segue, polars and DuckDB: builds segue, makes a Python environment with
# the pinned peers, makes the log (seeded) in a temporary folder, runs all three interleaved, compares
# every value and prints a Markdown table. Needs cargo, and python3 with venv.
#
#   benches/features/run.sh [--rounds 5] [--threads 2] [--events 5000000] [--users 50000] [--points 75000]
set -euo pipefail
cd "$(dirname "$0")/../.."
environment=${PEERS_ENV:-"${XDG_CACHE_HOME:-$HOME/.cache}/segue/features"}

cargo build --release --quiet --bin segue
segue=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/segue

[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement benches/features/requirements.txt
exec "$environment/bin/python" benches/features/run.py --segue "$segue" "$@"
