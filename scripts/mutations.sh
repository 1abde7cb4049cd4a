#!/usr/bin/env bash
# Takes one safeguard of the product away at a time and shows which tests notice. Fails when one
# is not missed by any test.
#
#   scripts/mutations.sh              all of scripts/mutations/*.patch
#   scripts/mutations.sh NAME...      these
#   scripts/mutations.sh --check      only whether every patch still applies; changes nothing
#
# A patch starts with what it breaks and with the tests that are run: arguments of `cargo test`,
# several calls separated by `;`. Everything happens in a scratch checkout of the last commit; the
# dependencies in `target` are used again. About three minutes a mutation on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
# Longer than the tests of any mutation take, compiling included.
readonly LIMIT_SECS=900

field() { sed -n "s/^$1: //p" "scripts/mutations/$2.patch" | head -n 1; }

check_only=false
if [ "${1:-}" = --check ]; then
    check_only=true
    shift
fi
names=("$@")
if [ "${#names[@]}" = 0 ]; then
    for patch in scripts/mutations/*.patch; do
        names+=("$(basename "$patch" .patch)")
    done
fi

stale=0
for name in "${names[@]}"; do
    if ! git apply --check "scripts/mutations/$name.patch"; then
        echo "scripts/mutations/$name.patch no longer applies: the code moved" >&2
        stale=1
    fi
done
if "$check_only" || [ "$stale" = 1 ]; then
    exit "$stale"
fi

scratch=$(mktemp -d)
git worktree add --quiet --detach "$scratch/code" HEAD
trap 'git worktree remove --force "$scratch/code"; rmdir "$scratch"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target} CARGO_PROFILE_DEV_OPT_LEVEL=0
# Enough of the simulation for what is missed within some hundred seeds.
export RIDESHARE_SIM_SECONDS=${RIDESHARE_SIM_SECONDS:-90}

# run_tests CALLS: runs them all, whatever comes of it.
run_tests() {
    local call arguments calls
    IFS=';' read -ra calls <<<"$1"
    for call in "${calls[@]}"; do
        read -ra arguments <<<"$call"
        timeout "$LIMIT_SECS" cargo test --locked --no-fail-fast "${arguments[@]}" || true
    done
}

survived=0
table=""
for name in "${names[@]}"; do
    log=$scratch/$name.log
    git -C "$scratch/code" apply "$root/scripts/mutations/$name.patch"
    tests=$(field Tests "$name")
    (cd "$scratch/code" && run_tests "$tests") >"$log" 2>&1
    git -C "$scratch/code" checkout --quiet .
    failed=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | sort -u)
    if [ -n "$failed" ]; then
        first=$(head -n 1 <<<"$failed")
        others=$(($(wc -l <<<"$failed") - 1))
        caught="\`$first\`$([ "$others" = 0 ] || echo " and $others more")"
    else
        survived=1
        caught="**nothing**"
        tail -n 20 "$log" >&2
    fi
    rm "$log"
    echo "$name: $caught" >&2
    table+="| $(field Breaks "$name") | $caught |"$'\n'
done
printf '\n| Mutation | Caught by |\n|---|---|\n%s' "$table"
exit "$survived"
