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

say "cppcheck"
git ls-files 'src/*.c' 'apps/*.c' | xargs cppcheck --quiet --enable=warning,portability,performance \
    --inline-suppr --error-exitcode=1 --std=c11 --suppressions-list=tools/cppcheck.txt \
    -Isrc -I"$build" -I. -D_GNU_SOURCE -DHG_VERSION='"x"' -j2 || status=1

say "clang-tidy"
git ls-files 'src/*.c' 'apps/*.c' | xargs -P2 -n8 clang-tidy --quiet -p "$build" \
    --extra-arg=-ftrivial-auto-var-init=pattern --extra-arg=-Wno-unknown-warning-option \
    --warnings-as-errors='*' 2>/dev/null || status=1

say "gcc -fanalyzer"
tools/analyze.sh "$build" || status=1
exit $status
