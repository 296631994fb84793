#!/usr/bin/env bash
# gcc's own analyser over every file of the build. usage: tools/analyze.sh BUILD
set -u
build=$1
python3 - "$build" <<'PY'
import concurrent.futures, json, pathlib, shlex, subprocess, sys

build = pathlib.Path(sys.argv[1])
rows = [r for r in json.loads((build / "compile_commands.json").read_text())
        if "/src/" in "/" + r["file"] or "/apps/" in "/" + r["file"]]

def analyse(row):
    words = [w for w in shlex.split(row["command"]) if not w.startswith(("-M", "-fsanitize"))]
    at = words.index("-o")
    words[at:at + 2] = ["-o", "/dev/null"]
    if "-MF" in words:
        at = words.index("-MF")
        del words[at:at + 2]
    words = [w for w in words if not w.endswith(".o.d")]
    # gcc 12 does not follow these two through our asserts and containers: more noise than finds.
    words += ["-fanalyzer", "-Wno-analyzer-malloc-leak", "-Wno-analyzer-use-of-uninitialized-value"]
    done = subprocess.run(words, cwd=row["directory"] if "directory" in row else build,
                          capture_output=True, text=True)
    return row["file"], done.returncode, done.stderr

seen, bad = set(), 0
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    for name, code, text in pool.map(analyse, [r for r in rows if not (r["file"] in seen or seen.add(r["file"]))]):
        if code or "-Wanalyzer" in text:
            bad += 1
            print(text, file=sys.stderr)
print(f"analysed {len(seen)} files, {bad} with findings", file=sys.stderr)
sys.exit(1 if bad else 0)
PY
