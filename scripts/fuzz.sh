#!/usr/bin/env bash
# Feeds random bytes, bred for reaching new code, to everything that reads what others wrote. Fails when
# one of them panics, hangs, or takes more than 1 GiB of memory; the bytes are then kept.
#
#   scripts/fuzz.sh [--seconds N] [TARGET...]      60 seconds for each target, unless said otherwise
#
# Needs cargo-fuzz (cargo install cargo-fuzz) and a C++ compiler; any Rust toolchain will do. Builds
# below tests/fuzz/target, and keeps what it has bred in tests/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

seconds=60
targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds)
            [[ ${2:-} =~ ^[0-9]+$ ]] || usage
            seconds=$2
            shift 2
            ;;
        -*) usage ;;
        *) targets+=("$1"); shift ;;
    esac
done
[ "${#targets[@]}" -gt 0 ] || targets=(request_body message filter_and_update settings_file)

for target in "${targets[@]}"; do
    echo "== $target"
    mkdir -p "tests/fuzz/corpus/$target"
    # Without sanitizers, which need a nightly toolchain and find what safe code cannot do.
    cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" \
        "tests/fuzz/corpus/$target" "tests/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1
done
