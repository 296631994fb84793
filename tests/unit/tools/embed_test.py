#!/usr/bin/env python3
"""Tests of tools/embed.py: what of a folder is built in, and what the build is told to watch."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

EMBED = pathlib.Path(__file__).resolve().parent.parent.parent.parent / "tools/embed.py"


class Embed(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.top = pathlib.Path(self.dir.name)
        self.dist = self.top / "dist"
        (self.dist / "assets").mkdir(parents=True)
        (self.dist / "index.html").write_text("<p>page</p>")
        (self.dist / "assets/app-1.js").write_text("let a = 1;\n" * 100)

    def run_embed(self, *argv):
        return subprocess.run([sys.executable, "-B", EMBED, "--symbol", "web", "--output", self.top / "web.c",
                               "--depfile", self.top / "web.d", *argv], capture_output=True, text=True)

    def test_a_folder_is_served_by_its_paths_and_its_index_as_the_root(self):
        self.assertEqual(self.run_embed("--dir", self.dist).returncode, 0)
        text = (self.top / "web.c").read_text()
        self.assertIn('HG_STR("/"), HG_STR("text/html; charset=utf-8")', text)
        self.assertIn('HG_STR("/assets/app-1.js"), HG_STR("text/javascript; charset=utf-8")', text)
        self.assertNotIn("index.html", text)
        self.assertIn("web_count = 2", text)

    def test_the_build_watches_every_file_and_folder(self):
        self.assertEqual(self.run_embed("--dir", self.dist).returncode, 0)
        watched = (self.top / "web.d").read_text().split(": ")[1].split()
        self.assertEqual(sorted(watched), sorted(map(str, (
            self.dist, self.dist / "assets", self.dist / "index.html", self.dist / "assets/app-1.js"))))

    def test_the_same_folder_gives_the_same_bytes(self):
        self.run_embed("--dir", self.dist)
        first = (self.top / "web.c").read_bytes()
        self.run_embed("--dir", self.dist)
        self.assertEqual((self.top / "web.c").read_bytes(), first)

    def test_a_folder_without_a_page_and_a_file_without_a_type_are_refused(self):
        (self.dist / "assets/app.wasmx").write_text("x")
        self.assertIn("no type", self.run_embed("--dir", self.dist).stderr)
        (self.dist / "assets/app.wasmx").unlink()
        (self.dist / "index.html").unlink()
        done = self.run_embed("--dir", self.dist)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no index.html", done.stderr)


if __name__ == "__main__":
    unittest.main()
