#!/bin/sh
# Prints the path of a Chromium for the browser tests; installs one where that needs nobody's leave.
set -eu

find_chromium() {
    for name in ${CHROMIUM:-} chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return 0
    done
    return 1
}

find_chromium && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "No Chromium found: installing it with apt-get for the browser tests." >&2
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends chromium >&2; then
        find_chromium && exit 0
    fi
fi
cat >&2 <<'TEXT'
The browser tests need a Chromium, and none was found.
Install one (Debian: apt-get install chromium), or name it: make test CHROMIUM=/path/to/chromium
All other tests run without it: make test BROWSER=0
TEXT
exit 1
