#!/bin/sh
# Sees to it that PostgreSQL is there; installs it where that needs nobody's leave. Tests that need it are left out
# without, but not in CI.
set -eu

found() {
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "No PostgreSQL found: installing it with apt-get for the tests of the archive." >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends postgresql >&2 && found && exit 0
fi
echo "No PostgreSQL found (Debian: apt-get install postgresql): the tests of the archive on it are left out." >&2
test -z "${CI:-}"
