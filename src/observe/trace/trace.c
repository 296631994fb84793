#include "observe/trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fetch/spans.h"
#include "os/clock.h"
#include "os/sock.h"

#define MESSAGE_MAX 32768u
#define MESSAGES    64 /* in one turn of the loop */
#define DELAY_MS    1000u

struct traces {
	struct loop *loop;
	struct hg_log *log;
	struct loop_io lane;
	struct spans *spans; /* NULL: they are sent nowhere */
	char url[TRACES_URL_MAX];
	struct spans_stats before; /* of receivers that were left */
	uint64_t received, bad;
	char message[MESSAGE_MAX];
};

static void on_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	struct traces *t = arg;
	(void)what;
	hg_log(t->log, level, level == HG_WARN ? "traces.export_failing" : "traces.export_works",
	        HG_S("to", t->url), HG_S("reason", why));
}

static void take(struct traces *t, struct hg_str bytes)
{
	for (size_t size; (size = span_size(bytes)) > 0;) {
		t->received++;
		if (t->spans) spans_put(t->spans, (struct hg_str){bytes.p, size});
		bytes = (struct hg_str){bytes.p + size, bytes.n - size};
	}
	t->bad += bytes.n > 0;
}

static void on_lane(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct traces *t = HG_CONTAINER(io, struct traces, lane);
	int fds[SOCK_FDS_MAX];
	(void)events;
	for (int i = 0; i < MESSAGES; i++) {
		size_t fd_count = 0;
		ssize_t n = sock_recv(io->fd, t->message, sizeof t->message, fds, &fd_count);
		for (size_t k = 0; k < fd_count; k++)
			close(fds[k]);
		if (n == -EAGAIN || n == -EINTR) return;
		if (n <= 0) {
			loop_io_stop(l, io);
			return;
		}
		take(t, (struct hg_str){t->message, (size_t)n});
	}
}

enum hg_rc traces_new(struct loop *l, int lane_fd, struct hg_log *log, struct traces **ret_traces)
{
	struct traces *t = calloc(1, sizeof *t);
	if (!t) return HG_E_NOMEM;
	t->loop = l;
	t->log = log;
	t->lane.fd = -1;
	enum hg_rc rc =
	        lane_fd >= 0 ? loop_io_start(l, &t->lane, lane_fd, EPOLLIN, on_lane) : HG_OK;
	if (rc < 0)
		free(t);
	else
		*ret_traces = t;
	return rc;
}

void traces_free(struct traces *t)
{
	if (!t) return;
	loop_io_stop(t->loop, &t->lane);
	spans_free(t->spans);
	free(t);
}

static void leave(struct traces *t)
{
	struct spans_stats s;
	if (!t->spans) return;
	spans_stats(t->spans, &s);
	t->before.exported += s.exported;
	t->before.rejected += s.rejected;
	t->before.failures += s.failures;
	t->before.dropped += s.dropped + s.queued;
	spans_free(t->spans);
	t->spans = NULL;
}

enum hg_rc traces_export(struct traces *t, struct hg_str url, struct hg_err *err)
{
	char whole[TRACES_URL_MAX + 16], host[64] = "";
	struct spans *spans = NULL;
	while (hg_str_ends(url, HG_STR("/")))
		url.n--;
	if (url.n >= sizeof t->url)
		return hg_err_set(err, HG_E_INVALID, "the receiver's address is too long");
	if (hg_str_eq(url, hg_str(t->url))) return HG_OK;
	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(whole, sizeof whole, "%.*s/v1/traces", HG_STR_ARG(url));
	const struct otlp_pair resource[] = {{"service.name", HG_STR("headgate-edge")},
	        {"service.version", HG_STR(HG_VERSION)}, {"host.name", hg_str(host)}};
	struct spans_options o = {.url = whole,
	        .resource = resource,
	        .resource_n = HG_COUNT(resource),
	        .scope = "headgate.edge",
	        .delay_ms = DELAY_MS,
	        .note = on_note,
	        .arg = t};
	enum hg_rc rc = url.n ? spans_new(t->loop, &o, &spans, err) : HG_OK;
	if (rc < 0) return rc;
	leave(t);
	t->spans = spans;
	memcpy(t->url, url.p, url.n);
	t->url[url.n] = 0;
	return HG_OK;
}

void traces_flush(struct traces *t, uint32_t within_ms)
{
	uint64_t until_ms = clock_mono_ms() + within_ms;
	if (!t || !t->spans) return;
	if (t->lane.fd >= 0) on_lane(t->loop, &t->lane, EPOLLIN);
	while (!spans_flush(t->spans) && clock_mono_ms() < until_ms)
		if (loop_turn(t->loop, 10) < 0) return;
}

static void metric(
        struct hg_buf *to, const char *name, const char *type, const char *help, uint64_t v)
{
	hg_buf_fmt(to,
	        "# HELP headgate_traces_%s %s\n# TYPE headgate_traces_%s %s\nheadgate_traces_%s "
	        "%llu\n",
	        name, help, name, type, name, (unsigned long long)v);
}

void traces_metrics(const struct traces *t, struct hg_buf *to)
{
	struct spans_stats s = {0};
	if (t->spans) spans_stats(t->spans, &s);
	metric(to, "spans_received_total", "counter", "Spans that came from the edge.",
	        t->received);
	metric(to, "messages_bad_total", "counter", "Messages of the lane that were no spans.",
	        t->bad);
	metric(to, "spans_exported_total", "counter", "Spans that the receiver took.",
	        s.exported + t->before.exported);
	metric(to, "spans_dropped_total", "counter", "Spans lost: no room, or not taken.",
	        s.dropped + t->before.dropped);
	metric(to, "spans_rejected_total", "counter", "Spans that the receiver did not want.",
	        s.rejected + t->before.rejected);
	metric(to, "export_failures_total", "counter", "Batches not taken, each try.",
	        s.failures + t->before.failures);
	metric(to, "spans_queued", "gauge", "Spans that wait to be sent.", s.queued);
	metric(to, "export_up", "gauge", "0 while the receiver takes nothing.",
	        t->spans && !s.failing);
}
