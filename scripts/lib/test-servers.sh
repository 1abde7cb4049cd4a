# The RabbitMQ, ZooKeeper and MongoDB that the live tests use. To be sourced.
# shellcheck shell=bash
#
# provide_servers sets `servers` to how they were found:
#   given      the environment names all three; nothing is started
#   own        scripts/services.sh runs them, which installs what is missing on Debian as root
#   engine     a container engine runs the official images
#   none       none of these; `servers_missing` says why
# and release_servers ends what was started.

servers=none
servers_missing=
own_servers_ran=false
test_containers=()

readonly SERVER_START_SECONDS=120

provide_servers() {
    if [[ -n ${RIDESHARE_RABBITMQ__URL:-} && -n ${RIDESHARE_ZOOKEEPER__HOSTS:-} && -n ${RIDESHARE_MONGODB__URL:-} ]]; then
        servers=given
    elif start_own_servers; then
        servers=own
    elif start_containers; then
        servers=engine
    fi
}

start_own_servers() {
    scripts/services.sh status >/dev/null 2>&1 && own_servers_ran=true
    local said
    if said=$(scripts/services.sh start 2>&1); then
        echo "$said"
        eval "$(scripts/services.sh env)"
        return
    fi
    servers_missing=$(tail -n 1 <<<"$said")
    "$own_servers_ran" || scripts/services.sh stop >/dev/null 2>&1 || true
    return 1
}

container_engine() {
    local engine
    for engine in docker podman; do
        if command -v "$engine" >/dev/null && "$engine" info >/dev/null 2>&1; then
            echo "$engine"
            return
        fi
    done
    return 1
}

start_containers() {
    local engine
    if ! engine=$(container_engine); then
        servers_missing+="; and no container engine answers (docker, podman)"
        return 1
    fi
    run_container "$engine" rabbitmq 5672 "${RIDESHARE_TEST_RABBITMQ_IMAGE:-rabbitmq:3.10}" &&
        run_container "$engine" zookeeper 2181 "${RIDESHARE_TEST_ZOOKEEPER_IMAGE:-zookeeper:3.8}" \
            -e ZOO_TICK_TIME=500 -e ZOO_4LW_COMMANDS_WHITELIST='*' -e ZOO_STANDALONE_ENABLED=true &&
        run_container "$engine" mongod 27017 "${RIDESHARE_TEST_MONGODB_IMAGE:-mongo:6.0}" || return
    export RIDESHARE_RABBITMQ__URL="amqp://guest:guest@127.0.0.1:$(published "$engine" rabbitmq 5672)"
    export RIDESHARE_ZOOKEEPER__HOSTS="127.0.0.1:$(published "$engine" zookeeper 2181)"
    export RIDESHARE_MONGODB__URL="mongodb://127.0.0.1:$(published "$engine" mongod 27017)"
}

# run_container ENGINE SERVICE PORT IMAGE [OPTION...]: starts one and waits until it answers.
run_container() {
    local engine=$1 service=$2 port=$3 image=$4 said deadline=$((SECONDS + SERVER_START_SECONDS))
    shift 4
    if ! said=$("$engine" run --detach --rm --name "$(container_name "$service")" \
        --publish "127.0.0.1::$port" "$@" "$image" 2>&1); then
        servers_missing+="; $engine could not run $image: $(tail -n 1 <<<"$said")"
        return 1
    fi
    test_containers+=("$engine" "$(container_name "$service")")
    until answers "$service" "$(published "$engine" "$service" "$port")"; do
        if ((SECONDS >= deadline)); then
            servers_missing+="; $image did not answer within $SERVER_START_SECONDS s"
            return 1
        fi
        sleep 0.5
    done
    echo "$service runs in $image"
}

container_name() { echo "rideshare-test-$$-$1"; }

published() {
    local mapping
    mapping=$("$1" port "$(container_name "$2")" "$3/tcp" | head -n 1)
    echo "${mapping##*:}"
}

release_servers() {
    local i
    if [[ $servers == own ]] && ! "$own_servers_ran"; then
        scripts/services.sh stop >/dev/null 2>&1 || true
    fi
    for ((i = 0; i < ${#test_containers[@]}; i += 2)); do
        "${test_containers[i]}" rm --force --volumes "${test_containers[i + 1]}" >/dev/null 2>&1 || true
    done
}
