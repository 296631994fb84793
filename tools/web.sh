#!/usr/bin/env bash
# Builds the dashboard's page into web/dist, which is kept in the tree: a machine without npm builds Headgate all the same.
# usage: tools/web.sh            check types and build
#        tools/web.sh --check    build elsewhere and compare with what is kept, byte by byte; and its size
set -eu
cd "$(dirname "$0")/../web"
LIMIT=100000 # bytes, compressed as they are sent

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --no-audit --no-fund --silent
    touch node_modules/.package-lock.json
fi
npx --no-install tsc --noEmit

if [ "${1:-}" != --check ]; then
    npx --no-install vite build --logLevel warn --emptyOutDir
    exit 0
fi
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
npx --no-install vite build --logLevel warn --emptyOutDir --outDir "$made"
diff -r "$made" dist >&2 || { echo "web/dist is not what web/src makes; run tools/web.sh and commit it" >&2; exit 1; }
size=$(for f in dist/*.* dist/assets/*; do gzip -9 -n -c "$f" | wc -c; done | awk '{n += $1} END {print n}')
if [ "$size" -gt $LIMIT ]; then
    echo "the page is $size bytes compressed, the limit is $LIMIT" >&2
    exit 1
fi
echo "the page is $size bytes compressed"
