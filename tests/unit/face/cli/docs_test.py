"""What is generated and kept in the tree is what the rows say.

Mend with: tools/gen.py cli_md schema/cli.toml docs/reference/cli.md (and so on).
"""
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[4]
KEPT = [("cli_md", "schema/cli.toml", "docs/reference/cli.md"),
        ("cli_man", "schema/cli.toml", "packaging/headgate.1"),
        ("api_md", "schema/routes.toml", "docs/reference/api.md"),
        ("panels_md", "schema/panels.toml", "docs/reference/panels.md")]


def main():
    stale = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, schema, kept in KEPT:
            if not (ROOT / schema).exists():
                continue
            fresh = pathlib.Path(folder) / "fresh"
            command = [sys.executable, ROOT / "tools/gen.py", kind, ROOT / schema, fresh]
            subprocess.run(command, check=True)
            if not (ROOT / kept).exists() or fresh.read_text() != (ROOT / kept).read_text():
                stale.append(f"{kept} is stale: tools/gen.py {kind} {schema} {kept}")
    if stale:
        sys.exit("\n".join(stale))


main()
