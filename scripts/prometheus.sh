#!/bin/sh
# Sees to it that Prometheus and promtool are there; installs them where that needs nobody's leave. Tests that need them
# are left out without, but not in CI.
set -eu

command -v prometheus >/dev/null && command -v promtool >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "No Prometheus found: installing it with apt-get for the tests of deploy/." >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends prometheus >&2 && exit 0
fi
echo "No Prometheus found (Debian: apt-get install prometheus): the tests of deploy/prometheus are left out." >&2
test -z "${CI:-}"
