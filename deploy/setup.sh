#!/bin/sh
# Makes what a deployment needs and nobody may guess: passwords, and the folders of the data. What is there stays.
#   deploy/setup.sh SITE [DATA]    SITE: the name that browsers know it by; DATA: the folder of the data, by default deploy/data
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
site=${1:?"usage: deploy/setup.sh SITE [DATA]"}
data=${2:-$here/data}
case $site in *[!A-Za-z0-9.-]*) echo "SITE is a name such as found.example.org, and not $site." >&2; exit 2 ;; esac
if [ "$(id -u)" = 0 ] && [ -z "${FOUND_UID:-}" ]; then
    echo "Run this as the user who is to own the data, or set FOUND_UID and FOUND_GID: no process runs as root." >&2
    exit 2
fi
uid=${FOUND_UID:-$(id -u)} gid=${FOUND_GID:-$(id -g)}
secrets=${FOUND_SECRETS:-$here/kubernetes/secrets}

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
once() { [ -s "$secrets/$1" ] || printf %s "$2" > "$secrets/$1"; }

mkdir -p "$secrets" "$data"
for folder in home source postgres proxy milvus redis objects; do mkdir -p "$data/$folder"; done
once postgres_password "$(random)"
once FOUND_DATABASE_URL "postgresql://found:$(cat "$secrets/postgres_password")@postgres:5432/found"
once redis_password "$(random)"
once FOUND_REDIS_URL "redis://:$(cat "$secrets/redis_password")@redis:6379/0"
once objects_user "found"
once objects_password "$(random)"
once AWS_ACCESS_KEY_ID "$(cat "$secrets/objects_user")"
once AWS_SECRET_ACCESS_KEY "$(cat "$secrets/objects_password")"
chmod 600 "$secrets"/*
[ "$(id -u)" != 0 ] || chown -R "$uid:$gid" "$secrets" "$data"
printf 'FOUND_SITE=%s\nFOUND_UID=%s\nFOUND_GID=%s\nFOUND_DATA=%s\nFOUND_SECRETS=%s\n' "$site" "$uid" "$gid" "$data" "$secrets" > "$here/.env"
printf 'FOUND_SITE=%s\n' "$site" > "$here/kubernetes/site.env"
echo "Secrets are in $secrets, settings in $here/.env. Next: docker compose -f deploy/compose.yaml up -d --wait postgres"
