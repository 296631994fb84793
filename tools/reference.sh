#!/bin/sh
# usage: reference.sh [check]
# Writes docs/reference/ from the rows under schema/; with `check`, fails when a page is stale.
set -eu
cd "$(dirname "$0")/.."
temp=$(mktemp)
trap 'rm -f "$temp"' EXIT
bad=0
while read -r kind schema page; do
	python3 -B tools/gen.py "$kind" "schema/$schema" "$temp"
	if [ "${1:-}" != check ]; then
		cat "$temp" >"docs/reference/$page"
	elif ! cmp -s "$temp" "docs/reference/$page"; then
		echo "docs/reference/$page is stale: run tools/reference.sh"
		bad=1
	fi
done <<END
config_md config.toml configuration.md
config_schema config.toml headgate.schema.json
errors_md errors.toml errors.md
api_md routes.toml api.md
cli_md cli.toml cli.md
panels_md panels.toml panels.md
END
exit $bad
