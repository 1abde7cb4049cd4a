#!/usr/bin/env bash
# Measures how Rideshare, as processes on real servers, bears more documents, larger ones, more
# connections and more slaves, how long a new slave takes to join and a slave that is behind to become
# master, and how much memory it takes when clients send more than it can do. Writes tables into
# docs/performance.md, and draws them into docs/growth.svg.
#
#   scripts/growth.sh [--seconds S] [--most-documents N]
#
# A run takes 5 seconds and there are up to 1 000 000 documents, unless said otherwise. Needs what the
# live tests need on this machine (Debian as root, or RabbitMQ, ZooKeeper and mongod installed), and
# python3. Everything listens on loopback and is ended with the script.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=lib/machine.sh
source scripts/lib/machine.sh

readonly PORT=18380
readonly URL=http://127.0.0.1:$PORT

usage() {
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

seconds=5
most=1000000
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=${2:-} ;;
        --most-documents) most=${2:-} ;;
        *) usage ;;
    esac
    [[ ${2:-} =~ ^[0-9]+$ ]] || usage
    shift 2
done

cargo build --release --locked --bin rideshare --example performance
readonly rideshare=$PWD/target/release/rideshare

export RIDESHARE_TEST_SERVICES=$PWD/.services/growth
work=$(mktemp -d)
orchestrator=
# shellcheck disable=SC2329 # Called by the trap.
finish() {
    if [ -n "$orchestrator" ]; then
        kill "$orchestrator" 2>/dev/null || true
    fi
    wait
    scripts/services.sh stop >/dev/null 2>&1 || true
    rm -rf "$work" "$RIDESHARE_TEST_SERVICES"
}
trap finish EXIT

scripts/services.sh start
eval "$(scripts/services.sh env)"
# A small queue, so that too many requests are soon too many; and sessions that outlive a slave's standing
# still, so that it is not taken for dead.
RIDESHARE_CONTAINERS__STATE_DIR=$work/workers RIDESHARE_LIMITS__IN_FLIGHT=512 \
    RIDESHARE_ZOOKEEPER__SESSION_TIMEOUT_MS=20000 "$rideshare" orchestrator --port "$PORT" >"$work/log" 2>&1 &
orchestrator=$!

# await SECONDS COMMAND...
await() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "growth.sh: gave up waiting for: $*" >&2
            tail -n 20 "$work/log" >&2
            exit 1
        fi
        sleep 0.05
    done
}
answers() { curl --silent --fail --output /dev/null "$URL/readyz"; }
slaves_are() {
    local serving
    serving=$(curl --silent "$URL/api/v1/workers" | grep -o '"role":"slave"' | wc -l)
    [ "$serving" = "$1" ]
}
scale() {
    curl --silent --fail --output /dev/null --request PUT --header 'Content-Type: application/json' \
        --data "{\"slaves\":$1}" "$URL/api/v1/scale"
}
order() { curl --silent --fail --output /dev/null --request POST "$URL/api/v1/$1"; }
# of_slave FIELD: what the list of workers says of the only slave.
of_slave() {
    curl --silent "$URL/api/v1/workers" | python3 -c '
import json, sys
print(next(worker[sys.argv[1]] for worker in json.load(sys.stdin) if worker["role"] == "slave"))' "$1"
}
writes() {
    curl --silent --fail --output /dev/null --header 'Content-Type: application/json' \
        --data '{"op":"insert","collection":"failover","documents":[{}]}' "$URL/api/v1/db/write"
}
now_ms() { date +%s%3N; }

# measure KIND OPTION...: the row of a table: a second, p50, p99, failures.
measure() {
    local kind=$1
    shift
    "$rideshare" bench "$kind" --url "$URL" --duration "$seconds" --json "$@" 2>/dev/null |
        python3 -c '
import json, sys
report = json.load(sys.stdin)
line = next(iter(report["requests"].values()), None)
failed = sum(report["failures"].values())
if line:
    print("{:.0f} | {:.2f} | {:.2f} | {}".format(
        line["per_second"], line["p50_ms"], line["p99_ms"], failed))
else:
    print("0 | - | - |", failed)'
}
# table TITLE FIRST-COLUMN: its head.
table() {
    printf '\n### %s\n\n| %s | A second | p50 ms | p99 ms | Failed |\n|--:|--:|--:|--:|--:|\n' "$1" "$2"
}

emptied=()
await 60 answers
# And no more, however much is read.
scale 1
{
    table 'Reads by `_id`, 64 connections, by the number of documents' 'Documents'
    for ((documents = 1000; documents <= most; documents *= 10)); do
        echo "| $documents | $(measure read --documents "$documents") |"
    done

    table 'Writes, 16 connections, by the size of a document' 'Bytes'
    for bytes in 100 1000 10000 100000 1000000; do
        echo "| $bytes | $(measure write --connections 16 --document-bytes "$bytes") |"
    done

    for kind in write read; do
        table "${kind^}s, by connections" 'Connections'
        for connections in 1 4 16 64 256 1000; do
            echo "| $connections | $(measure "$kind" --connections "$connections") |"
        done
    done

    for kind in write read; do
        table "${kind^}s, 64 connections, by slaves on this machine" 'Slaves'
        for slaves in 1 2 4 8 16; do
            scale "$slaves"
            await 120 slaves_are "$slaves"
            echo "| $slaves | $(measure "$kind") |"
        done
        scale 1
        await 60 slaves_are 1
    done

    printf '\n### A new slave, by the number of documents\n\n| Documents | Serves after ms |\n|--:|--:|\n'
    for ((documents = 1000; documents <= most; documents *= 10)); do
        # Documents that stay: those of the benchmark are removed with it.
        python3 -c "
import json, sys
for first in range(0, $documents, 1000):
    documents = [{'_id': n, 'text': 'x' * 100} for n in range(first, min(first + 1000, $documents))]
    print(json.dumps({'op': 'insert', 'collection': 'growth', 'documents': documents}))" |
            while IFS= read -r body; do
                curl --silent --fail --output /dev/null --header 'Content-Type: application/json' \
                    --data-binary @- "$URL/api/v1/db/write" <<<"$body"
            done
        begun=$(now_ms)
        scale 2
        await 600 slaves_are 2
        echo "| $documents | $(($(now_ms) - begun)) |"
        scale 1
        await 60 slaves_are 1
        begun=$(now_ms)
        curl --silent --fail --output /dev/null --header 'Content-Type: application/json' \
            --data '{"op":"clear","collections":["growth"]}' "$URL/api/v1/db/write"
        emptied+=("| $documents | $(($(now_ms) - begun)) |")
    done

    printf '\n### A collection is emptied, by the number of documents\n\n| Documents | ms |\n|--:|--:|\n'
    printf '%s\n' "${emptied[@]}"

    printf '\n### A failover, by what the next master lacks of the log\n\n'
    printf '| Seconds of writes | Records | Master after ms |\n|--:|--:|--:|\n'
    for written in 0 1 2 4 8; do
        # It stands still meanwhile, and nobody minds.
        order pause
        slave=$(of_slave pid)
        kill -STOP "$slave"
        if [ "$written" -gt 0 ]; then
            seconds=$written measure write >/dev/null
        fi
        behind=$(of_slave lag)
        kill -CONT "$slave"
        order resume
        order crash/master
        begun=$(now_ms)
        await 60 writes
        echo "| $written | $behind | $(($(now_ms) - begun)) |"
        await 60 slaves_are 1
    done

    printf '\n### More clients than may be served (512 requests under way)\n\n'
    before=$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$orchestrator/status")
    echo "| Connections | A second | p50 ms | p99 ms | Answered 503 |"
    echo "|--:|--:|--:|--:|--:|"
    for connections in 500 2000; do
        echo "| $connections | $(measure write --connections "$connections") |"
    done
    after=$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$orchestrator/status")
    printf '\nThe most memory that the orchestrator took: %s MiB before this, %s MiB after it.\n' \
        "$before" "$after"
} | tee "$work/tables" >&2

{
    sed '/^<!-- growth -->$/q' docs/performance.md
    printf '\n%s. A run took %s s.\n' "$(machine)" "$seconds"
    cat "$work/tables"
    echo
    sed -n '/^<!-- end of growth -->$/,$p' docs/performance.md
} >"$work/performance.md"
cp "$work/performance.md" docs/performance.md
target/release/examples/performance growth docs/performance.md docs/growth.svg
echo "growth.sh: docs/performance.md is new" >&2
