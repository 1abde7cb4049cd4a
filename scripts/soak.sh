#!/usr/bin/env bash
# Lets random faults strike a system of processes on real servers, under load, and judges what its
# clients saw. Prints a table; fails when anything acknowledged was lost or doubled, an answer was
# wrong, or the system did not become whole again.
#
#   scripts/soak.sh [--minutes N] [--seed S]      30 minutes and seed 1, unless said otherwise
#
# Needs what the live tests need on this machine: Debian as root, or RabbitMQ, ZooKeeper and mongod
# installed. The servers are its own, on loopback; none of them outlives it.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

minutes=30
seed=1
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    [[ $2 =~ ^[0-9]+$ ]] || usage
    case $1 in
        --minutes) minutes=$2 ;;
        --seed) seed=$2 ;;
        *) usage ;;
    esac
    shift 2
done

scripts/services.sh install
export RIDESHARE_TEST_SOAK_MINUTES=$minutes RIDESHARE_TEST_SOAK_SEED=$seed
exec cargo test --locked --features soak --test live -- soak:: --nocapture
