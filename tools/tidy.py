#!/usr/bin/env python3
"""The house rules that a program can check, as a test: planes, doors, sizes, banned calls, globals.

usage: tidy.py [--build DIR]    (with a build folder, object files are searched for mutable globals)
Prints one line a violation and `N passed, N failed` for the rules.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = tomllib.loads((ROOT / "tools/rooms.toml").read_text())
ROOMS, ARCS, LIMITS = RULES["rooms"], RULES["arcs"], RULES["limits"]
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|alloca|localtime|gmtime|strtok"
                    r"|ctime|asctime|tmpnam|mktemp)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
FUNCTION_OPENS = re.compile(r"^\{\s*$")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')


def sources():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split()
    return [n for n in names if (ROOT / n).is_file()]


def room_of(path):
    """The innermost room that holds `path` (relative to the root), or None (tests, benchmarks)."""
    best = None
    for room in ROOMS:
        if path.startswith(room + "/") and (best is None or len(room) > len(best)):
            best = room
    return best


def target_of(path, name):
    """What `#include "name"` in `path` means: a path relative to the root."""
    beside = (pathlib.PurePosixPath(path).parent / name)
    if "/" not in name:
        return str(beside)
    if name.startswith(("gen/", "apps/")):
        return name
    return "src/" + name


def check_include(path, line, name):
    here, target = room_of(path), target_of(path, name)
    there = room_of(target)
    if here is None or there is None:
        return f'includes "{name}", which is in no room' if here and there is None else None
    if here == there:
        return None
    if target.endswith("_priv.h"):
        return f'includes "{name}", which is private to {there}'
    rule = ROOMS[there]
    if not rule.get("library") and pathlib.PurePosixPath(target).name not in rule["doors"]:
        return f'includes "{name}", which is not a door of {there}'
    only = ROOMS[here].get("only")
    if only is not None and there not in only:
        return f'includes "{name}": {here} may use only {", ".join(only)}'
    if ROOMS[there]["plane"] < ROOMS[here]["plane"] or there in ARCS.get(here, {}):
        return None
    return f'includes "{name}": {there} (plane {rule["plane"]}) is not below {here}'


def rule_planes(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        complaint = found and check_include(path, number, found.group(1))
        if complaint:
            yield number, complaint


def rule_sizes(path, text):
    lines = text.splitlines()
    limit = RULES.get("allowed", {}).get(path, LIMITS["file_lines"])
    if len(lines) > limit:
        yield len(lines), f"has {len(lines)} lines, the limit is {limit}"
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > LIMITS["columns"]:
            yield number, f"is {len(line.expandtabs(8))} columns wide, the limit is {LIMITS['columns']}"


def rule_functions(path, text):
    opened = None
    for number, line in enumerate(text.splitlines(), 1):
        if FUNCTION_OPENS.match(line):
            opened = number
        elif line.startswith("}") and opened:
            if number - opened + 1 > LIMITS["function_lines"]:
                yield opened, f"function of {number - opened + 1} lines, the limit is {LIMITS['function_lines']}"
            opened = None


def blank(found):
    return "\n" * found.group(0).count("\n")


def rule_banned(path, text):
    code = STRING.sub('""', COMMENT.sub(blank, text))
    for number, line in enumerate(code.splitlines(), 1):
        found = BANNED.search(line)
        if found:
            yield number, f"calls {found.group(1)}, which is banned"


def rule_doors(path, text):
    """A door tells its story: it opens with a comment of at least two lines."""
    room = room_of(path)
    if room in (None, "gen") or not path.endswith(".h") or path.endswith("_priv.h"):
        return
    rule = ROOMS[room]
    door = rule.get("library") or pathlib.PurePosixPath(path).name in rule["doors"]
    if door and not text.startswith("/*"):
        yield 1, "is a door without a comment that says what it is for"


def globals_in(build):
    """Symbols in writable sections of the rooms' object files, outside src/main."""
    for obj in sorted(pathlib.Path(build).glob("src/**/*.o")):
        if "/main/" in str(obj) or obj.name.startswith("meson-generated"):
            continue
        table = subprocess.run(["objdump", "-t", str(obj)], capture_output=True, text=True).stdout
        for line in table.splitlines():
            found = re.match(r"^[0-9a-f]+ .{7} (\.(?:data|bss)\S*)\s+[0-9a-f]+ (\S+)$", line)
            if found and not found.group(1).startswith((".data.rel.ro", ".bss.rel.ro")) \
                    and not re.match(r"^(\.|__|completed\.)", found.group(2)) \
                    and found.group(1) != found.group(2):
                yield f"{obj.parent.name}/{obj.name}: mutable global {found.group(2)} in {found.group(1)}"


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--build")
    build = args.parse_args().build
    rules = [rule_planes, rule_sizes, rule_functions, rule_banned, rule_doors]
    broken = {r.__name__: [] for r in rules}
    for path in sources():
        text = (ROOT / path).read_text(errors="replace")
        if path.startswith("tests/") or path.startswith("bench/"):
            mine = [rule_sizes, rule_banned]
        else:
            mine = rules
        for rule in mine:
            broken[rule.__name__] += [f"{path}:{n}: {what}" for n, what in rule(path, text)]
    if build:
        sanitized = "sanitize=" in (pathlib.Path(build) / "compile_commands.json").read_text()
        coverage = "--coverage" in (pathlib.Path(build) / "compile_commands.json").read_text()
        broken["globals"] = [] if sanitized or coverage else list(globals_in(build))
    for name, lines in broken.items():
        for line in lines:
            print(line)
    failed = sum(1 for lines in broken.values() if lines)
    print(f"{len(broken) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
