#!/bin/sh
# Makes sure that nginx, HAProxy and Caddy are there for their tests; installs them where that needs nobody's leave.
set -eu

PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing() {
    for name in nginx haproxy caddy; do
        command -v "$name" >/dev/null || printf '%s ' "$name"
    done
}

[ -z "$(missing)" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing with apt-get for the tests of deploy/proxies: $(missing)" >&2
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2046 # one word each
    if apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends $(missing) >&2; then
        [ -z "$(missing)" ] && exit 0
    fi
fi
cat >&2 <<TEXT
The tests of deploy/proxies need nginx, HAProxy and Caddy; missing: $(missing)
Install them (Debian: apt-get install nginx haproxy caddy). All other tests run without them: make test PROXIES=0
TEXT
exit 1
