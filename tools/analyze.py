#!/usr/bin/env python3
"""Runs one analyser over every file of src and apps that the build compiles.

usage: tools/analyze.py clang-tidy|gcc BUILD

What has been found clean is remembered under BUILD/lint-cache by a hash of all that the analyser
reads: its version and options, and the preprocessed source with its comments. A file with findings
is never remembered, so a finding stays until it is mended.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

GCC = [
    "-fanalyzer",
    # gcc 12 does not follow these two through our asserts and containers: more noise than finds.
    "-Wno-analyzer-malloc-leak", "-Wno-analyzer-use-of-uninitialized-value",
    "-fdiagnostics-path-format=none", "-fdiagnostics-color=never", "-Werror",
]
TIDY = [
    "clang-tidy", "--quiet", "--warnings-as-errors=*",
    # Two flags of the gcc build that clang 14 writes differently or does not know.
    "--extra-arg=-ftrivial-auto-var-init=pattern", "--extra-arg=-Wno-unknown-warning-option",
]


def compile_words(row):
    """The compiler's words without the source's outputs, dependency files and sanitizers."""
    words = [w for w in shlex.split(row["command"])
             if not w.startswith("-fsanitize") and w not in ("-MD", "-MMD", "-c", "--coverage")]
    for flag in ("-o", "-MF", "-MQ", "-MT"):
        if flag in words:
            at = words.index(flag)
            del words[at:at + 2]
    return words


def key(tool, row, words):
    h = hashlib.sha256(tool)
    done = subprocess.run(words + ["-E", "-C", "-P"], cwd=row["directory"], capture_output=True)
    if done.returncode:
        return None
    h.update(shlex.join(words).encode())
    h.update(done.stdout)
    return h.hexdigest()


def main():
    which, build = sys.argv[1], pathlib.Path(sys.argv[2])
    rows = {}
    for row in json.loads((build / "compile_commands.json").read_text()):
        if re.match(r"(\.\./)*(src|apps)/", row["file"]):
            rows.setdefault(row["file"], row)

    if which == "gcc":
        tool = subprocess.run(["gcc", "--version"], capture_output=True).stdout
        tool += shlex.join(GCC).encode()
    else:
        tool = subprocess.run(["clang-tidy", "--version"], capture_output=True).stdout
        tool += shlex.join(TIDY).encode() + pathlib.Path(".clang-tidy").read_bytes()
    cache = build / "lint-cache" / which
    cache.mkdir(parents=True, exist_ok=True)

    def analyse(row):
        words = compile_words(row)
        name = key(tool, row, words)
        if name and (cache / name).exists():
            os.utime(cache / name)
            return row["file"], 0, "", True
        if which == "gcc":
            done = subprocess.run(words + ["-c", "-o", "/dev/null"] + GCC, cwd=row["directory"],
                                  capture_output=True, text=True)
            text = done.stderr
        else:
            done = subprocess.run(TIDY + ["-p", str(build),
                                          os.path.relpath(os.path.join(row["directory"], row["file"]))],
                                  capture_output=True, text=True)
            text = done.stdout
        if done.returncode == 0 and name:
            (cache / name).touch()
        return row["file"], done.returncode, text or done.stderr, False

    bad = fresh = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, code, text, known in pool.map(analyse, rows.values()):
            fresh += not known
            if code:
                bad += 1
                print(text.rstrip(), file=sys.stderr, flush=True)
    old = sorted(cache.iterdir(), key=lambda p: p.stat().st_mtime)[:-4 * max(len(rows), 1)]
    for p in old:
        p.unlink()
    print(f"{which}: {len(rows)} files, {fresh} looked at anew, {bad} with findings", file=sys.stderr)
    sys.exit(1 if bad or not rows else 0)


if __name__ == "__main__":
    main()
