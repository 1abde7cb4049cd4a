#!/bin/bash
# As in the official image: as root it hands its data to the zookeeper user and becomes it; without
# a zoo.cfg it writes one from the ZOO_ variables. Ensembles are left to the official image.
set -euo pipefail

if [[ $1 == zkServer.sh && $(id -u) == 0 ]]; then
    chown -R zookeeper "$ZOO_DATA_DIR" "$ZOO_DATA_LOG_DIR" "$ZOO_LOG_DIR" "$ZOO_CONF_DIR"
    exec setpriv --reuid=zookeeper --regid=zookeeper --init-groups "$0" "$@"
fi

if [[ ! -f $ZOO_CONF_DIR/zoo.cfg ]]; then
    {
        echo "dataDir=$ZOO_DATA_DIR"
        echo "dataLogDir=$ZOO_DATA_LOG_DIR"
        echo "tickTime=$ZOO_TICK_TIME"
        echo "initLimit=$ZOO_INIT_LIMIT"
        echo "syncLimit=$ZOO_SYNC_LIMIT"
        echo "autopurge.snapRetainCount=$ZOO_AUTOPURGE_SNAPRETAINCOUNT"
        echo "autopurge.purgeInterval=$ZOO_AUTOPURGE_PURGEINTERVAL"
        echo "maxClientCnxns=$ZOO_MAX_CLIENT_CNXNS"
        echo "standaloneEnabled=$ZOO_STANDALONE_ENABLED"
        # Debian's package has no admin server.
        echo "admin.enableServer=false"
        echo "clientPort=2181"
        [[ -z ${ZOO_4LW_COMMANDS_WHITELIST:-} ]] || echo "4lw.commands.whitelist=$ZOO_4LW_COMMANDS_WHITELIST"
        for line in ${ZOO_CFG_EXTRA:-}; do
            echo "$line"
        done
    } >"$ZOO_CONF_DIR/zoo.cfg"
fi
exec "$@"
