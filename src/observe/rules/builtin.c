/* Recording rules that are always there, so that alerts and dashboards can be short. */
#include "rules_priv.h"

static const char text[] =
        "groups:\n"
        "  - name: headgate\n"
        "    rules:\n"
        "      - record: headgate:requests_per_second:5m\n"
        "        expr: sum by (app) (rate(headgate_requests_total[5m]))\n"
        "      - record: headgate:error_ratio:1m\n"
        "        expr: >-\n"
        "          sum by (app) (rate(headgate_requests_total{code=~\"5..\"}[1m]))\n"
        "          / (sum by (app) (rate(headgate_requests_total[1m])) > 0)\n"
        "      - record: headgate:error_ratio:5m\n"
        "        expr: >-\n"
        "          sum by (app) (rate(headgate_requests_total{code=~\"5..\"}[5m]))\n"
        "          / (sum by (app) (rate(headgate_requests_total[5m])) > 0)\n"
        "      - record: headgate:release_error_ratio:5m\n"
        "        expr: >-\n"
        "          sum by (app, release) (rate(headgate_requests_total{code=~\"5..\"}[5m]))\n"
        "          / (sum by (app, release) (rate(headgate_requests_total[5m])) > 0)\n"
        "      - record: headgate:p50_seconds:5m\n"
        "        expr: >-\n"
        "          histogram_quantile(0.5, sum by (app, le)\n"
        "          (rate(headgate_request_duration_seconds_bucket[5m])))\n"
        "      - record: headgate:p95_seconds:5m\n"
        "        expr: >-\n"
        "          histogram_quantile(0.95, sum by (app, le)\n"
        "          (rate(headgate_request_duration_seconds_bucket[5m])))\n"
        "      - record: headgate:p99_seconds:5m\n"
        "        expr: >-\n"
        "          histogram_quantile(0.99, sum by (app, le)\n"
        "          (rate(headgate_request_duration_seconds_bucket[5m])))\n"
        "      - record: headgate:release_p95_seconds:5m\n"
        "        expr: >-\n"
        "          histogram_quantile(0.95, sum by (app, release, le)\n"
        "          (rate(headgate_request_duration_seconds_bucket[5m])))\n"
        "      - record: headgate:replica_cpu:5m\n"
        "        expr: rate(headgate_replica_cpu_seconds_total[5m])\n"
        "      - record: headgate:replica_memory_ratio\n"
        "        expr: headgate_replica_memory_bytes / (headgate_replica_memory_limit_bytes > 0)\n";

struct hg_str rules_builtin(void)
{
	return (struct hg_str){text, sizeof text - 1};
}
