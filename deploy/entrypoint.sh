#!/bin/sh
# Starts a command with its secrets. A secret is a file that the container alone sees: FOUND_DATABASE_URL becomes the variable of its name.
set -eu
folder=${FOUND_SECRETS:-/run/secrets}
for file in "$folder"/FOUND_* "$folder"/AWS_*; do
    if [ -f "$file" ]; then
        export "$(basename "$file")=$(cat "$file")"
    fi
done
exec "$@"
