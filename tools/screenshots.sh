#!/usr/bin/env bash
# Pictures of the dashboard's pages into docs/images, of the real program with traffic, releases and an alert. Those that
# a document uses are committed (git add -f), the others are not.
# usage: tools/screenshots.sh BUILD
set -eu
cd "$(dirname "$0")/.."
BUILD=$(realpath "$1")
export BUILD
[ -d tests/browser/node_modules/playwright-core ] || (cd tests/browser && npm ci --no-audit --no-fund --silent)
exec python3 tests/browser/screenshots.py node tests/browser/dashboard/screenshots.js docs/images
