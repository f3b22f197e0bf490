#!/bin/sh
# What a container runs: a command of leveret (`serve`, `log verify DIRECTORY`), or any program, as
# compose files and derived images written for RabbitMQ's image name them (`rabbitmq-server`).
set -eu
[ $# -gt 0 ] || set -- serve
case "$1" in
leveret | rabbitmq* | sh | bash | /*) exec "$@" ;;
*) exec leveret "$@" ;;
esac
