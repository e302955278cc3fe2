#!/bin/sh
# Which servers and tools do the tests need, and are they here? Installs Debian's packages where that is allowed.
# Nothing is started: each test run starts its own nodes on its own ports and in its own temporary directories.
set -eu

missing=""
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing="$missing rabbitmq-server"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v strace >/dev/null 2>&1 || missing="$missing strace"
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
[ -n "$missing" ] || exit 0

run=""
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    run="sudo -n"
  else
    echo "not installed:$missing. Tests that need them will fail; as root: apt-get install$missing" >&2
    exit 0
  fi
fi
echo "installing$missing …"
$run apt-get update -qq
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
# The packages may have started shared services, which the tests never use.
