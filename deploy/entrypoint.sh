#!/bin/sh
# Starts a command with its secrets. A secret is a file that the container alone sees: FOUND_DATABASE_URL becomes the variable of its name.
set -eu
for file in "${FOUND_SECRETS:-/run/secrets}"/FOUND_*; do
    if [ -f "$file" ]; then
        export "$(basename "$file")=$(cat "$file")"
    fi
done
exec "$@"
