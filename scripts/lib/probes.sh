# Whether a server answers a first message of its own protocol. To be sourced.
# shellcheck shell=bash

# answers SERVICE PORT: true if the server on that port of this machine answers.
answers() {
    local service=$1 port=$2
    case $service in
        rabbitmq) reply_has RabbitMQ "$port" 'AMQP\x00\x00\x09\x01' ;;
        zookeeper) reply_has 'Mode: standalone' "$port" 'srvr' ;;
        # OP_MSG with the document {hello: 1, $db: "admin"}.
        mongod) reply_has isWritablePrimary "$port" "$(
            printf '%s' '\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00' \
                '\x00\x00\x00\x00\x00\x1f\x00\x00\x00\x10hello\x00\x01\x00\x00\x00' \
                '\x02\x24db\x00\x06\x00\x00\x00admin\x00\x00'
        )" ;;
    esac
}

reply_has() {
    local text=$1 port=$2 message=$3
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout 5 bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
        printf %b "$2" >&3
        dd bs=64K count=1 <&3' probe "$port" "$message" 2>/dev/null | grep -aF "$text" >/dev/null
}
