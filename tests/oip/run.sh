#!/usr/bin/env bash
# Unmodified clients of the Open Inference Protocol, and the Python example, against a running server. Exit
# code 1 on any mismatch.
#
#     tests/oip/run.sh                                  # what the README's first command leaves behind
#     tests/oip/run.sh target/release/segue REGISTRY MODEL
#
# The clients come from PyPI into a virtual environment in the cache folder, once.
set -euo pipefail
if [ $# -eq 3 ]; then
    set -- "$(realpath "$1")" "$(realpath "$2")" "$3"
fi
self=$(realpath "$0")
cd "$(dirname "$self")/../.."

venv="${XDG_CACHE_HOME:-$HOME/.cache}/segue/oip-venv"
wanted=$(cat tests/oip/requirements.txt examples/python/requirements.txt | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/requirements.sha256" 2>/dev/null)" != "$wanted" ]; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --requirement tests/oip/requirements.txt
    printf '%s\n' "$wanted" > "$venv/requirements.sha256"
fi

folder=$(mktemp -d)
server=
stop() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap stop EXIT

if [ $# -eq 0 ]; then
    cargo run --release --bin segue -- demo
    set -- "${CARGO_TARGET_DIR:-target}/release/segue" target/demo/models churn
fi
if [ $# -ne 3 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$self" >&2
    exit 2
fi
model=$3
"$1" serve "$model" --registry "$2" --grpc 127.0.0.1:0 --http 127.0.0.1:0 2> "$folder/log" &
server=$!

# `serving MODEL on ADDRESS (gRPC), ADDRESS (...)`
line=
for _ in $(seq 600); do
    line=$(grep -m1 '^serving .* on ' "$folder/log" || true)
    [ -n "$line" ] && break
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
done
grpc=$(sed -E 's/.* on ([^ ]+) \(gRPC\).*/\1/' <<< "$line")
http=$(sed -E 's/.* \(gRPC\), ([^ ]+) \(.*/\1/' <<< "$line")

"$venv/bin/python" tests/oip/clients.py --grpc "$grpc" --http "$http" --registry "$2" --model "$model"

PYTHON="$venv/bin/python" examples/python/generate.sh "$folder/stubs"
"$venv/bin/python" examples/python/score.py --stubs "$folder/stubs" --server "$grpc" --model "$model"
