#!/usr/bin/env python3
"""Prometheus' HTTP API as others see it: Debian's promtool, the requests of a Grafana data source, and
requests that nobody means well, over a store with known samples (metrics_server.c)."""
import contextlib
import gzip
import json
import os
import shutil
import socket
import subprocess
import tempfile
import unittest
import urllib.parse

import harness

SERVER = os.path.join(harness.BUILD, "tests/e2e/metrics_server")
PROMTOOL = shutil.which("promtool")
NOW = 1700000000
SERIES = """# TYPE up gauge
up{instance="a:1",job="web"} 1 %(at)s
up{instance="b:1",job="web"} 0 %(at)s
# TYPE requests counter
""" % {"at": NOW}


def samples():
    """An hour at 15 s: requests_total of 4 series that rise by 1, 2, 3 and 4 a second."""
    text = SERIES
    for k in range(1, 5):
        for at in range(NOW - 3600, NOW + 1, 15):
            text += f'requests_total{{code="{k}00",path="/p{k}"}} {(at - NOW + 3600) * k} {at}\n'
    return text + "# EOF\n"


@contextlib.contextmanager
def server(*arguments, text=None, now=NOW * 1000):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "samples.om")
        with open(path, "w") as f:
            f.write(text or samples())
        p = subprocess.Popen([SERVER, "--listen", "127.0.0.1:0", "--load", path, "--now", str(now),
                              *arguments], stdout=subprocess.PIPE, text=True)
        try:
            word, address = p.stdout.readline().split()
            assert word == "ready", word
            yield address
        finally:
            p.terminate()
            code = p.wait(timeout=30)
            p.stdout.close()
    assert code == 0, f"the server ended with {code}"


def ask(address, path, method="GET", body=None, headers=None):
    status, fields, text = harness.request(int(address.rsplit(":", 1)[1]), method, path, body, headers, timeout=60)
    if fields.get("Content-Encoding") == "gzip":
        text = gzip.decompress(text)
    return status, json.loads(text)


def form(**values):
    return urllib.parse.urlencode([(k.replace("match", "match[]"), x) for k, v in values.items()
                                   for x in (v if isinstance(v, list) else [v])])


class Api(unittest.TestCase):
    @unittest.skipUnless(PROMTOOL, "needs promtool (package prometheus)")
    def test_promtool_asks_as_it_asks_prometheus(self):
        def promtool(*words):
            done = subprocess.run([PROMTOOL, "query", *words], capture_output=True, text=True, timeout=60)
            return done.returncode, done.stdout, done.stderr

        with server() as address:
            url = f"http://{address}"
            self.assertEqual(promtool("instant", url, "sum(up)", f"--time={NOW}"), (0, f"{{}} => 1 @[{NOW}]\n", ""))
            code, out, _ = promtool("instant", "-o", "json", url, "up", f"--time={NOW}")
            self.assertEqual(code, 0)
            self.assertEqual([(s["metric"]["instance"], s["value"]) for s in json.loads(out)],
                             [("a:1", [NOW, "1"]), ("b:1", [NOW, "0"])])
            code, out, _ = promtool("range", url, "sum by (path) (requests_total)",
                                    f"--start={NOW - 60}", f"--end={NOW}", "--step=30s")
            self.assertEqual(code, 0)
            self.assertEqual(out.replace("\n\n", "\n"), "".join(
                f'{{path="/p{k}"}} =>\n' + "".join(f"{k * (at - NOW + 3600)} @[{at}]\n" for at in (NOW - 60, NOW - 30, NOW))
                for k in range(1, 5)))
            code, out, _ = promtool("series", url, '--match={code="100"}', '--match=up{job="web"}',
                                    f"--start={NOW - 60}", f"--end={NOW}")
            self.assertEqual((code, out.splitlines()), (0, [
                '{__name__="requests_total", code="100", path="/p1"}',
                '{__name__="up", instance="a:1", job="web"}', '{__name__="up", instance="b:1", job="web"}']))
            code, out, _ = promtool("labels", url, "path", f"--start={NOW - 60}", f"--end={NOW}")
            self.assertEqual((code, out.split()), (0, ["/p1", "/p2", "/p3", "/p4"]))
            code, _, err = promtool("instant", url, "sum(")
            self.assertEqual(code, 1)
            self.assertIn('invalid parameter "query": 1:5: parse error:', err)

    def test_a_grafana_data_source_finds_what_it_asks_for(self):
        post = {"Content-Type": "application/x-www-form-urlencoded", "Accept-Encoding": "gzip"}
        with server() as address:
            status, doc = ask(address, "/api/v1/status/buildinfo")
            self.assertEqual(status, 200)
            self.assertGreaterEqual(tuple(map(int, doc["data"]["version"].split("."))), (2, 24, 0))
            # "Save & test" of a data source asks for 1+1.
            status, doc = ask(address, "/api/v1/query", "POST", form(query="1+1", time=f"{NOW}.5"), post)
            self.assertEqual((status, doc["data"]), (200, {"resultType": "scalar", "result": [NOW + 0.5, "2"]}))
            status, doc = ask(address, "/api/v1/query_range", "POST", form(
                query="sum(increase(requests_total[1m0s])) / 60", start=NOW - 1800, end=NOW, step=15), post)
            self.assertEqual(status, 200)
            values = doc["data"]["result"][0]["values"]
            self.assertEqual((len(values), values[0][0], values[-1][0]), (121, NOW - 1800, NOW))
            self.assertTrue(all(abs(float(v) - 10) < 1e-9 for _, v in values))
            status, doc = ask(address, "/api/v1/labels", "POST", form(
                match="up", start=NOW - 60, end=NOW), post)
            self.assertEqual(doc, {"status": "success", "data": ["__name__", "instance", "job"]})
            status, doc = ask(address, "/api/v1/label/__name__/values?" + form(start=NOW - 60, end=NOW, limit=1))
            self.assertEqual(doc, {"status": "success", "data": ["requests_total"],
                                   "warnings": ["results truncated due to limit"]})
            status, doc = ask(address, "/api/v1/series", "POST", form(match=["up", 'requests_total{code!="400"}'],
                                                                      start=NOW - 60, end=NOW), post)
            self.assertEqual(len(doc["data"]), 5)
            for path, data in (("/api/v1/metadata?limit=100", {}), ("/api/v1/rules?type=alert", {"groups": []}),
                               ("/api/v1/query_exemplars?query=up&start=0&end=1", [])):
                self.assertEqual(ask(address, path), (200, {"status": "success", "data": data}))
            long = "sum by (job) (rate(requests_total{code!=\"400\"}[5m])) / on (job) group_left () count by (job) (up) > 0.25"
            status, doc = ask(address, "/api/v1/format_query", "POST", form(query=long + " # so much"), post)
            self.assertEqual((status, doc["data"]), (200, "  " + long.replace(" > ", "\n>\n  ")))
            for way in (("GET", None, {}), ("POST", form(query=long), post)):
                status, doc = ask(address, "/api/v1/parse_query" + ("" if way[1] else "?" + form(query=long)), *way)
                self.assertEqual((status, doc["data"]["type"], doc["data"]["lhs"]["matching"]["card"]),
                                 (200, "binaryExpr", "many-to-one"))
            status, doc = ask(address, "/api/v1/parse_query?query=rate(")
            self.assertEqual((status, doc["errorType"]), (400, "bad_data"))
            status, doc = ask(address, "/api/v1/query", "POST", form(query="rate(requests_total)"), post)
            self.assertEqual((status, doc["status"], doc["errorType"]), (400, "error", "bad_data"))

    def test_a_scraper_reads_what_is_federated(self):
        with server("--external", "site=one") as address:
            port = int(address.rsplit(":", 1)[1])
            status, fields, text = harness.request(port, path="/federate?" + form(match=['{job="web"}']))
            self.assertEqual((status, fields["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
            self.assertEqual(text.decode(), (
                '# TYPE up untyped\n'
                f'up{{instance="a:1",job="web",site="one"}} 1 {NOW}000\n'
                f'up{{instance="b:1",job="web",site="one"}} 0 {NOW}000\n'))
        # Our own scraper takes it from there, job and instance as the series have them.
        with server("--external", "site=one") as address:
            port = int(address.rsplit(":", 1)[1])
            _, _, text = harness.request(port, path="/federate?" + form(match=['{__name__=~".+"}']))
            if PROMTOOL:
                done = subprocess.run([PROMTOOL, "check", "metrics"], input=text.decode(), capture_output=True,
                                      text=True, timeout=60)
                self.assertNotIn("error while linting", done.stderr)

    def test_whatever_is_sent_it_answers_the_next_one(self):
        deep = "(" * 2500 + "1" + ")" * 2500
        paths = [f"/api/v1/query?query={q}" for q in (
            "", "%00", "%ff", "%f0%9f", "{", "}", "up{", 'up{a="', "up[5m", "up[5m:", "up offset", "-", "1/", "sum by (", deep,
            "topk(1e18,up)", "count_values(\"%ff\",up)", "label_replace(up,\"a\",\"$1\",\"b\",\"(\")",
            "up{a=~\"(((((((((a*)*)*)*)*)*)*)*)*)*$\"}", "up[1000000000y]", "up offset 9223372036854775807s", "vector(1e400)",
            "up@1e300", "quantile(NaN,up)", "sum_over_time(up[1y:1ms])", "absent(up{a=\"" + "x" * 7000 + "\"})", "1" + "%2B1" * 1500)]
        paths += [f"/api/v1/query?query=up&{p}" for p in (
            "time=1e308", "time=-1e308", "time=", "timeout=-1", "timeout=1e300", "limit=18446744073709551616",
            "lookback_delta=1e300", "stats=" + "x" * 3000, "&&&&=&=&", "time=1&" * 500)]
        paths += [f"/api/v1/query_range?query=up&{p}" for p in (
            "start=-1e308&end=1e308&step=1e9", "start=0&end=1e308&step=1e300", "start=1&end=1&step=1e-9",
            "start=0&end=11000&step=1", "start=0&end=1e16&step=1e13", "start=9e15&end=9e15&step=1", "start=0&end=1&step=NaN")]
        paths += [f"/api/v1/series?{p}" for p in (
            "match[]=", "match[]={}", "match[]=up&" * 300, "match[]=%7B__name__=~%22.*%22%7D", "match[]=a&start=1e308", "match=up",
            "match[]=up&start=2&end=1")]
        paths += ["/api/v1/label//values", "/api/v1/label/%2e%2e/values", "/api/v1/label/U__/values", "/api/v1/label/U___ffffff_/values",
                  "/api/v1/label/" + "x" * 4000 + "/values", "/api/v1//query?query=1", "/api/v1/query/?query=1", "/api/v1/",
                  "/federate?match[]=1", "/federate?match[]={}", "/-/", "/api/v1/status/", "/api/v1/targets?state=" + "x" * 2000]
        self.assertGreaterEqual(len(paths), 64)
        with server() as address:
            port = int(address.rsplit(":", 1)[1])
            for path in paths:
                status, fields, text = harness.request(port, path=path.replace(" ", "%20"), timeout=60)
                self.assertIn(status, (200, 400, 404, 414, 422, 503), (path[:200], text[:200]))
                if fields.get("Content-Type") == "application/json":
                    doc = json.loads(text)
                    self.assertEqual(doc["status"], "success" if status == 200 else "error", path[:200])
                self.assertEqual(ask(address, f"/api/v1/query?query=sum(up)&time={NOW}")[1]["data"]["result"],
                                 [{"metric": {}, "value": [NOW, "1"]}], path[:200])
            # A body that ends too early, and one that never was a form.
            for body in (b"query=up%", b"\0" * 100, b"&" * 100000, b"query=1&" * 5000, b"query=" + b"(" * 1100000):
                status, _, _ = harness.request(port, "POST", "/api/v1/query", body,
                                               {"Content-Type": "application/x-www-form-urlencoded"}, timeout=60)
                self.assertIn(status, (200, 400, 422))
            with socket.create_connection(("127.0.0.1", port)) as s:
                s.sendall(b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nquery=1")
            self.assertEqual(ask(address, "/api/v1/query?query=1")[0], 200)

    def test_what_is_scraped_is_found_among_the_targets(self):
        with server() as source, server("--scrape", source, "--interval", "200", text="# EOF\n", now=0) as address:
            def target():
                return ask(address, "/api/v1/targets")[1]["data"]["activeTargets"]
            # The source has no /metrics: it is asked, and it is down.
            harness.wait_for(lambda: target()[0]["health"] == "down")
            t = target()[0]
            self.assertEqual((t["labels"], t["scrapePool"], t["scrapeUrl"], t["scrapeInterval"]),
                             ({"instance": source, "job": "test"}, "test", f"http://{source}/metrics", "200ms"))
            self.assertIn("404", t["lastError"])
            self.assertEqual(ask(address, "/api/v1/scrape_pools")[1]["data"], {"scrapePools": ["test"]})

    def test_a_platform_answers_at_its_admin_address(self):
        with harness.Platform(harness.FEEDBACK, replicas=1) as p:
            p.up()
            token = p.run("token", "create", "grafana", "--role", "viewer").stdout.split()[0]
            port = int((p.data / "run/admin").read_text().rsplit(":", 1)[1])

            def query(text, auth=token, **more):
                headers = {"Authorization": f"Bearer {auth}"}
                return harness.request(port, path="/api/v1/query?" + form(query=text), headers=headers, **more)

            def counted():
                """its own series are there"""
                status, _, text = query('count({__name__=~"headgate_.+"})')
                return status == 200 and json.loads(text)["data"]["result"]

            self.assertGreater(int(harness.wait_for(counted)[0]["value"][1]), 50)
            status, _, text = harness.request(port, path="/api/v1/parse_query?query=foo/bar",
                                              headers={"Authorization": f"Bearer {token}"})
            self.assertEqual((status, json.loads(text)["data"]["rhs"]["name"]), (200, "bar"))
            status, _, text = query("1", auth="wrong")
            self.assertEqual((status, json.loads(text)["errorType"]), (401, "unauthorized"))
            if PROMTOOL:
                done = subprocess.run([PROMTOOL, "query", "instant", f"http://any:{token}@127.0.0.1:{port}", "1 + 1"],
                                      capture_output=True, text=True, timeout=60)
                self.assertRegex(done.stdout, r"^scalar: 2 @\[")
            before = p.pids("observe")
            harness.kill(before[0])
            harness.wait_for(lambda: p.pids("observe") not in ([], before))
            harness.wait_for(counted)  # until then it is told 503, in an envelope
            status, _, text = harness.request(port, path="/-/ready")
            self.assertEqual(status, 200)


if __name__ == "__main__":
    harness.main()
