#!/usr/bin/env bash
# Lines covered by the unit, simulator, fuzz-corpus and end-to-end tests; Cobertura for the CI.
set -eu
test -f build-cov/build.ninja || meson setup build-cov -Db_coverage=true -Doptimization=0 >/dev/null
ninja -C build-cov --quiet
HEADGATE_TEST_SKIP=browser tools/test.sh build-cov || true
gcovr -r . build-cov --filter 'src/' --filter 'apps/' --gcov-ignore-parse-errors \
    --xml build-cov/reports/cobertura.xml --print-summary \
    --fail-under-line "${COVERAGE_LEAST:-80}" | tail -n 4
