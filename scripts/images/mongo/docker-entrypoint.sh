#!/bin/bash
# As in the official image: a command that begins with a flag is mongod's, as root it hands its
# data to the mongodb user and becomes it, and unless told otherwise it listens on all addresses.
# Initial users and scripts are left to the official image.
set -euo pipefail

if [[ ${1:0:1} == - ]]; then
    set -- mongod "$@"
fi

if [[ $1 == mongo* && $(id -u) == 0 ]]; then
    find /data/configdb /data/db \! -user mongodb -exec chown mongodb '{}' +
    exec setpriv --reuid=mongodb --regid=mongodb --init-groups "$BASH_SOURCE" "$@"
fi

if [[ $1 == mongod && " $* " != *" --bind_ip"* ]]; then
    set -- "$@" --bind_ip_all
fi
exec "$@"
