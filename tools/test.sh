#!/usr/bin/env bash
# Runs the suites of one build folder from the lowest room to the browser and counts them.
# usage: tools/test.sh BUILD    HEADGATE_TEST_LONG=1: the long ones too
#                               HEADGATE_TEST_SKIP="browser e2e": leave suites out
set -u
build=$1
status=0
reports=$build/reports
skip=" ${HEADGATE_TEST_SKIP:-} "
mkdir -p "$reports"
rm -f "$reports"/*.xml

# Tests wait more than they work: two more at once than there are processors, of the rooms' three times. In
# instrumented builds, slower by `times`, they work.
times=1
at_once=$(($(nproc) + 2))
at_once_unit=$((3 * $(nproc)))
some=()
if grep -q -e '-fsanitize=' "$build/compile_commands.json"; then
    times=5
    at_once=$(nproc)
    at_once_unit=$at_once
    some=(--no-suite plain) # tests that say nothing more there, and take long
fi
if grep -q -e '-DHG_COVERAGE' "$build/compile_commands.json"; then
    times=2
    at_once=$(nproc)
    at_once_unit=$at_once
fi

suites=(unit sim fuzz e2e)
[ -n "${HEADGATE_TEST_LONG:-}" ] && suites+=(long)
known=$(meson introspect "$build" --tests | python3 -c '
import json, sys
print(" ".join(sorted({s.split(":")[-1] for t in json.load(sys.stdin) for s in t["suite"]})))')

for suite in "${suites[@]}"; do
    case "$skip" in *" $suite "*) continue ;; esac
    case " $known " in *" $suite "*) ;; *) continue ;; esac
    # Tests that measure say so (is_parallel : false) and run alone, or their figures lie.
    jobs=$at_once
    case $suite in
    unit) jobs=$at_once_unit ;;
    sim | fuzz) jobs=$(nproc) ;; # they only work
    long) jobs=1 ;;
    esac
    failed=0
    meson test -C "$build" --no-rebuild --suite "$suite" --print-errorlogs --quiet \
        --timeout-multiplier "$times" \
        --num-processes "$jobs" ${some[@]+"${some[@]}"} || failed=1
    mv "$build/meson-logs/testlog.junit.xml" "$reports/$suite.xml" 2>/dev/null || status=1
    python3 tools/junit.py "$build/meson-logs/testlog.json" "$reports/$suite.xml" || status=1
    [ $failed -eq 0 ] || python3 tools/again.py "$build" "$reports/$suite.xml" \
        --suite "$suite" --timeout-multiplier "$times" || status=1
done

case "$skip" in
*" browser "*) ;;
*)
    if [ -x tests/browser/run ]; then
        reports_at=$(realpath "$reports")
        BUILD=$build JUNIT=$reports_at/browser.xml tests/browser/run || status=1
        BUILD=$build JUNIT=$reports_at/browser-edge.xml tests/browser/run --edge || status=1
        BUILD=$build JUNIT=$reports_at/browser-dashboard.xml tests/browser/run --dashboard || status=1
    fi
    ;;
esac

python3 tools/count.py "$reports"/*.xml || status=1
exit $status
