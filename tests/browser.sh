#!/usr/bin/env bash
# What the tests in a browser need beside Python: Chromium of the system, and axe-core, which looks for faults of accessibility.
#   tests/browser.sh [FOLDER]    FOLDER: where axe-core is put, by default .venv/axe-core, where the tests look for it
# Chromium is installed where this may: on Debian and its kin, as root. axe-core comes from the npm registry, and is no part of the
# platform; what was loaded is compared with the hash that stands here.
set -euo pipefail
version=4.14.1
tarball=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
script=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
registry=${NPM_CONFIG_REGISTRY:-https://registry.npmjs.org}
folder=${1:-$(cd "$(dirname "$0")/.." && pwd)/.venv/axe-core}

same() { printf '%s  %s\n' "$1" "$2" | sha256sum --check --status 2>/dev/null; }

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
    else
        echo "There is no Chromium, and this may not install one: apt-get install chromium, as root." >&2
        exit 1
    fi
fi

if ! same "$script" "$folder/axe.min.js"; then
    mkdir -p "$folder"
    loaded=$(mktemp)
    trap 'rm -f "$loaded"' EXIT
    curl --fail --silent --show-error --location --max-time 120 --output "$loaded" "${registry%/}/axe-core/-/axe-core-$version.tgz"
    same "$tarball" "$loaded" || { echo "axe-core $version of $registry is not the file that this script knows." >&2; exit 1; }
    tar -xzf "$loaded" -C "$folder" --strip-components=1 package/axe.min.js package/LICENSE
    same "$script" "$folder/axe.min.js"
fi
echo "Tests in a browser have what they need: python -m pytest tests/found_platform/serving/test_browser.py"
