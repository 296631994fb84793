#!/usr/bin/env bash
# Format, house rules and static analysers; silent when all is well. usage: tools/lint.sh BUILD
set -u
build=$1
status=0
say() { echo "lint: $1" >&2; }

say "clang-format"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror || status=1

say "tidy"
python3 tools/tidy.py --build "$build" || status=1

say "the dashboard's bundle"
tools/web.sh --check >&2 || status=1

say "cppcheck"
mkdir -p "$build/lint-cache/cppcheck"
git ls-files 'src/*.c' 'apps/*.c' | xargs cppcheck --quiet --enable=warning,portability,performance \
    --inline-suppr --error-exitcode=1 --std=c11 --suppressions-list=tools/cppcheck.txt \
    --cppcheck-build-dir="$build/lint-cache/cppcheck" \
    -Isrc -I"$build" -I. -D_GNU_SOURCE -DHG_VERSION='"x"' -D__cppcheck__ -j2 \
    -D'json_array_foreach(a,i,v)=while (i = 0, (v = json_array_get(a, i)))' \
    -D'json_object_foreach(o,k,v)=while (k = "", (v = json_object_get(o, k)))' || status=1

say "clang-tidy"
python3 tools/analyze.py clang-tidy "$build" || status=1

say "gcc -fanalyzer"
python3 tools/analyze.py gcc "$build" || status=1
exit $status
