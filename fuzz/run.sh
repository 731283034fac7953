#!/usr/bin/env bash
# Fuzzes every reader of what others wrote:
#
#     fuzz/run.sh [--seconds N] [TARGET...]
#
# Each target (fuzz/fuzz_targets) runs for N seconds (60) from the inputs of fuzz/src/seeds.rs, and from
# what earlier runs have found, which is kept beside the build. Builds with the stable compiler and
# libFuzzer's counters, without a sanitizer: the code is safe Rust but for the kernels. With nightly
# and cargo-fuzz, `cargo +nightly fuzz run TARGET` does the same with one.
set -euo pipefail
cd "$(dirname "$0")"
seconds=60
targets=()
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2 && shift ;;
    -*) sed -n '2,9s/^# \{0,1\}//p' run.sh >&2 && exit 2 ;;
    *) targets+=("$1") ;;
    esac
    shift
done
if [ ${#targets[@]} -eq 0 ]; then
    for path in fuzz_targets/*.rs; do
        targets+=("$(basename "$path" .rs)")
    done
fi
cache=${FUZZ_CACHE:-"${XDG_CACHE_HOME:-$HOME/.cache}/segue/fuzz"}
export CARGO_TARGET_DIR=$cache/target
# As cargo-fuzz sets them. Only for a named platform, so that build scripts stay as they are.
coverage="-Cpasses=sancov-module"
for option in coverage-level=4 coverage-inline-8bit-counters coverage-pc-table coverage-trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-$option"
done
platform=$(rustc --print host-tuple)
export RUSTFLAGS="$coverage --cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions=on"
cargo build --release --locked --target "$platform" --bins
programs=$CARGO_TARGET_DIR/$platform/release
for target in "${targets[@]}"; do
    found=$cache/found/$target
    mkdir -p "$found" "$cache/seeds/$target"
    echo "== $target, $seconds s"
    # A single answer must not take seconds, nor memory beyond what the largest model does.
    FUZZ_SEEDS=$cache/seeds/$target "$programs/$target" "$found" "$cache/seeds/$target" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 -artifact_prefix="$cache/$target-" \
        2>"$cache/$target.log" || {
        tail -40 "$cache/$target.log"
        exit 1
    }
    grep -E "number_of_executed_units|peak_rss_mb" "$cache/$target.log"
done
