#!/usr/bin/env bash
# Changes the pure part (src/domain) in one small place after the other, and lists the changes that no
# test of it notices. Each is to be looked at: is a test missing, or does the change change nothing?
#
#   scripts/mutants.sh [OPTION of cargo-mutants...]      such as --file 'src/domain/promotion/*'
#
# Needs cargo-mutants (cargo install cargo-mutants). Takes hours for all of it. The pure part is put
# into a package of its own, below target/mutants, since nothing else need be built for it; the
# simulation and the model are not among its tests, so that they may catch what is listed here.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly package=target/mutants/package
readonly crates='indexmap|subtle|rmp-serde|serde|serde_json|thiserror|time|proptest'

rm -rf "$package"
mkdir -p "$package/src" "$package/tests"
cp -r src/domain "$package/src/domain"
cp tests/domain_properties.rs "$package/tests"
cp -r tests/support "$package/tests/support"
cp -r config "$package/config"
echo 'pub mod domain;' >"$package/src/lib.rs"
{
    sed -n '/^\[package\]/,/^publish/p' Cargo.toml
    echo '[dependencies]'
    grep -E "^($crates) = " Cargo.toml | grep -v '^proptest'
    echo '[dev-dependencies]'
    grep -E '^proptest = ' Cargo.toml
    # Fast to build; the tests are few.
    printf '%s\n' '[profile.dev]' 'debug = false' '[profile.dev.package."*"]' 'opt-level = 1' '[workspace]'
} >"$package/Cargo.toml"
cp Cargo.lock "$package/Cargo.lock"
exec cargo mutants --dir "$package" --output target/mutants --no-shuffle --colors never "$@"
