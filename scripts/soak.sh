#!/usr/bin/env bash
# Lets random faults strike a system under load, and judges what its clients saw. Prints a table; fails
# when anything acknowledged was lost or doubled, an answer was wrong, or the system did not become
# whole again.
#
#   scripts/soak.sh [--minutes N] [--seed S]            processes on real servers
#   scripts/soak.sh --docker [--minutes N] [--seed S]   containers, as compose.yaml describes them
#
# It takes 30 minutes and seed 1, unless said otherwise. Needs what the live tests need on this machine:
# Debian as root, or RabbitMQ, ZooKeeper and mongod installed; as root, mongod's disk fills up too. The
# servers are its own, on loopback; none of them outlives it. With --docker it needs what the Docker
# tests need: root and a Docker engine.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

minutes=30
seed=1
docker=false
while [ $# -gt 0 ]; do
    case $1 in
        --docker)
            docker=true
            shift
            continue
            ;;
        --minutes) minutes=${2:-} ;;
        --seed) seed=${2:-} ;;
        *) usage ;;
    esac
    [[ ${2:-} =~ ^[0-9]+$ ]] || usage
    shift 2
done

export RIDESHARE_TEST_SOAK_MINUTES=$minutes RIDESHARE_TEST_SOAK_SEED=$seed
if "$docker"; then
    scripts/images.sh --pull
    exec cargo test --locked --features soak,docker --test docker -- soak:: --nocapture
fi
scripts/services.sh install
exec cargo test --locked --features soak --test live -- soak:: --nocapture
