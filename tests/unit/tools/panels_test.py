#!/usr/bin/env python3
"""tools/gen_panels.py: a row that would make a bad panel is refused, and panels are laid out without overlap."""
import copy
import pathlib
import sys
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import gen_panels  # noqa: E402

DOC = tomllib.loads("""
[let]
rate = 'rate({{name}}[$window])'
name = 'x{app=~"$app"}'
[[dashboard]]
id = "d"
title = "D"
help = "h"
variables = ["app", "window"]
window = "5m"
markers = "m"
[[panel]]
dashboard = "d"
id = "a"
title = "A"
help = "y of an exporter"
kind = "lines"
unit = "ratio"
thresholds = [{value = 0.1, colour = "yellow", text = "10 %"}]
queries = [{expr = "sum({{rate}})", legend = "{{app}}"}, {expr = "y", legend = "y", unit = "bytes", needs = "y"}]
""")


def heatmap(at, width, parts):
    return {"dashboard": "d", "id": f"h{at}", "title": "H", "help": "h", "kind": "heatmap", "unit": "bytes", "width": width,
            "queries": [{"expr": f"q{i}", "legend": f"l{i}"} for i in range(parts)]}


class Rows(unittest.TestCase):
    def refused(self, change, why):
        doc = copy.deepcopy(DOC)
        change(doc, doc["panel"][0], doc["panel"][0]["queries"][0])
        with self.assertRaises(SystemExit) as e:
            gen_panels.dashboards(doc)
        self.assertIn(why, str(e.exception))

    def test_a_good_row_is_complete(self):
        panel = gen_panels.dashboards(DOC)[0]["panels"][0]
        self.assertEqual(panel["queries"], [
            {"expr": 'sum(rate(x{app=~"$app"}[$window]))', "legend": "{{app}}", "unit": "ratio", "needs": None},
            {"expr": "y", "legend": "y", "unit": "bytes", "needs": "y"}])
        self.assertEqual((panel["width"], panel["links"], panel["scale"]), (12, [], "linear"))

    def test_bad_rows_are_refused(self):
        self.refused(lambda d, p, q: q.update(expr="{{nothing}}"), "no nothing in [let]")
        self.refused(lambda d, p, q: d["let"].update(name="{{rate}}"), "in circles")
        self.refused(lambda d, p, q: q.update(expr="x{a='$b'}"), "unknown variables ['b']")
        self.refused(lambda d, p, q: q.update(unit="furlongs"), "unknown unit furlongs")
        self.refused(lambda d, p, q: q.update(need="y"), "unknown keys of a query")
        self.refused(lambda d, p, q: q.update(needs="z"), "help does not name z")
        self.refused(lambda d, p, q: p.update(kind="pie"), "unknown kind")
        self.refused(lambda d, p, q: p.update(wdith=3), "wdith")
        self.refused(lambda d, p, q: p.update(scale="ln"), "a scale is one of")
        self.refused(lambda d, p, q: p.update(scale="log", kind="stacked"), "only lines")
        self.refused(lambda d, p, q: p.update(dashboard="e"), "of no dashboard")
        self.refused(lambda d, p, q: d["panel"].append(p), "used twice")
        self.refused(lambda d, p, q: d["dashboard"][0].update(window="7m"), "window 7m")
        self.refused(lambda d, p, q: p["thresholds"].append({"value": 0, "colour": "red"}), "thresholds rise")
        self.refused(lambda d, p, q: p["thresholds"][0].update(colour="blue"), "thresholds rise")

    def test_panels_fill_rows_from_the_left(self):
        doc = copy.deepcopy(DOC)
        doc["panel"] += [heatmap(0, 24, 2), heatmap(1, 12, 1), heatmap(2, 8, 1)]
        board = gen_panels.grafana(gen_panels.dashboards(doc)[0])
        self.assertEqual([(p["gridPos"]["x"], p["gridPos"]["y"], p["gridPos"]["w"], p["title"]) for p in board["panels"]],
                         [(0, 0, 12, "A"), (12, 0, 12, "H: l0"), (0, 8, 12, "H: l1"), (12, 8, 12, "H"), (0, 16, 8, "H")])
        self.assertEqual(board["panels"][1]["options"]["yAxis"]["unit"], "bytes")

    def test_another_unit_has_an_axis_of_its_own(self):
        board = gen_panels.grafana(gen_panels.dashboards(DOC)[0])
        self.assertEqual(board["panels"][0]["fieldConfig"]["overrides"], [
            {"matcher": {"id": "byFrameRefID", "options": "B"},
             "properties": [{"id": "unit", "value": "bytes"}, {"id": "custom.axisPlacement", "value": "right"}]}])

    def test_a_scale_is_the_same_in_the_page_and_in_grafana(self):
        doc = copy.deepcopy(DOC)
        doc["panel"][0]["scale"] = "log"
        for rows, scale, grafana in ((DOC, "linear", {"type": "linear"}), (doc, "log", {"type": "log", "log": 10})):
            board = gen_panels.dashboards(rows)[0]
            self.assertEqual(board["panels"][0]["scale"], scale)
            custom = gen_panels.grafana(board)["panels"][0]["fieldConfig"]["defaults"]["custom"]
            self.assertEqual(custom["scaleDistribution"], grafana)

    def test_the_dashboards_have_the_panels_that_were_promised(self):
        doc = tomllib.loads((ROOT / "schema/panels.toml").read_text())
        self.assertEqual({d["id"]: len(d["panels"]) for d in gen_panels.dashboards(doc)},
                         {"application": 12, "canary": 10, "infrastructure": 8})


if __name__ == "__main__":
    unittest.main()
