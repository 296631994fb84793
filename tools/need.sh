#!/usr/bin/env bash
# Installs what is missing of the packages named in the given files, and says so.
# usage: tools/need.sh deps.txt [deps-test.txt …]
set -eu

missing=()
while read -r package; do
    [ -n "$package" ] || continue
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done < <(cat "$@")

# A program that came another way (Node from its own archive, say) counts as well.
still=()
for package in ${missing[@]+"${missing[@]}"}; do
    case $package in
    nodejs) command -v node >/dev/null || still+=("$package") ;;
    npm) command -v npm >/dev/null || still+=("$package") ;;
    *) still+=("$package") ;;
    esac
done
[ ${#still[@]} -eq 0 ] && exit 0

echo "installing: ${still[*]}" >&2
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "these packages are missing and there is no sudo; as root run: apt-get install ${still[*]}" >&2
        exit 6
    }
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
install=("${as_root[@]+"${as_root[@]}"}" apt-get install -y -qq --no-install-recommends "${still[@]}")
"${install[@]}" >/dev/null 2>&1 && exit 0
# A machine that never ran it has no package lists.
"${as_root[@]+"${as_root[@]}"}" apt-get update -qq >&2
"${install[@]}" >/dev/null
