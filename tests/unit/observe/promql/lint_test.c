/* Well-known rules that are right are passed in silence; each known mistake is told. */
#include "tests/unit/test.h"

#include "observe/promql/lint.h"

#include <stdio.h>

struct heard {
	struct promql_note_lint note[16];
	uint32_t n;
};

static void on_note(void *arg, const struct promql_note_lint *n)
{
	struct heard *h = arg;
	if (h->n < HG_COUNT(h->note)) h->note[h->n++] = *n;
}

static void lint(const char *expr, bool percentage, struct heard *h)
{
	struct promql_query *q = NULL;
	struct hg_err err = {0};
	struct promql_lint_env env = {
	        .alert = true, .percentage = percentage, .note = on_note, .arg = h};
	h->n = 0;
	if (promql_parse(hg_str(expr), &q, &err) < 0) fail_msg("%s: %s", expr, err.message);
	promql_lint(q, &env);
	promql_free(q);
}

/* Of the rules that Prometheus', Kubernetes', node_exporter's and databases' users share. */
static const char *const good[] = {
        "up == 0",
        "up{job=\"api\"} == 0",
        "sum by (job) (up) == 0",
        "absent(up{job=\"prometheus\"} == 1)",
        "absent(up{job=\"prometheus\"})",
        "absent_over_time(up{job=\"backup\"}[1d])",
        "vector(1)",
        "1",
        "count by (job) (up == 0) / count by (job) (up) * 100 > 10",
        "100 * (count by (job, namespace) (up == 0) / count by (job, namespace) (up)) > 10",
        "sum(rate(http_requests_total{code=~\"5..\"}[5m])) / sum(rate(http_requests_total[5m])) > "
        "0.05",
        "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m])) / sum by (job) "
        "(rate(http_requests_total[5m])) * 100 > 5",
        "(sum(rate(a_errors_total[5m])) by (job) / sum(rate(a_requests_total[5m])) by (job)) > "
        "0.01",
        "histogram_quantile(0.99, sum by (le, job) "
        "(rate(http_request_duration_seconds_bucket[5m]))) > 1",
        "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m])) > 0.3",
        "histogram_quantile(0.99, sum without (instance) "
        "(rate(grpc_server_handling_seconds_bucket[5m]))) "
        "> 0.15",
        "cluster_quantile:apiserver_request:histogram_quantile{quantile=\"0.99\"} > 1",
        "sum(rate(x_seconds_sum[5m])) / sum(rate(x_seconds_count[5m])) > 1.5",
        "sum(rate(x_seconds_bucket{le=\"0.3\"}[5m])) / sum(rate(x_seconds_count[5m])) < 0.95",
        "rate(x_seconds_bucket{le=\"0.3\"}[5m]) / ignoring(le) rate(x_seconds_count[5m]) < 0.95",
        "100 - (avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[2m])) * 100) > 80",
        "avg by (instance) (rate(node_cpu_seconds_total{mode=\"iowait\"}[5m])) > 0.2",
        "1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m])) > 0.85",
        "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.1",
        "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes * 100 < 10",
        "(node_filesystem_avail_bytes * 100) / node_filesystem_size_bytes < 10 and on (instance, "
        "device, "
        "mountpoint) node_filesystem_readonly == 0",
        "(node_filesystem_avail_bytes{job=\"node\",fstype!=\"\"} / "
        "node_filesystem_size_bytes{job=\"node\",fstype!=\"\"} * 100 < 15 and "
        "predict_linear(node_filesystem_avail_bytes{job=\"node\",fstype!=\"\"}[6h], 4 * 60 * 60) < "
        "0)",
        "predict_linear(node_filesystem_free_bytes[1h], 4 * 3600) < 0",
        "node_filesystem_files_free / node_filesystem_files < 0.05",
        "node_load1 / count without (cpu, mode) (node_cpu_seconds_total{mode=\"idle\"}) > 2",
        "node_timex_sync_status == 0 and node_timex_maxerror_seconds >= 16",
        "rate(node_network_receive_errs_total[2m]) / rate(node_network_receive_packets_total[2m]) "
        "> 0.01",
        "increase(node_vmstat_oom_kill[1m]) > 0",
        "rate(node_vmstat_pgmajfault[1m]) > 1000",
        "process_open_fds / process_max_fds * 100 > 90",
        "changes(process_start_time_seconds[15m]) > 2",
        "max_over_time(kube_pod_container_status_waiting_reason{reason=\"CrashLoopBackOff\"}[5m]) "
        ">= 1",
        "increase(kube_pod_container_status_restarts_total[10m]) > 3",
        "(kube_deployment_spec_replicas > kube_deployment_status_replicas_available) and "
        "(changes(kube_deployment_status_replicas_updated[10m]) == 0)",
        "kube_deployment_status_observed_generation != kube_deployment_metadata_generation",
        "sum by (namespace, pod) (max by (namespace, pod) "
        "(kube_pod_status_phase{phase=~\"Pending|Unknown\"}) "
        "* on (namespace, pod) group_left (owner_kind) topk by (namespace, pod) (1, max by "
        "(namespace, pod, "
        "owner_kind) (kube_pod_owner{owner_kind!=\"Job\"}))) > 0",
        "sum(namespace_cpu:kube_pod_container_resource_requests:sum{}) - "
        "(sum(kube_node_status_allocatable{resource=\"cpu\"}) - "
        "max(kube_node_status_allocatable{resource=\"cpu\"})) > 0",
        "kube_persistentvolume_status_phase{phase=~\"Failed|Pending\"} > 0",
        "kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes < 0.03 and "
        "kubelet_volume_stats_used_bytes > 0",
        "sum by (namespace, pod, container) "
        "(increase(container_cpu_cfs_throttled_periods_total[5m])) / "
        "sum by (namespace, pod, container) (increase(container_cpu_cfs_periods_total[5m])) > 0.25",
        "container_memory_working_set_bytes / container_spec_memory_limit_bytes * 100 > 80",
        "sum(rate(container_cpu_usage_seconds_total{name!=\"\"}[3m])) by (instance, name) * 100 > "
        "80",
        "time() - node_boot_time_seconds < 600",
        "probe_success == 0",
        "probe_ssl_earliest_cert_expiry - time() < 86400 * 30",
        "probe_http_status_code <= 199 or probe_http_status_code >= 400",
        "avg_over_time(probe_duration_seconds[1m]) > 1",
        "pg_up == 0",
        "pg_replication_lag > 30 and on (instance) pg_replication_is_replica == 1",
        "sum by (instance) (pg_stat_activity_count) > pg_settings_max_connections * 0.8",
        "max_over_time(mysql_global_status_threads_connected[1m]) / "
        "mysql_global_variables_max_connections * "
        "100 > 80",
        "redis_connected_clients / redis_config_maxclients * 100 > 90",
        "mongodb_mongod_replset_member_state{state=\"PRIMARY\"} - on (set) "
        "group_right mongodb_mongod_replset_member_state{state=\"SECONDARY\"} > 10",
        "rate(prometheus_rule_evaluation_failures_total[5m]) > 0",
        "increase(prometheus_rule_group_iterations_missed_total[5m]) > 0",
        "prometheus_config_last_reload_successful != 1",
        "max_over_time(prometheus_config_last_reload_successful{job=\"prometheus\"}[5m]) == 0",
        "min_over_time(prometheus_notifications_alertmanagers_discovered{job=\"prometheus\"}[5m]) "
        "< 1",
        "(rate(prometheus_notifications_errors_total[5m]) / "
        "rate(prometheus_notifications_sent_total[5m])) * "
        "100 > 1",
        "max without (alertmanager) "
        "(rate(prometheus_notifications_errors_total{alertmanager!~``}[5m]) / "
        "rate(prometheus_notifications_sent_total{alertmanager!~``}[5m])) * 100 > 3",
        "count by (namespace, service) (count_values by (namespace, service) (\"config_hash\", "
        "alertmanager_config_hash)) != 1",
        "count(etcd_server_id) % 2 == 0",
        "sum(up{job=~\".*etcd.*\"} == bool 1) by (job) < ((count(up{job=~\".*etcd.*\"}) by (job) + "
        "1) / 2)",
        "increase(etcd_server_leader_changes_seen_total[15m]) >= 4 or "
        "increase(absent(etcd_server_leader_changes_seen_total)[15m:1m]) >= 4",
        "rate(etcd_server_proposals_failed_total[15m]) > 5",
        "ALERTS{severity=\"info\"} == 1 unless on (namespace) ALERTS{alertname!=\"InfoInhibitor\", "
        "alertstate=\"firing\", severity=~\"warning|critical\"} == 1",
        "topk(5, sum by (app) (rate(requests_total[5m]))) > 100",
        "deriv(node_hwmon_temp_celsius[1h]) > 0.01",
        "rate(requests_total[5m]) < 0.5 * rate(requests_total[5m] offset 1w)",
        "sum(rate(requests_total[1h])) / sum(rate(requests_total[1h] offset 1d)) < 0.5",
        "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\") == 0",
        "sum by (host) (label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")) == 0",
        "(a > 5 and b > 3) or c > 1",
        "headgate:error_ratio:5m > 0.05",
        "headgate:p95_seconds:5m > 0.5",
        "histogram_quantile(0.95, sum by (le) "
        "(rate(headgate_request_duration_seconds_bucket{app=\"feedback\"}[5m]))) > 0.5",
        "headgate_replica_memory_bytes / headgate_replica_memory_limit_bytes > 0.9",
        "sum by (app) (headgate_replica_up) < 2",
        "day_of_week() == 0 or day_of_week() == 6",
        /* Looks like a share of itself, and is another time, another grouping, or may be negative.
         */
        "sum(rate(r_total[5m])) / sum(rate(r_total[5m] offset 7d)) > 3",
        "sum(rate(r_total[5m])) / sum(rate(r_total[5m] @ 1700000000)) > 3",
        "sum(rate(r_total[5m])) / on () group_right sum by (job) (rate(r_total[5m])) > 20",
        "sum by (a) (rate(r_total[5m])) / on (a) group_right sum by (a, b) (rate(r_total[5m])) > 9",
        "sum(account_balance{kind=\"debit\"}) / sum(account_balance) > 2",
        "tenant_used_bytes / tenant_limit_bytes > 1",
        "tenant_used_bytes / tenant_max_bytes > 1.2",
        /* A limit on failures a second, and on cores. */
        "sum(rate(http_requests_total{code=~\"5..\"}[5m])) > 0.1",
        "rate(http_requests_total{status=\"500\"}[5m]) > 0.5",
        "rate(container_cpu_usage_seconds_total[5m]) > 0.5",
        /* Texts that have what expressions have. */
        "up{nic=\"Intel PRO (1000)\"} == 0",
        "sum(rate(r_total{path=\"/api/(.*)\"}[5m])) > 5",
        "sum(rate(r_total{uri=\"/**\",handler=\"/static/.*\"}[5m])) > 5",
        "sum(rate(r_total{http_route=\"/a|/b\"}[5m])) > 5",
        /* The most of several counters is no sum. */
        "increase((max without (instance) (leader_changes_total) or 0 * "
        "absent(leader_changes_total))[15m:1m]) >= 4",
        /* A recorded series may be there only while something is wrong. */
        "job:slo_violated:bool",
};

struct mistake {
	const char *expr;
	bool percentage;
	const char *id, *says, *fix;
};

static const struct mistake bad[] = {
        /* The architect's three. */
        {"histogram_quantile(0.95, http_request_duration_seconds) > 0.3", false, "never",
                "http_request_duration_seconds_bucket",
                "histogram_quantile(0.95, sum by (le) "
                "(rate(http_request_duration_seconds_bucket[5m])))"},
        {"rate(http_requests_total{status=~\"5..\"}[5m]) > 0.001", true, "ratio", "not a ratio",
                "sum(rate(http_requests_total{status=~\"5..\"}[5m])) / "
                "sum(rate(http_requests_total[5m])) > 0.001"},
        {"rate(process_cpu_seconds_total[5m]) > 0.85", true, "ratio", "cores", ""},
        /* Native histograms. */
        {"sum(histogram_count(rate(x_seconds[5m]))) > 5", false, "never",
                "native histograms, which are not built; of a classic one it is x_seconds_count",
                ""},
        {"histogram_avg(rate(x_seconds[5m])) > 1", false, "never", "x_seconds_sum by its _count",
                ""},
        {"histogram_stddev(x_seconds) > 1", false, "never", "histogram_stddev() reads native", ""},
        {"x_seconds </ 5", false, "never", "\"</\" trims native histograms", ""},
        /* Buckets. */
        {"histogram_quantile(0.95, rate(x_seconds[5m])) > 1", false, "never", "x_seconds_bucket",
                "x_seconds_bucket"},
        {"histogram_quantile(0.95, sum by (job) (rate(x_bucket{a=\"b\"}[5m]))) > 1", false, "never",
                "aggregated away", "sum by (le) (rate(x_bucket{a=\"b\"}[5m]))"},
        {"histogram_quantile(0.95, sum(rate(x_bucket[5m]))) > 1", false, "never", "label le",
                "by (le)"},
        {"histogram_quantile(0.95, sum without (le) (rate(x_bucket[5m]))) > 1", false, "never",
                "label le", ""},
        {"histogram_quantile(0.95, sum by (le) (x_bucket)) > 1", false, "type", "without rate",
                "rate("},
        {"histogram_quantile(95, sum by (le) (rate(x_bucket[5m]))) > 1", false, "value",
                "between 0 and 1", "0.95"},
        {"histogram_quantile(0.9, rate(x_seconds_count[5m])) > 1", false, "never",
                "x_seconds_count", ""},
        /* Shares. */
        {"rate(http_requests_total{code=~\"5..\"}[5m]) > 0.05", false, "ratio", "not a ratio",
                "/ sum("},
        {"sum by (app) (rate(r_total{status_code=~\"5..\",x=\"y\"}[1m])) > 0.01", false, "ratio",
                "per second",
                "sum by (app) (rate(r_total{status_code=~\"5..\",x=\"y\"}[1m])) / sum by (app) "
                "(rate(r_total{x=\"y\"}[1m])) > 0.01"},
        {"0.05 < rate(http_requests_total{code=~\"5..\"}[5m])", false, "ratio", "not a ratio", ""},
        {"sum(rate(errors_total[5m])) > 0.01", true, "ratio", "percentage", ""},
        {"rate(container_cpu_usage_seconds_total[5m]) > 0.8", false, "ratio", "cores", ""},
        {"rate(headgate_replica_cpu_seconds_total[5m]) > 0.9", false, "ratio", "cores",
                "/ headgate_replica_cpu_limit > 0.9"},
        {"rate(r_total{code=\"500\"}[5m]) / rate(r_total[5m]) > 0.01", false, "ratio", "always 1",
                "sum(rate(r_total{code=\"500\"}[5m])) / sum(rate(r_total[5m]))"},
        {"sum(rate(r_total{code=~\"5..\"}[5m])) / sum(rate(r_total[5m])) > 5", false, "never",
                "between 0 and 1", "> 0.05"},
        {"sum(rate(r_total{code=~\"5..\"}[5m])) / (sum(rate(r_total[5m])) > 0) > 1", false, "never",
                "between 0 and 1", ""},
        {"headgate:error_ratio:5m > 5", false, "never", "between 0 and 1", "> 0.05"},
        {"node_filesystem_avail_bytes / node_filesystem_size_bytes < 10", false, "always",
                "compared with 10", "< 0.1"},
        {"node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 5", false, "always",
                "between 0 and 1", "< 0.05"},
        {"node_memory_MemFree_bytes / node_memory_MemTotal_bytes > 90", false, "never",
                "between 0 and 1", "> 0.9"},
        {"sum(rate(r_total{code=~\"5..\"}[5m])) / sum(rate(r_total[5m])) * 100 > 5", true, "ratio",
                "a percentage already", ""},
        /* Values that cannot be. */
        {"count(up{job=\"a\"} == 1) == 0", false, "never", "nothing to count",
                "or vector(0)) == 0"},
        {"count by (job) (up == 1) < 1", false, "never", "nothing to count", "or vector(0)) < 1"},
        {"up == 2", false, "never", "between 0 and 1", ""},
        {"up > 1", false, "never", "between 0 and 1", ""},
        {"rate(r_total[5m]) < 0", false, "never", "never below 0", ""},
        {"sum(increase(r_total[5m])) < 0", false, "never", "never below 0", ""},
        {"absent(up{job=\"a\"}) == 0", false, "never", "always 1", ""},
        {"hour() > 24", false, "never", "between 0 and 23", ""},
        {"day_of_week() == 7", false, "never", "between 0 and 6", ""},
        /* Alerts that always fire. */
        {"up", false, "always", "nothing in it compares", "up > 0"},
        {"rate(errors_total[5m])", false, "always", "nothing in it compares", ""},
        {"queue_depth > bool 100", false, "always", "bool", "queue_depth > 100"},
        {"queue_depth > 100 or vector(0)", false, "always", "right side of `or`", ""},
        /* Ranges. */
        {"rate(r_total[15s]) > 1", false, "never", "two samples", "rate(r_total[1m])"},
        {"increase(r_total[10s]) > 1", false, "never", "every 15s", "[1m]"},
        {"rate(r_total[20s]) > 1", false, "range", "often there is only one", ""},
        {"max_over_time(rate(r_total[1m])[1h:1m]) + rate(r_total[1m:1m]) > 1", false, "never",
                "every 1m", ""},
        /* Types. */
        {"rate(node_memory_MemAvailable_bytes[5m]) > 1", false, "type", "is a gauge", "deriv("},
        {"increase(process_open_fds[5m]) > 10", false, "type", "is a gauge", "delta("},
        {"delta(r_total[5m]) > 10", false, "type", "is a counter", "increase(r_total[5m])"},
        {"rate(sum(r_total)[5m:1m]) > 1", false, "type", "of a sum", ""},
        /* Selectors. */
        {"sum(rate(r_total{code=\"5..\"}[5m])) > 1", false, "never", "regular expression",
                "code=~\"5..\""},
        {"up{instance=\"web.*\"} == 0", false, "never", "just that text", "instance=~"},
        {"up{job=\"a|b\"} == 0", false, "never", "regular expression", ""},
        {"up{env!=\"dev.*\"} == 0", false, "always", "regular expression", "env!~"},
        /* Matching. */
        {"rate(x_bucket{le=\"0.3\"}[5m]) / rate(x_count[5m]) < 0.9", false, "match", "le",
                "ignoring (le)"},
        {"sum by (job) (a) / sum by (instance) (b) > 1", false, "match", "never match", ""},
        {"sum by (job, instance) (a_total) / sum by (job) (b_total) > 1", false, "match",
                "instance", "on (job) group_left () "},
        {"sum(a_total) / sum by (job) (b_total) > 1", false, "match", "job",
                "on () group_right () "},
        {"sum(a_total) / b_total > 1", false, "match", "no labels", "on () group_right"},
        {"a{job=\"x\"} / b{job=\"y\"} > 1", false, "match", "job is \"x\" on the left",
                "ignoring (job)"},
        {"a{job=\"x\"} > 1 and b{job=\"y\"} > 1", false, "match", "job is", ""},
        {"a{job=\"x\"} > 1 unless b{job=\"y\"} > 1", false, "match", "nothing is ever taken away",
                ""},
        {"sum by (job) (a) > on (instance) sum by (instance) (b)", false, "match", "on (instance)",
                ""},
        {"up == 0 and on (instance) sum by (job) (b) > 1", false, "match", "right side", ""},
        {"sum by (instance) (sum by (job) (up)) > 1", false, "label",
                "instance was aggregated away", ""},
};

/* With annotations that print the value by humanizePercentage. */
static const char *const good_shares[] = {
        "rate(node_disk_io_time_seconds_total[5m]) > 0.9",
        "avg by (instance) (irate(node_cpu_seconds_total{mode=\"steal\"}[5m])) > 0.1",
        "rate(jvm_gc_pause_seconds_sum[5m]) > 0.1",
        "rate(errors_total[5m]) / rate(requests_total[5m]) > 0.1",
        "avg_over_time(up[1d]) < 0.999",
        "1 - sum(rate(x_bucket{le=\"1\"}[5m])) / sum(rate(x_count[5m])) > 0.1",
};

static void what_is_right_is_passed_in_silence(void **state)
{
	(void)state;
	for (size_t i = 0; i < HG_COUNT(good_shares); i++) {
		struct heard h;
		lint(good_shares[i], true, &h);
		if (h.n) fail_msg("%s\n  %s: %s", good_shares[i], h.note[0].id, h.note[0].message);
	}
	for (size_t i = 0; i < HG_COUNT(good); i++) {
		struct heard h;
		lint(good[i], false, &h);
		if (h.n)
			fail_msg("%s\n  %s: %s (%s)", good[i], h.note[0].id, h.note[0].message,
			        h.note[0].fix);
	}
}

static void what_is_wrong_is_told_with_the_reason_and_what_was_meant(void **state)
{
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct heard h;
		bool told = false;
		lint(bad[i].expr, bad[i].percentage, &h);
		for (uint32_t k = 0; k < h.n; k++)
			told = told || (strcmp(h.note[k].id, bad[i].id) == 0 &&
			                       strstr(h.note[k].message, bad[i].says) &&
			                       strstr(h.note[k].fix, bad[i].fix));
		if (!told)
			fail_msg("%s: %u notes; %s: %s (%s)", bad[i].expr, h.n,
			        h.n ? h.note[0].id : "", h.n ? h.note[0].message : "",
			        h.n ? h.note[0].fix : "");
	}
}

/* A suggestion that is wrong itself helps nobody. */
static void what_is_suggested_is_well_formed_and_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct heard h, again;
		lint(bad[i].expr, bad[i].percentage, &h);
		for (uint32_t k = 0; k < h.n; k++) {
			struct promql_query *q = NULL;
			struct hg_err err = {0};
			const char *fix = h.note[k].fix;
			/* A matcher or a number is a part, to be put in its place. */
			bool part = strncmp(bad[i].fix, "code=~", 6) == 0 || !strchr(fix, '(') ||
			            strstr(fix, "=~\"5..\"") == strchr(fix, '=');
			if (!fix[0] || part) continue;
			if (promql_parse(hg_str(fix), &q, &err) < 0)
				fail_msg("%s → %s: %s", bad[i].expr, fix, err.message);
			promql_free(q);
			lint(fix, false, &again);
			for (uint32_t m = 0; m < again.n; m++)
				if (strcmp(again.note[m].id, "never") == 0 ||
				        strcmp(again.note[m].id, "match") == 0)
					fail_msg("%s → %s: %s", bad[i].expr, fix,
					        again.note[m].message);
		}
	}
}

static bool exists(void *arg, const struct label_matcher *m, uint32_t n)
{
	(void)arg;
	for (uint32_t i = 0; i < n; i++)
		if (hg_str_eq(m[i].value, HG_STR("gone_total"))) return false;
	return true;
}

static void what_the_store_has_not_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *expr;
		bool told;
	} row[] = {
	        {"rate(gone_total[5m]) > 1", true},
	        {"there_total > 1", false},
	        {"absent(gone_total)", false},
	        {"there_total > 1 unless gone_total > 1", false},
	        {"there_total > 1 and gone_total > 1", true},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct heard h = {.n = 0};
		struct promql_query *q = NULL;
		struct promql_lint_env env = {.note = on_note, .exists = exists, .arg = &h};
		assert_int_equal(promql_parse(hg_str(row[i].expr), &q, NULL), HG_OK);
		promql_lint(q, &env);
		promql_free(q);
		bool told = false;
		for (uint32_t k = 0; k < h.n; k++)
			told = told || strcmp(h.note[k].id, "empty") == 0;
		if (told != row[i].told) fail_msg("%s", row[i].expr);
	}
}

static void labels_of_a_result_are_known(void **state)
{
	(void)state;
	static const struct {
		const char *expr, *label;
		bool may;
	} row[] = {
	        {"up", "instance", true},
	        {"sum(up)", "instance", false},
	        {"sum by (job) (up)", "job", true},
	        {"sum by (job) (up)", "instance", false},
	        {"sum without (instance) (up)", "instance", false},
	        {"sum without (instance) (up)", "job", true},
	        {"absent(up{job=\"x\"})", "job", true},
	        {"absent(up{job=\"x\"})", "instance", false},
	        {"sum by (a) (x) / on (a) group_left (b) y", "b", true},
	        {"sum by (a) (x) or sum by (b) (y)", "b", true},
	        {"label_replace(sum(x), \"z\", \"a\", \"\", \"\")", "z", true},
	        {"count_values(\"v\", x)", "v", true},
	        {"histogram_quantile(0.9, rate(x_bucket[5m]))", "le", false},
	        {"topk(3, up)", "instance", true},
	        {"a / on (x) b", "y", false},
	        {"vector(1)", "x", false},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct promql_query *q = NULL;
		assert_int_equal(promql_parse(hg_str(row[i].expr), &q, NULL), HG_OK);
		if (promql_may_have_label(q, hg_str(row[i].label)) != row[i].may)
			fail_msg("%s: %s", row[i].expr, row[i].label);
		promql_free(q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_right_is_passed_in_silence),
	        cmocka_unit_test(what_is_wrong_is_told_with_the_reason_and_what_was_meant),
	        cmocka_unit_test(what_is_suggested_is_well_formed_and_right),
	        cmocka_unit_test(what_the_store_has_not_is_told),
	        cmocka_unit_test(labels_of_a_result_are_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
