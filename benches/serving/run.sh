#!/usr/bin/env bash
# Puts load on `segue serve`, beside a bare tonic echo, FastAPI and MLServer, and writes the section
# "Serving" of benches/RESULTS.md:
#
#     benches/serving/run.sh [--segue BINARY] [--rounds N] [--requests N] [--reloads N] [--swaps N] [--results FILE]
#         [--machine WORDS]
#
# Builds the server and segue-load as they are shipped (half an hour the first time), and installs the others
# into environments outside of the tree.
# Needs Linux, cargo, gcc, h2load (Debian: nghttp2-client) and a Python from 3.10 with venv.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
cache=${SERVING_CACHE:-"${XDG_CACHE_HOME:-$HOME/.cache}/segue/serving"}
target=${CARGO_TARGET_DIR:-target}
segue=
options=()
while [ $# -gt 0 ]; do
    case $1 in
    --segue) segue=$2 && shift ;;
    --rounds | --requests | --reloads | --swaps | --results | --machine) options+=("$1" "$2") && shift ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
    esac
    shift
done
if ! command -v h2load >/dev/null; then
    echo "h2load is not installed; on Debian: apt install nghttp2-client" >&2
    exit 1
fi
if [ -z "$segue" ]; then
    cargo build --profile dist --bin segue
    segue=$target/dist/segue
fi
cargo build --profile dist -p segue-benches --bin segue-load
for name in fastapi mlserver triton; do
    environment=$cache/$name requirements=benches/serving/requirements-$name.txt
    if ! cmp --silent "$requirements" "$environment/installed.txt"; then
        python3 -m venv "$environment"
        "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
        cp "$requirements" "$environment/installed.txt"
    fi
done
exec python3 benches/serving/compare.py --segue "$segue" --load "$target/dist/segue-load" \
    --environments "$cache" "${options[@]}"
