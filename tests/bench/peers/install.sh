#!/bin/bash
# Brings the peers of the comparison, in the newest versions that can be had, into build/bench/.
# What cannot be had is left out, with a line saying so.
set -uo pipefail
cd "$(dirname "$0")"
build="$(cd ../../.. && pwd)/build/bench"
mkdir -p "$build"

skip() {
    echo "$1 is left out: $2"
}

python_peers() {
    [ -x "$build/venv/bin/python3" ] || /usr/bin/python3 -m venv "$build/venv" || return 1
    "$build/venv/bin/pip" install --quiet --upgrade fastapi uvicorn httpx aiohttp uvloop httptools
}

# The newest undici wants a newer Node.js than distributions have; npm has that, too.
node_peer() {
    mkdir -p "$build/node" && cp node/package.json "$build/node" &&
        cd "$build/node" &&
        npm install --silent --no-save --no-audit --no-fund node@latest fastify@latest undici@latest &&
        node_modules/.bin/node --version >/dev/null
}

go_peer() {
    mkdir -p "$build/go" && cd go && go build -o "$build/go/fanout" .
}

(python_peers) || {
    rm -rf "$build/venv"
    skip "the newest FastAPI" "pip does not bring it; Debian's is used where it is installed"
}
if command -v npm >/dev/null; then
    (node_peer) || {
        rm -rf "$build/node"
        skip "Node, fastify + undici" "npm does not bring them"
    }
else
    skip "Node, fastify + undici" "no npm"
fi
if command -v go >/dev/null; then
    (go_peer) || skip "Go net/http" "it does not build"
else
    skip "Go net/http" "no Go toolchain"
fi
command -v krakend krakend-ce >/dev/null ||
    skip "KrakenD CE" "neither krakend nor krakend-ce is in PATH; it has packages of its own"
exit 0
