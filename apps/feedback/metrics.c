#include "apps/feedback/metrics_priv.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"

/* 499: the client left before the answer, or it was refused one. The last, 0: everything else. */
static const uint16_t statuses[METRICS_STATUSES] = {200, 201, 202, 204, 206, 301, 302, 304, 400,
        401, 403, 404, 405, 408, 409, 410, 411, 413, 414, 415, 417, 431, 499, 500, 501, 503, 505,
        507, 0};

static const struct {
	const char *le;
	uint64_t ns;
} buckets[METRICS_BUCKETS] = {
        {"0.005", 5000000},
        {"0.01", 10000000},
        {"0.025", 25000000},
        {"0.05", 50000000},
        {"0.075", 75000000},
        {"0.1", 100000000},
        {"0.25", 250000000},
        {"0.5", 500000000},
        {"0.75", 750000000},
        {"1.0", 1000000000},
        {"2.5", 2500000000},
        {"5.0", 5000000000},
        {"7.5", 7500000000},
        {"10.0", 10000000000},
};

void metrics_request(struct metrics *m, enum endpoint e, enum http1_method method, unsigned status,
        uint64_t duration_ns)
{
	size_t s = 0, b = 0;
	while (s < METRICS_STATUSES - 1 && statuses[s] != status)
		s++;
	while (b < METRICS_BUCKETS && duration_ns > buckets[b].ns)
		b++;
	m->requests[e][method][s]++;
	m->duration[e][method].bucket[b]++;
	m->duration[e][method].sum_ns += duration_ns;
}

void metrics_example(struct metrics *m, enum endpoint e, enum http1_method method,
        uint64_t duration_ns, const char trace[static 32], uint64_t wall_ns)
{
	struct metrics_duration *d = &m->duration[e][method];
	size_t b = 0;
	while (b < METRICS_BUCKETS && duration_ns > buckets[b].ns)
		b++;
	if (!d->example) d->example = calloc(METRICS_BUCKETS + 1, sizeof *d->example);
	if (!d->example) return;
	d->example[b].value_ns = duration_ns;
	d->example[b].at_ns = wall_ns;
	memcpy(d->example[b].trace, trace, sizeof d->example[b].trace);
}

void metrics_free(struct metrics *m)
{
	for (size_t e = 0; e < ENDPOINTS; e++)
		for (size_t i = 0; i < HTTP1_METHODS; i++) {
			free(m->duration[e][i].example);
			m->duration[e][i].example = NULL;
		}
}

static const char *method_label(enum http1_method method)
{
	return method == HTTP1_OTHER ? "OTHER" : http1_method_name(method);
}

static void requests_text(const struct metrics *m, struct hg_buf *to)
{
	hg_buf_cstr(to, "# HELP http_requests_total HTTP requests answered\n"
	                "# TYPE http_requests_total counter\n");
	for (size_t e = 0; e < ENDPOINTS; e++)
		for (size_t i = 0; i < HTTP1_METHODS; i++)
			for (size_t s = 0; s < METRICS_STATUSES; s++)
				if (m->requests[e][i][s])
					hg_buf_fmt(to,
					        "http_requests_total{method=\"%s\",endpoint=\"%s\","
					        "status=\"%u\"} %" PRIu64 "\n",
					        method_label(i), route_label(e), statuses[s],
					        m->requests[e][i][s]);
}

static void example_text(const struct metrics_exemplar *x, struct hg_buf *to)
{
	if (x->at_ns)
		hg_buf_fmt(to, " # {trace_id=\"%.32s\"} %.9f %.3f", x->trace,
		        (double)x->value_ns / 1e9, (double)x->at_ns / 1e9);
}

static void duration_text(const struct metrics_duration *d, const char *method,
        const char *endpoint, bool examples, struct hg_buf *to)
{
	static const char *const name = "http_request_duration_seconds";
	uint64_t n = 0;
	for (size_t b = 0; b <= METRICS_BUCKETS; b++)
		n += d->bucket[b];
	if (n == 0) return;
	n = 0;
	for (size_t b = 0; b <= METRICS_BUCKETS; b++) {
		n += d->bucket[b];
		hg_buf_fmt(to, "%s_bucket{method=\"%s\",endpoint=\"%s\",le=\"%s\"} %" PRIu64, name,
		        method, endpoint, b < METRICS_BUCKETS ? buckets[b].le : "+Inf", n);
		if (examples && d->example) example_text(&d->example[b], to);
		hg_buf_byte(to, '\n');
	}
	hg_buf_fmt(to, "%s_sum{method=\"%s\",endpoint=\"%s\"} %.9f\n", name, method, endpoint,
	        (double)d->sum_ns / 1e9);
	hg_buf_fmt(to, "%s_count{method=\"%s\",endpoint=\"%s\"} %" PRIu64 "\n", name, method,
	        endpoint, n);
}

static void own_text(const struct metrics *m, const struct metrics_gauges *g, struct hg_buf *to)
{
	static const char *const operations[OPERATIONS] = {
	        "create", "read", "update", "delete", "vote", "status"};
	static const char *const errors[ERROR_TYPES] = {
	        "database", "overload", "internal", "fault"};
	hg_buf_cstr(to, "# HELP feedback_operations_total Operations on feedback that succeeded\n"
	                "# TYPE feedback_operations_total counter\n");
	for (size_t i = 0; i < OPERATIONS; i++)
		hg_buf_fmt(to, "feedback_operations_total{operation=\"%s\"} %" PRIu64 "\n",
		        operations[i], m->operations[i]);
	hg_buf_cstr(to, "# HELP errors_total Answers with a 5xx status, by reason\n"
	                "# TYPE errors_total counter\n");
	for (size_t i = 0; i < ERROR_TYPES; i++)
		hg_buf_fmt(to, "errors_total{error_type=\"%s\"} %" PRIu64 "\n", errors[i],
		        m->errors[i]);
	if (g->feedback_count >= 0)
		hg_buf_fmt(to,
		        "# HELP feedback_count Feedback entries in the database\n"
		        "# TYPE feedback_count gauge\nfeedback_count %" PRId64 "\n",
		        g->feedback_count);
	hg_buf_fmt(to,
	        "# HELP log_lines_dropped_total Log lines nobody read in time\n"
	        "# TYPE log_lines_dropped_total counter\nlog_lines_dropped_total %" PRIu64 "\n",
	        g->log_lines_dropped);
}

void metrics_text(
        const struct metrics *m, const struct metrics_gauges *g, bool examples, struct hg_buf *to)
{
	requests_text(m, to);
	hg_buf_cstr(to, "# HELP http_request_duration_seconds Time from the first byte of a request"
	                " to the last of its answer\n"
	                "# TYPE http_request_duration_seconds histogram\n");
	for (size_t e = 0; e < ENDPOINTS; e++)
		for (size_t i = 0; i < HTTP1_METHODS; i++)
			duration_text(
			        &m->duration[e][i], method_label(i), route_label(e), examples, to);
	own_text(m, g, to);
}

/* "# TYPE name_total counter": the family's name is without the end; a counter that lacks it is no
 * counter there. */
static void meta_line(struct hg_str line, struct hg_buf *to)
{
	struct hg_str rest = line, total = HG_STR("_total");
	(void)hg_str_cut(&rest, ' ');
	struct hg_str word = hg_str_cut(&rest, ' '), name = hg_str_cut(&rest, ' ');
	bool counter = hg_str_eq(word, HG_STR("TYPE")) && hg_str_eq(rest, HG_STR("counter"));
	bool ends = hg_str_ends(name, total);
	if (ends) name.n -= total.n;
	if (counter && !ends) rest = HG_STR("unknown");
	hg_buf_fmt(to, "# %.*s %.*s %.*s\n", HG_STR_ARG(word), HG_STR_ARG(name), HG_STR_ARG(rest));
}

void metrics_openmetrics(struct hg_buf *text)
{
	struct hg_buf to;
	struct hg_str rest = hg_buf_view(text);
	hg_buf_init(&to, text->max);
	while (rest.n) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		if (hg_str_starts(line, HG_STR("# ")))
			meta_line(line, &to);
		else
			hg_buf_fmt(&to, "%.*s\n", HG_STR_ARG(line));
	}
	hg_buf_cstr(&to, "# EOF\n");
	to.failed |= text->failed;
	hg_buf_free(text);
	*text = to;
}

static bool read_text(const char *path, char *to, size_t cap)
{
	FILE *f = fopen(path, "re");
	size_t n;
	if (!f) return false;
	n = fread(to, 1, cap - 1, f);
	fclose(f);
	to[n] = 0;
	return n > 0;
}

/* Fields 22 to 24 of /proc/self/stat (proc(5)), counted behind the name in parentheses. */
static void stat_text(struct hg_buf *to)
{
	char stat[1024];
	struct timespec up;
	unsigned long long started, vsize;
	long long rss;
	const char *p = read_text("/proc/self/stat", stat, sizeof stat) ? strrchr(stat, ')') : NULL;
	char *end;
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p) return;
	started = strtoull(p, &end, 10);
	vsize = strtoull(end, &end, 10);
	rss = strtoll(end, NULL, 10);
	hg_buf_fmt(to,
	        "# HELP process_virtual_memory_bytes Virtual memory size\n"
	        "# TYPE process_virtual_memory_bytes gauge\nprocess_virtual_memory_bytes %llu\n"
	        "# HELP process_resident_memory_bytes Resident memory size\n"
	        "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %lld\n",
	        vsize, rss * sysconf(_SC_PAGESIZE));
	/* Started so long after boot; boot was so long ago. */
	if (clock_gettime(CLOCK_BOOTTIME, &up) < 0) return;
	hg_buf_fmt(to,
	        "# HELP process_start_time_seconds Start of the process, Unix time\n"
	        "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.2f\n",
	        (double)clock_wall_ms() / 1e3 - (double)up.tv_sec - (double)up.tv_nsec / 1e9 +
	                (double)started / (double)sysconf(_SC_CLK_TCK));
}

void metrics_process_text(struct hg_buf *to)
{
	struct rusage use;
	struct rlimit files;
	DIR *fds = opendir("/proc/self/fd");
	stat_text(to);
	if (getrusage(RUSAGE_SELF, &use) == 0)
		hg_buf_fmt(to,
		        "# HELP process_cpu_seconds_total User and system CPU time\n"
		        "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total "
		        "%.6f\n",
		        (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
		                (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
	if (fds) {
		int n = -3; /* ".", ".." and the folder itself */
		while (readdir(fds))
			n++;
		closedir(fds);
		hg_buf_fmt(to,
		        "# HELP process_open_fds Open file descriptors\n"
		        "# TYPE process_open_fds gauge\nprocess_open_fds %d\n",
		        n);
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		hg_buf_fmt(to,
		        "# HELP process_max_fds Most open file descriptors allowed\n"
		        "# TYPE process_max_fds gauge\nprocess_max_fds %llu\n",
		        (unsigned long long)files.rlim_cur);
}
