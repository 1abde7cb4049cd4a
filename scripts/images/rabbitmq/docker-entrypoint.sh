#!/bin/bash
# As in the official image: started as root, it hands its data to the rabbitmq user and becomes it.
# RABBITMQ_DEFAULT_USER, _PASS and _VHOST are read by the server itself.
set -euo pipefail

if [[ ${1:-} == rabbitmq* && $(id -u) == 0 ]]; then
    if [[ $1 == rabbitmq-server ]]; then
        find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq '{}' +
    fi
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$BASH_SOURCE" "$@"
fi
exec "$@"
