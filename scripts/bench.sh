#!/usr/bin/env bash
# Measures Rideshare beside what people would take in its place, on this machine, in one run: MongoDB
# through its driver alone, Eve (REST over MongoDB, in Python) under gunicorn, Rideshare as processes on
# real servers, and Rideshare in one process. Writes tables and charts into docs/performance.md.
#
#   scripts/bench.sh [--seconds S] [--repetitions R] [--connections "N..."]
#
# A run of one system takes 10 seconds, unless said otherwise; each is repeated three times, in turns
# with the others, for 1, 16, 64 and 256 connections. Needs what the live tests need on this machine
# (Debian as root, or RabbitMQ, ZooKeeper and mongod installed), and python3 with venv for Eve. Everything
# listens on loopback and is ended with the script. The machine should have nothing else to do.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=lib/machine.sh
source scripts/lib/machine.sh

readonly EVE='eve==2.3.1 gunicorn==27.0.1'
readonly EVE_WORKERS=4
readonly PROCESS=18280 EMBEDDED=18290 EVE_PORT=18295

usage() {
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

seconds=10
repetitions=3
connections='1 16 64 256'
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=${2:-} ;;
        --repetitions) repetitions=${2:-} ;;
        --connections) connections=${2:-} ;;
        *) usage ;;
    esac
    [[ ${2:-} =~ ^[0-9\ ]+$ ]] || usage
    shift 2
done

cargo build --release --locked --bin rideshare --example performance
readonly rideshare=$PWD/target/release/rideshare performance=$PWD/target/release/examples/performance

# One slave each, however much is read: every further one applies all writes too, on the same cores.
export RIDESHARE_SCALING__MAX_SLAVES=1
export RIDESHARE_TEST_SERVICES=$PWD/.services/bench
work=$(mktemp -d)
pids=()
# shellcheck disable=SC2329 # Called by the trap.
finish() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    scripts/services.sh stop >/dev/null 2>&1 || true
    rm -rf "$work" "$RIDESHARE_TEST_SERVICES"
}
trap finish EXIT

scripts/services.sh start
eval "$(scripts/services.sh env)"

if [ ! -x .services/eve/bin/gunicorn ]; then
    python3 -m venv .services/eve
    # shellcheck disable=SC2086 # Two packages.
    .services/eve/bin/pip --quiet install $EVE
fi

log() { echo "$work/$1.log"; }

EVE_MONGODB_URL=$RIDESHARE_MONGODB__URL/eve .services/eve/bin/gunicorn --chdir scripts/lib \
    --workers "$EVE_WORKERS" --bind "127.0.0.1:$EVE_PORT" --log-level warning eve_app:app \
    >"$(log eve)" 2>&1 &
pids+=($!)
RIDESHARE_CONTAINERS__STATE_DIR=$work/workers "$rideshare" orchestrator --port "$PROCESS" \
    >"$(log process)" 2>&1 &
pids+=($!)
"$rideshare" up --data-dir "$work/data" --orchestrator-port "$EMBEDDED" --users-port 0 \
    --rides-port 0 >"$(log embedded)" 2>&1 &
pids+=($!)

await() {
    local name=$1 url=$2 deadline=$((SECONDS + 60))
    until curl --silent --fail --output /dev/null "$url"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "bench.sh: $name does not answer at $url" >&2
            tail -n 20 "$(log "$name")" >&2
            exit 1
        fi
        sleep 0.2
    done
}
await eve "http://127.0.0.1:$EVE_PORT/rideshare_bench"
await process "http://127.0.0.1:$PROCESS/readyz"
await embedded "http://127.0.0.1:$EMBEDDED/readyz"

run() {
    local system=$1 kind=$2 count=$3
    case $system in
        driver) "$performance" load driver "$RIDESHARE_MONGODB__URL" "$kind" "$count" "$seconds" ;;
        eve) "$performance" load eve "http://127.0.0.1:$EVE_PORT" "$kind" "$count" "$seconds" ;;
        process | embedded)
            local port=$PROCESS
            [ "$system" = process ] || port=$EMBEDDED
            "$rideshare" bench "$kind" --url "http://127.0.0.1:$port" --connections "$count" \
                --duration "$seconds" --json 2>/dev/null
            ;;
    esac
}

runs=$work/runs.jsonl
for ((repetition = 1; repetition <= repetitions; repetition++)); do
    for count in $connections; do
        for kind in write read; do
            for system in driver eve process embedded; do
                report=$(run "$system" "$kind" "$count" | tr -d '\n')
                echo "{\"system\":\"$system\",\"work\":\"$kind\",\"connections\":$count,\"report\":$report}" \
                    >>"$runs"
                echo "repetition $repetition: $system, ${kind}s, $count connections" >&2
            done
        done
    done
done

versions() {
    echo "$(machine);"
    echo "RabbitMQ $(dpkg-query -Wf '${Version}' rabbitmq-server 2>/dev/null || echo '?'),"
    echo "mongod $(.services/bin/mongod --version | sed -n 's/^db version v//p'),"
    echo "$EVE ($EVE_WORKERS workers)."
    echo "Each figure is the median of $repetitions runs of $seconds s, the systems in turns."
}

{
    sed '/^<!-- figures -->$/q' docs/performance.md
    echo
    versions
    echo
    "$performance" report "$runs" docs
    sed -n '/^<!-- end of figures -->$/,$p' docs/performance.md
} >"$work/performance.md"
cp "$work/performance.md" docs/performance.md
echo "bench.sh: docs/performance.md is new"
