#!/usr/bin/env bash
# Compares segue with other libraries and writes the sections of benches/RESULTS.md:
#
#     benches/peers/run.sh [quality|fit|forest|score|explain|growth|all]... [--rounds N] [--rows N] [--only KEYS] [--far N] [--machine NAME]
#
# Builds segue's own runner and the Rust peers, and installs the Python peers into environments outside of
# the tree. `quality` runs the real jobs and needs SEGUE_DATA. Needs Linux, cargo, gcc, taskset and a Python
# from 3.12 with venv (PEERS_PYTHON; lleaves needs 3.12 at most). See README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${PEERS_CACHE:-"${XDG_CACHE_HOME:-$HOME/.cache}/segue/peers"}

usage() {
    sed -n '2,8s/^# \{0,1\}//p' benches/peers/run.sh
    exit "$1"
}

sections=()
options=()
while [ $# -gt 0 ]; do
    case $1 in
    all) sections+=(fit forest score explain growth) ;;
    quality | fit | forest | score | explain | growth) sections+=("$1") ;;
    --rounds | --rows | --only | --far | --timeout | --machine)
        [ $# -ge 2 ] || usage 2
        options+=("$1" "$2")
        shift
        ;;
    --stored) options+=("$1") ;;
    -h | --help) usage 0 ;;
    *) usage 2 ;;
    esac
    shift
done
if [ ${#sections[@]} -eq 0 ]; then
    sections=(fit forest score explain growth)
fi

# The first Python that fits: 3.12 has packages for every peer.
find_python() {
    local candidate
    for candidate in "${PEERS_PYTHON:-}" python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python python3.13 python3; do
        if [ -n "$candidate" ] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    echo "no Python with venv found; set PEERS_PYTHON" >&2
    return 1
}

# install NAME REQUIREMENTS: an environment with all of them, or with those that can be had.
install() {
    local environment=$cache/$1 requirements=$2 line
    [ -x "$environment/bin/python" ] || "$(find_python)" -m venv "$environment"
    local pip=("$environment/bin/python" -m pip install --quiet --disable-pip-version-check)
    if cmp --silent "$requirements" "$environment/installed.txt"; then
        return
    fi
    if "${pip[@]}" --requirement "$requirements"; then
        cp "$requirements" "$environment/installed.txt"
        return
    fi
    while read -r line; do
        "${pip[@]}" "$line" || echo "cannot install $line: its rows will say so" >&2
    done <"$requirements"
}

mkdir -p "$cache"
install main benches/peers/requirements.txt
python=$cache/main/bin/python
target=$(cargo metadata --format-version 1 --no-deps |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

measured=()
for section in "${sections[@]}"; do
    if [ "$section" = quality ]; then
        data=${SEGUE_DATA:?"set SEGUE_DATA to the folder that holds kddcup2015_mooc/, online_retail/, cdnow/, isadev_log/ and tabular/"}
        cargo build --release --quiet --bin segue
        "$python" benches/peers/lightgbm_quality.py \
            --segue "$target/release/segue" --data "$data" --out benches/RESULTS.md \
            jobs/kddcup2015_mooc/churn.toml \
            jobs/online_retail/{conversion,support_need,lifetime_value}.toml \
            jobs/cdnow/lifetime_value.toml \
            jobs/isadev_log/churn.toml \
            jobs/tables/{telco_churn,online_shoppers}.toml
    else
        measured+=("$section")
    fi
done
[ ${#measured[@]} -gt 0 ] || exit 0

install lleaves benches/peers/requirements-lleaves.txt ||
    echo "cannot install lleaves: its rows will say so" >&2
# ours as users build it; the Rust peers for this very processor, their best
cargo build --release --quiet --package segue-benches
RUSTFLAGS="-C target-cpu=native" CARGO_TARGET_DIR=$cache/rust \
    cargo build --release --quiet --locked --manifest-path benches/peers/rust/Cargo.toml ||
    echo "cannot build the Rust peers: their rows will say so" >&2
"$python" benches/peers/compare.py "${measured[@]}" "${options[@]}" \
    --ours "$target/release/segue-peer" \
    --rust "$cache/rust/release/rust-peers" \
    --lleaves "$cache/lleaves/bin/python" \
    --work "$cache/work" \
    --out benches/RESULTS.md
