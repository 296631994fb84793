#!/usr/bin/env bash
# Fuzzes every target of tests/fuzz with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer at idle
# priority, and keeps what was found.
# usage: tools/fuzz.sh [SECONDS of CPU time altogether, 300] [TARGET …]
#   FUZZ_NICE=10  not at idle priority, but at this one: on a machine that is never idle
#   build-fuzz/corpus/TARGET   grows from run to run; build-fuzz/min/TARGET is the smallest part of it that
#   covers as much (copy from there what the tree should have); build-fuzz/found/ has what failed.
set -u
cd "$(dirname "$0")/.."
seconds=${1:-300}
shift || true

[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined \
    -Db_lundef=false -Doptimization=1 >/dev/null || exit 1
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n "s/^  \['\([a-z0-9_]*\)', \[.*/\1/p" tests/fuzz/meson.build)
share=$((seconds / ${#targets[@]}))
[ "$share" -gt 0 ] || share=1
ninja -C build-fuzz --quiet "${targets[@]/#/tests/fuzz/fuzz_}" || exit 1
mkdir -p build-fuzz/found
lowly=(chrt -i 0 nice -n 19)
# An input's time is that of the clock: at idle priority a busy machine may not run it for a minute.
slow=600
[ -z "${FUZZ_NICE:-}" ] || { lowly=(nice -n "$FUZZ_NICE"); slow=25; }
python3 -B tests/framing/cases.py --seeds build-fuzz/seeds >/dev/null || exit 1
# A program that found something must not leave megabytes behind.
export ASAN_OPTIONS=disable_coredump=1

failed=0
printf '%-16s %8s %12s %8s %8s  %s\n' target 'CPU s' runs edges corpus result
for t in "${targets[@]}"; do
    seeds=tests/fuzz/corpus/$t
    [ -d "$seeds" ] || seeds=$(sed -n "s/^  \['$t', .*, '\(.*\)'\],/tests\/fuzz\/\1/p" tests/fuzz/meson.build)
    log=build-fuzz/found/$t.log
    more=build-fuzz/seeds/${t/edge_head/http1_request} # the framing suite
    mkdir -p "build-fuzz/corpus/$t" "build-fuzz/min/$t" "$more"
    # CPU time, not time: at idle priority the two have little to do with each other.
    (
        ulimit -S -t "$share"
        exec "${lowly[@]}" "build-fuzz/tests/fuzz/fuzz_$t" -timeout="$slow" -rss_limit_mb=2048 \
            -max_len=8192 -print_final_stats=1 -artifact_prefix="build-fuzz/found/$t-" \
            "build-fuzz/corpus/$t" "$seeds" "$more"
    ) >"$log" 2>&1 &
    # `wait` says nothing about the signal that ends it.
    { wait $!; } 2>/dev/null
    status=$?
    result=clean
    # 152: the CPU time is used up.
    if [ $status -ne 152 ] && [ $status -ne 0 ]; then
        result="FAILED ($status): $log"
        failed=$((failed + 1))
    fi
    last=$(grep -E '^#[0-9]+' "$log" | tail -n 1)
    runs=$(sed -E 's/^#([0-9]+).*/\1/' <<<"$last")
    edges=$(sed -nE 's/.* cov: ([0-9]+).*/\1/p' <<<"$last")
    "${lowly[@]}" "build-fuzz/tests/fuzz/fuzz_$t" -merge=1 -max_len=8192 "build-fuzz/min/$t" \
        "$seeds" "$more" "build-fuzz/corpus/$t" >"build-fuzz/found/$t.merge.log" 2>&1
    printf '%-16s %8s %12s %8s %8s  %s\n' "$t" "$share" "${runs:-?}" "${edges:-?}" \
        "$(find "build-fuzz/min/$t" -type f | wc -l)" "$result"
done
exit $((failed > 0))
