#!/usr/bin/env bash
# Runs all tests of the project: format, lints, import rules, documentation, unit, property,
# conformance and black-box tests, and the live tests on real servers.
#
#   scripts/test.sh              everything that can run here; says what could not, and why
#   scripts/test.sh --required   the same, but what cannot run is a failure (for CI)
#
# Needs: a Rust toolchain with clippy and rustfmt, and a C compiler. cargo-nextest is used where it
# is installed, `cargo test` otherwise.
#
# The live tests need RabbitMQ, ZooKeeper and MongoDB. These are, in this order: the servers that
# RIDESHARE_RABBITMQ__URL, RIDESHARE_ZOOKEEPER__HOSTS and RIDESHARE_MONGODB__URL name; those of
# scripts/services.sh, which installs them on Debian as root; containers of the official images.
#
# Those of the dashboard in a browser need Chromium and its WebDriver, which are installed on Debian as root.
#
# The tests of the descriptions of the services need schemathesis, and that of backups in an object
# store needs moto, both from PyPI.
#
# The Docker tests need root and a Docker engine. On Debian one is installed or started where none
# answers, and images that it neither has nor can pull are built by scripts/images.sh. One of the
# tests restarts the engine itself, which ends all containers for a while: only with
# RIDESHARE_TEST_RESTART_ENGINE=1.
set -euo pipefail
cd "$(dirname "$0")/.."

required=false
case "${1:-}" in
    "") ;;
    --required) required=true ;;
    *) echo "usage: scripts/test.sh [--required]" >&2; exit 2 ;;
esac

# shellcheck source=lib/probes.sh
source scripts/lib/probes.sh
# shellcheck source=lib/test-servers.sh
source scripts/lib/test-servers.sh
# shellcheck source=lib/engine.sh
source scripts/lib/engine.sh

skipped=()
features=()
left_out=()

# Those that kill, cut off or restart servers: they start a set of their own on this machine.
readonly OWN_SERVER_TESTS=(
    mongo::faults rabbitmq_faults zookeeper::outages failover::restarts failover::outages
)

# What the Docker tests are made from.
readonly TEST_IMAGES=(base rabbitmq zookeeper mongo nginx)

# The version that the descriptions of the services are tried with.
readonly SCHEMATHESIS=4.32.5
# The object store that backups are tried with.
readonly MOTO=5.2.5

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

check_mutations() {
    if command -v git >/dev/null; then
        say "mutations still apply"
        scripts/mutations.sh --check
    else
        cannot "mutations: git is not installed"
    fi
}

prepare_live_tests() {
    say "servers for the live tests"
    trap release_servers EXIT
    provide_servers
    case $servers in
        none)
            cannot "live tests: $servers_missing"
            return
            ;;
        given | engine)
            cannot "live tests with servers of their own (${OWN_SERVER_TESTS[*]}): they need a Debian machine, or RabbitMQ, ZooKeeper and mongod installed"
            left_out=("${OWN_SERVER_TESTS[@]}")
            ;;
    esac
    features+=(live)
}

# As root, since they look into the volumes of containers, and the images may have to be built.
prepare_docker_tests() {
    say "images for the Docker tests"
    if [ "$(id -u)" != 0 ]; then
        cannot "Docker tests: they need root"
    elif ! provide_engine; then
        cannot "Docker tests: $engine_missing"
    elif ! provide_compose; then
        cannot "Docker tests: neither docker compose nor docker-compose is installed"
    elif ! scripts/images.sh --pull "${TEST_IMAGES[@]}"; then
        cannot "Docker tests: scripts/images.sh could not provide the images"
    else
        features+=(docker)
        [ -n "${RIDESHARE_TEST_RESTART_ENGINE:-}" ] ||
            skipped+=("a restart of the Docker engine: RIDESHARE_TEST_RESTART_ENGINE=1 allows it, where nobody else uses the engine")
    fi
}

provide_compose() {
    docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || {
        command -v apt-get >/dev/null && apt-get update -q &&
            apt-get install -yq --no-install-recommends docker-compose
    }
}

# Python programs, each kept below target/ in an environment of its own.
prepare_python_tools() {
    say "schemathesis and moto"
    if ! python3 -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && apt-get install -yq --no-install-recommends python3-venv
    fi
    if python_tool schemathesis "schemathesis==$SCHEMATHESIS"; then
        export RIDESHARE_TEST_SCHEMATHESIS="$PWD/target/schemathesis/bin/st"
        features+=(schemathesis)
    fi
    if python_tool moto "moto[server]==$MOTO"; then
        export RIDESHARE_TEST_MOTO="$PWD/target/moto/bin/moto_server"
        features+=(s3)
    fi
}

# python_tool NAME REQUIREMENT
python_tool() {
    local name=$1 requirement=$2 home=target/$1
    if ! { [ -x "$home/bin/pip" ] || python3 -m venv "$home"; } ||
        ! "$home/bin/pip" install -q "$requirement"; then
        cannot "tests with $name: Python with venv, or the package, is missing"
        return 1
    fi
}

prepare_browser() {
    say "a browser"
    if ! command -v chromedriver >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && apt-get install -yq --no-install-recommends chromium chromium-driver || true
    fi
    if command -v chromedriver >/dev/null; then
        RIDESHARE_TEST_CHROMEDRIVER=$(command -v chromedriver)
        export RIDESHARE_TEST_CHROMEDRIVER
        features+=(browser)
    else
        cannot "tests of the dashboard in a browser: chromedriver is not installed"
    fi
}

# Last, so that the last lines are the test runner's.
run_tests() {
    local options=(--locked --no-fail-fast --features "${features[*]}") test filter='all()'
    say "tests"
    if cargo nextest --version >/dev/null 2>&1; then
        for test in "${left_out[@]}"; do
            filter+=" - test($test)"
        done
        cargo nextest run "${options[@]}" -E "$filter"
    else
        # One thread: some tests measure time.
        cargo test "${options[@]}" -- --test-threads=1 "${left_out[@]/#/--skip=}"
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
check_mutations
prepare_live_tests
prepare_docker_tests
prepare_python_tools
prepare_browser
if [ "${#skipped[@]}" -gt 0 ]; then
    say "not run here"
    printf '  %s\n' "${skipped[@]}"
fi
run_tests
