#!/bin/bash
# The one command of the original that a container runs: the server in the foreground.
set -euo pipefail

[[ ${1:-} == start-foreground ]] || {
    echo "zkServer.sh: only start-foreground is here" >&2
    exit 2
}
# ZK_SERVER_HEAP is in megabytes; SERVER_JVMFLAGS and JVMFLAGS go to Java as they are.
# shellcheck disable=SC2086 # flags, one a word
exec java -Xmx"${ZK_SERVER_HEAP:-1000}m" -XX:+ExitOnOutOfMemoryError \
    -Dzookeeper.log.dir="$ZOO_LOG_DIR" \
    -Dzookeeper.jmx.log4j.disable=true \
    -Dorg.slf4j.simpleLogger.showDateTime=true \
    -Dorg.slf4j.simpleLogger.dateTimeFormat='yyyy-MM-dd HH:mm:ss.SSS' \
    ${SERVER_JVMFLAGS:-} ${JVMFLAGS:-} \
    -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$ZOO_CONF_DIR/zoo.cfg"
