#!/bin/sh
# Which files does a group need before `docker compose up`? Makes what is missing, and gives each file to the one
# account that reads it. Run it as root before and after `ca init`; it never replaces what is there.
#
#   infra/group/prepare.sh group
#   docker compose run --rm --no-deps office ca init --host broker --host broker.example -c /etc/onshi
#   infra/group/prepare.sh group
set -eu
umask 077
group=${1:?usage: prepare.sh DIRECTORY}
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -e "$group/secrets/$1" ] || cat >"$group/secrets/$1"; }

mkdir -p "$group/ca/centre" "$group/ca/broker" "$group/keys" "$group/machines" "$group/secrets"
[ -e "$group/config" ] || cp -R "$here/config" "$group/config"
secret | keep broker_admin
printf 'default_user = onshi-provision\ndefault_pass = %s\ndefault_user_tags.administrator = true\n' \
  "$(cat "$group/secrets/broker_admin")" | keep broker_admin.conf
secret | keep store_password
printf 'postgresql+psycopg://onshi:%s@store:5432/onshi' "$(cat "$group/secrets/store_password")" | keep store_url
secret | keep grafana_password
# Where alerts go: put the address of your own receiver.
printf 'http://127.0.0.1:9/nobody-is-told-yet' | keep alert_url
[ "$(id -u)" -eq 0 ] || { echo "prepared $group; not root, so the files stay yours"; exit 0; }
chmod 0755 "$group"
chown -R 10001:10001 "$group/config" "$group/ca" "$group/keys" "$group/machines"
chmod 0711 "$group/secrets" "$group/ca" "$group/ca/broker" "$group/ca/centre"
own() { [ ! -e "$group/$2" ] || chown "$1:$1" "$group/$2"; }
for name in broker_admin store_url; do own 10001 "secrets/$name"; done
for name in broker_admin.conf store_password; do own 999 "secrets/$name"; done
own 472 secrets/grafana_password
own 65534 secrets/alert_url
own 999 ca/broker/broker.key
for name in ca/ca.crt ca/crl ca/register ca/broker/onshi.conf ca/broker/advanced.config ca/broker/enabled_plugins; do
  [ ! -e "$group/$name" ] || chmod -R a+rX "$group/$name"
done
