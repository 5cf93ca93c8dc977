#!/bin/sh
# Install the servers that the tests start for themselves, iproute2, which makes hosts for workers,
# and sqlite3, which makes backups, where they are missing and we may.
set -eu
packages=""
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || packages="$packages postgresql"
command -v redis-server >/dev/null || packages="$packages redis-server"
ls /usr/lib/rabbitmq/bin/rabbitmq-server >/dev/null 2>&1 || command -v rabbitmq-server >/dev/null || packages="$packages rabbitmq-server"
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || [ -x /sbin/ip ] || packages="$packages iproute2"
command -v sqlite3 >/dev/null || packages="$packages sqlite3"
[ -n "$packages" ] || exit 0
install="apt-get update && apt-get install -y --no-install-recommends$packages"
if ! command -v apt-get >/dev/null; then
    echo "the tests need:$packages (names of Debian packages); install them and run again" >&2
    exit 1
elif [ "$(id -u)" = 0 ]; then
    as_root="sh -c"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n sh -c"
else
    echo "the tests need$packages; run this and then make test again:" >&2
    echo "    sudo sh -c '$install'" >&2
    exit 1
fi
echo "installing$packages"
$as_root "export DEBIAN_FRONTEND=noninteractive; $install" >&2
