#!/usr/bin/env bash
# Runs all tests of the project: format, lints, import rules, unit, property, conformance and
# black-box tests, and the documentation.
#
#   scripts/test.sh              everything that can run here; says what could not, and why
#   scripts/test.sh --required   the same, but what cannot run is a failure (for CI)
#
# Needs: a Rust toolchain with clippy and rustfmt, and a C compiler. cargo-nextest is used where it
# is installed, `cargo test` otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

required=false
case "${1:-}" in
    "") ;;
    --required) required=true ;;
    *) echo "usage: scripts/test.sh [--required]" >&2; exit 2 ;;
esac

skipped=()

say() { printf '\n== %s\n' "$*"; }

# A check that cannot run here: a failure when everything is required, a note otherwise.
cannot() {
    if "$required"; then
        echo "cannot run: $*" >&2
        exit 1
    fi
    skipped+=("$*")
}

check_format() {
    if cargo fmt --version >/dev/null 2>&1; then
        say "format"
        cargo fmt --check
    else
        cannot "format: rustfmt is not installed (rustup component add rustfmt)"
    fi
}

check_lints() {
    if cargo clippy --version >/dev/null 2>&1; then
        say "lints"
        cargo clippy --locked --all-targets --all-features -- -D warnings
    else
        cannot "lints: clippy is not installed (rustup component add clippy)"
    fi
}

check_docs() {
    say "documentation"
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
}

# Last, so that the last lines are the test runner's.
run_tests() {
    say "tests"
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --no-fail-fast
    else
        # One thread: some tests measure time.
        cargo test --locked --no-fail-fast -- --test-threads=1
    fi
}

if ! command -v cargo >/dev/null; then
    echo "cargo is not installed; see https://rustup.rs" >&2
    exit 1
fi
if ! command -v cc >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing a C compiler"
        apt-get update -q && apt-get install -yq --no-install-recommends gcc libc6-dev
    else
        echo "a C compiler (cc) is needed to build SQLite" >&2
        exit 1
    fi
fi

check_format
check_lints
check_docs
if [ "${#skipped[@]}" -gt 0 ]; then
    say "not run here"
    printf '  %s\n' "${skipped[@]}"
fi
run_tests
