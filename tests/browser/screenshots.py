#!/usr/bin/env python3
"""A team's platform as it may be on a Tuesday, for pictures of the dashboard: three apps with traffic, one of which is
slow. usage: screenshots.py COMMAND…, started with the environment of dashboard.py"""
import sys

from dashboard import stage

APP = """  {name}:
    command: {{build}}/feedback-app --port $PORT
    dir: {{dir}}
    replicas: {replicas}
    env: {{{{DATABASE_URL: "sqlite:{name}/feedback.db", FEEDBACK_FAULT: "{fault}"}}}}
    probes:
      startup: {{{{http: /health, every: 250ms, failures: 120}}}}
      readiness: {{{{http: /health, every: 500ms, timeout: 2s, failures: 2}}}}
    metrics: {{{{scrape: /metrics}}}}
    sandbox: {{{{writable: [{name}/]}}}}
    routes: [{{{{host: {host}, path: /}}}}]
    rollout:
      strategy: canary
      steps: [{{{{weight: {share}, wait: {wait}}}}}, {{{{weight: 50%, wait: {wait}}}}}, {{{{weight: 100%}}}}]
      abort_when: {{{{error_rate: 5%, p95: 2s}}}}
      after_promote: {{{{watch: 2s, keep_previous: 2s}}}}
    slo:
      availability: {{{{objective: 99.5%, window: 30d}}}}
      latency: {{{{objective: 95%, faster_than: 250ms, window: 30d}}}}
      runbook: docs/runbooks/{name}.md
    versions:
      bad: {{{{env: {{{{FEEDBACK_FAULT: "errors:60%"}}}}}}}}
      good: {{{{env: {{{{ENVIRONMENT: blue}}}}}}}}
      next: {{{{env: {{{{ENVIRONMENT: green}}}}}}}}
"""
CONFIG = """version: 1
project: shop
edge:
  workers: 1
  listen: {{http: "127.0.0.1:{port}"}}
apps:
APPSalerts:
  every: 5s
  settle: 1s
  receivers: {{team: {{webhook: TEAM}}, oncall: {{webhook: ONCALL}}}}
  route: {{to: team, wait: 1s, routes: [{{match: [severity=critical], to: [team, oncall]}}]}}
  rules:
    - alert: SlowSearch
      expr: headgate:p95_seconds:5m{{app="search"}} > 0.25
      severity: critical
      summary: "search: 95 % of the answers take up to {{{{ $value | humanizeDuration }}}}"
      runbook: docs/runbooks/search.md
admin: {{listen: "127.0.0.1:ADMIN"}}
"""
HOSTS = {"accounts": "accounts.localhost", "feedback": "localhost", "search": "search.localhost"}


def main():
    # `accounts` is soon proven good, `feedback` is still being judged when the pictures are taken.
    own = {"accounts": {"share": "25%", "wait": "5s"}, "search": {"fault": "slow:12%:400ms"}, "feedback": {"replicas": 3}}
    usual = {"replicas": 2, "share": "10%", "wait": "2m", "fault": ""}
    apps = "".join(APP.format(name=name, host=host, **{**usual, **own[name]}) for name, host in HOSTS.items())
    return stage(CONFIG.replace("APPS", apps), sys.argv[1:], HOSTS.values(), rate=60)


if __name__ == "__main__":
    sys.exit(main())
