#!/usr/bin/env bash
# The edge and control under ThreadSanitizer: the rooms' tests that have threads, then the framing suite
# against the whole platform. usage: tools/tsan.sh        What it can see: docs/testing.md
set -u
cd "$(dirname "$0")/.."
[ -f build-tsan/build.ninja ] || meson setup build-tsan -Db_sanitize=thread -Db_lundef=false \
    -Doptimization=1 >/dev/null || exit 1
ninja -C build-tsan --quiet || exit 1
reports=$(mktemp -d /tmp/tsan-XXXXXX)
chmod 777 "$reports"
trap 'rm -rf "$reports"' EXIT
export TSAN_OPTIONS="exitcode=66 log_path=$reports/report"
status=0
suites=()
for s in edge meter spec os fetch serve logs tsdb api cert fleet rollout store; do suites+=(--suite "$s"); done
meson test -C build-tsan --no-rebuild --print-errorlogs --quiet --timeout-multiplier 5 \
    "${suites[@]}" || status=1
# Changing the user of a process goes through a signal that ThreadSanitizer's own thread does not live
# through when all signals are set back, as the warden does: so not as root, where nothing is changed.
as_user=()
[ "$(id -u)" -ne 0 ] || as_user=(setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp)
BUILD=$PWD/build-tsan PYTHONDONTWRITEBYTECODE=1 ${as_user[@]+"${as_user[@]}"} \
    python3 tests/e2e/framing_test.py || status=1
for r in "$reports"/report*; do
    [ -e "$r" ] || continue
    cat "$r"
    status=1
done
[ $status -eq 0 ] && echo "ThreadSanitizer saw no race"
exit $status
