#!/usr/bin/env bash
# Lines covered by the unit, simulator, fuzz-corpus and end-to-end tests; Cobertura for the CI.
set -eu
test -f build-cov/build.ninja || meson setup build-cov -Db_coverage=true -Doptimization=0 >/dev/null
ninja -C build-cov --quiet
# Roles and replicas run under users of their own and may write files, but make none here: gcov
# takes an empty file as a new one and adds to what the others wrote.
find build-cov -name '*.gcno' | sed 's/gcno$/gcda/' | while read -r counts; do
    : >"$counts"
    chmod 666 "$counts"
done
# An app is not started when it may not write to what it was given as writable: this folder, here.
chmod a+rwx build-cov
HEADGATE_TEST_SKIP=browser tools/test.sh build-cov || echo "coverage: a test failed, see above" >&2
gcovr -r . build-cov --filter 'src/' --filter 'apps/' --gcov-ignore-parse-errors \
    --xml build-cov/reports/cobertura.xml --print-summary \
    --fail-under-line "${COVERAGE_LEAST:-80}" | tail -n 4
