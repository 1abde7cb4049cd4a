# The Docker engine that the Docker tests run on. To be sourced.
# shellcheck shell=bash
#
# provide_engine leaves an engine that answers, or fails with `engine_missing` saying why not.
# As root on Debian it installs one where there is none, and starts one that is down; an engine
# that it started goes on running, as one that the machine itself starts does.

engine_missing=

readonly ENGINE_START_SECONDS=60
readonly ENGINE_PID_FILES=(/var/run/docker.pid /var/run/docker/containerd/containerd.pid)
readonly ENGINE_LOG=/var/log/rideshare-test-dockerd.log

provide_engine() {
    engine_answers && return
    if [ -n "${DOCKER_HOST:-}" ]; then
        engine_missing="no Docker engine answers at DOCKER_HOST"
    elif ! command -v dockerd >/dev/null && ! install_engine; then
        engine_missing="no Docker engine answers, and none could be installed"
    elif ! start_engine; then
        engine_missing="the Docker engine did not answer within $ENGINE_START_SECONDS s of its start; see $ENGINE_LOG"
    else
        return 0
    fi
    return 1
}

engine_answers() { command -v docker >/dev/null && timeout 30 docker info >/dev/null 2>&1; }

install_engine() {
    command -v apt-get >/dev/null && apt-get update -q &&
        apt-get install -yq --no-install-recommends docker.io
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        systemctl start docker
    else
        local file
        for file in "${ENGINE_PID_FILES[@]}"; do
            forget_ended "$file"
        done
        echo "starting the Docker engine, its log is $ENGINE_LOG"
        setsid dockerd </dev/null >"$ENGINE_LOG" 2>&1 &
    fi
    local deadline=$((SECONDS + ENGINE_START_SECONDS))
    until engine_answers; do
        ((SECONDS < deadline)) || return
        sleep 0.2
    done
}

# An engine that was killed leaves its pid behind, and refuses to start while anything has that
# number: another process, or what is left of it until its parent looks. That has no program.
forget_ended() {
    local file=$1
    [ -e "$file" ] || return 0
    case $(readlink "/proc/$(<"$file")/exe" || true) in
        */dockerd | */containerd) ;;
        *) rm -f "$file" ;;
    esac
}
