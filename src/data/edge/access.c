#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "auth/identity.h"
#include "data/edge/edge_priv.h"
#include "os/clock.h"

#define LOG_SIZE     65536u
#define LOG_LINE_MAX 4096u
#define LOG_FLUSH_MS 150

/* Civil date of a day number (Howard Hinnant's days algorithm, restated). */
static void civil(uint64_t days, unsigned *ret_y, unsigned *ret_m, unsigned *ret_d)
{
	uint64_t z = days + 719468, era = z / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	*ret_d = doy - (153 * mp + 2) / 5 + 1;
	*ret_m = mp < 10 ? mp + 3 : mp - 9;
	*ret_y = yoe + (unsigned)era * 400 + (*ret_m <= 2);
}

static char *two(char *p, unsigned v)
{
	*p++ = (char)('0' + v / 10 % 10);
	*p++ = (char)('0' + v % 10);
	return p;
}

static char *clock_text(char *p, uint64_t s)
{
	p = two(p, (unsigned)(s / 3600 % 24));
	*p++ = ':';
	p = two(p, (unsigned)(s / 60 % 60));
	*p++ = ':';
	return two(p, (unsigned)(s % 60));
}

size_t edge_http_date(uint64_t s, char *to)
{
	static const char day[] = "ThuFriSatSunMonTueWed";
	static const char month[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	unsigned y, m, d;
	char *p = to;
	civil(s / 86400, &y, &m, &d);
	memcpy(p, day + 3 * (s / 86400 % 7), 3);
	memcpy(p + 3, ", ", 2);
	p = two(p + 5, d);
	*p++ = ' ';
	memcpy(p, month + 3 * (m - 1), 3);
	p[3] = ' ';
	p = two(two(p + 4, y / 100), y % 100);
	*p++ = ' ';
	p = clock_text(p, s);
	memcpy(p, " GMT", 5);
	return (size_t)(p + 4 - to);
}

/* "2026-11-23T19:00:00" of the current second is kept. */
static void stamp(struct edge_log *log, uint64_t wall_ms, struct hg_out *o)
{
	unsigned y, m, d, ms = (unsigned)(wall_ms % 1000);
	char end[5];
	if (wall_ms / 1000 != log->second) {
		log->second = wall_ms / 1000;
		civil(log->second / 86400, &y, &m, &d);
		char *p = two(two(log->stamp, y / 100), y % 100);
		*p++ = '-';
		p = two(p, m);
		*p++ = '-';
		p = two(p, d);
		*p++ = 'T';
		p = clock_text(p, log->second);
		*p = 0;
	}
	hg_out_str(o, (struct hg_str){log->stamp, 19});
	end[0] = '.';
	end[1] = (char)('0' + ms / 100);
	two(end + 2, ms % 100);
	end[4] = 'Z';
	hg_out_str(o, (struct hg_str){end, 5});
}

/* Are these eight bytes printable ASCII without '"' and '\\'? */
static bool plain8(const char *p)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
	uint64_t x, quote, slash, del;
	memcpy(&x, p, sizeof x);
	quote = x ^ (ones * '"');
	slash = x ^ (ones * '\\');
	del = x ^ (ones * 0x7f);
	/* A borrow shows a byte too many only behind one that is found anyway. */
	uint64_t odd = (x - ones * 0x20) | (quote - ones) | (slash - ones) | (del - ones);
	return !((x | odd) & high);
}

/* How many bytes at its start are. */
static size_t plain_bytes(struct hg_str s)
{
	size_t i = 0;
	while (i + 8 <= s.n && plain8(s.p + i))
		i += 8;
	/* The last eight again, some of them for the second time. */
	return s.n >= 8 && i + 8 > s.n && plain8(s.p + s.n - 8) ? s.n : i;
}

/* The strict parser lets only printable ASCII through; the rest is escaped all the same. */
static void json_str(struct hg_out *o, struct hg_str s)
{
	size_t run = 0;
	for (size_t i = plain_bytes(s); i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];
		if (ch >= 0x20 && ch < 0x7f && ch != '"' && ch != '\\') continue;
		hg_out_str(o, (struct hg_str){s.p + run, i - run});
		hg_out_fmt(o, "\\u%04x", ch);
		run = i + 1;
	}
	hg_out_str(o, (struct hg_str){s.p + run, s.n - run});
}

static void key_str(struct hg_out *o, struct hg_str key, struct hg_str value)
{
	hg_out_str(o, key);
	json_str(o, value);
}

static void key_u64(struct hg_out *o, struct hg_str key, uint64_t v)
{
	hg_out_str(o, key);
	hg_out_u64(o, v);
}

static void where(struct edge_conn *c, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	if (r->route) {
		const struct snap_image *im = r->image->snap;
		key_str(o, HG_STR("\",\"app\":\""),
		        snap_str(im, r->limits ? r->limits->name : (struct snap_text){0, 0}));
		key_str(o, HG_STR("\",\"route\":\""), snap_str(im, r->route->name));
	}
	hg_out_str(o, HG_STR("\""));
	if (r->upstream_n) {
		key_u64(o, HG_STR(",\"release\":"), r->release);
		key_u64(o, HG_STR(",\"replica\":"), r->replica);
		key_str(o, HG_STR(",\"upstream\":\""), (struct hg_str){r->upstream, r->upstream_n});
		hg_out_str(o, HG_STR("\""));
	}
}

static void trial(const struct edge_draw *d, struct hg_out *o)
{
	key_str(o, HG_STR(",\"arm\":\""), d->arm == EDGE_NEW ? HG_STR("new") : HG_STR("old"));
	key_u64(o, HG_STR("\",\"rollout\":"), d->trial->is.rollout);
	if (d->failed && d->side != d->arm) hg_out_str(o, HG_STR(",\"rescued\":true"));
}

static void line_write(struct edge_conn *c, uint64_t now_ns, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	uint64_t us = (now_ns - r->start_ns) / 1000;
	char frac[4] = {'.'};
	hg_out_str(o, HG_STR("{\"ts\":\""));
	stamp(&c->edge->log, clock_wall_ms(), o);
	hg_out_str(o, HG_STR("\",\"level\":\"info\",\"event\":\"access"));
	where(c, o);
	key_str(o, HG_STR(",\"method\":\""), (struct hg_str){r->method_text, r->method_n});
	key_str(o, HG_STR("\",\"path\":\""), (struct hg_str){r->path, r->path_n});
	key_u64(o, HG_STR("\",\"status\":"), r->aborted && !r->status ? 499 : r->status);
	key_u64(o, HG_STR(",\"duration_ms\":"), us / 1000);
	frac[1] = (char)('0' + us / 100 % 10);
	two(frac + 2, (unsigned)(us % 100));
	hg_out_str(o, (struct hg_str){frac, 4});
	key_u64(o, HG_STR(",\"bytes_in\":"), r->body.total);
	key_u64(o, HG_STR(",\"bytes_out\":"), r->bytes_out);
	key_str(o, HG_STR(",\"client\":\""), (struct hg_str){c->client, c->client_n});
	/* Made here, or looked at (trace.c, head.c): nothing to escape. */
	if (r->traced) {
		hg_out_str(o, HG_STR("\",\"trace_id\":\""));
		hg_out_str(o, (struct hg_str){r->trace, sizeof r->trace});
	}
	if (r->rid_n) {
		hg_out_str(o, HG_STR("\",\"request_id\":\""));
		hg_out_str(o, (struct hg_str){r->rid, r->rid_n});
	}
	key_u64(o, HG_STR("\",\"retries\":"), r->retries);
	if (c->stream) hg_out_str(o, HG_STR(",\"protocol\":\"HTTP/2\""));
	if (r->grpc) key_u64(o, HG_STR(",\"grpc_status\":"), r->grpc - 1u);
	if (r->local && r->why) {
		key_str(o, HG_STR(",\"reason\":\""), hg_str(r->why));
		hg_out_str(o, HG_STR("\""));
	}
	if (HG_UNLIKELY(r->who)) {
		key_str(o, HG_STR(",\"user\":\""), r->who->name);
		hg_out_str(o, HG_STR("\""));
	}
	if (r->refused_by) {
		key_str(o, HG_STR(",\"limit\":\""), snap_str(r->image->snap, r->refused_by->name));
		hg_out_str(o, HG_STR("\""));
	}
	if (r->draw) trial(r->draw, o);
	if (r->aborted) hg_out_str(o, HG_STR(",\"aborted\":true"));
	hg_out_str(o, HG_STR("}\n"));
}

static void on_flush(struct loop *l, struct loop_timer *t)
{
	(void)l;
	edge_log_flush(HG_CONTAINER(t, struct edge, log.timer));
}

void edge_log_request(struct edge_conn *c, uint64_t now_ns)
{
	struct edge *e = c->edge;
	struct edge_log *log = &e->log;
	if (log->fd < 0 || !log->buf) return;
	uint32_t ppm = e->image ? e->image->snap->access_sample_ppm : 1000000;
	if (ppm < 1000000 && hg_rand_below(&e->rand, 1000000) >= ppm) return;
	if (LOG_SIZE - log->n < LOG_LINE_MAX) edge_log_flush(e);
	if (LOG_SIZE - log->n < LOG_LINE_MAX) {
		meter_add(&e->count->access_dropped, 1);
		return;
	}
	struct hg_out o = hg_out_over(log->buf + log->n, LOG_LINE_MAX);
	line_write(c, now_ns, &o);
	if (hg_out_failed(&o)) {
		meter_add(&e->count->access_dropped, 1);
		return;
	}
	log->n += (uint32_t)o.n;
	meter_add(&e->count->access_lines, 1);
	if (!loop_timer_active(&log->timer) &&
	        loop_timer_start(e->loop, &log->timer, LOG_FLUSH_MS, on_flush) < 0)
		edge_log_flush(e);
}

/* As many whole lines as a pipe takes in one piece, so that lines of several writers never mix
 * (POSIX: writes up to PIPE_BUF are atomic). */
static uint32_t whole_lines(const char *p, uint32_t n)
{
	if (n <= PIPE_BUF) return n;
	const char *last = memrchr(p, '\n', PIPE_BUF);
	return last ? (uint32_t)(last + 1 - p) : n;
}

static uint64_t lines_in(const char *p, uint32_t n)
{
	uint64_t lines = 0;
	for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		lines++;
	return lines;
}

void edge_log_flush(struct edge *e)
{
	struct edge_log *log = &e->log;
	uint32_t at = 0;
	loop_timer_stop(e->loop, &log->timer);
	while (at < log->n) {
		uint32_t want = whole_lines(log->buf + at, log->n - at);
		ssize_t n = write(log->fd, log->buf + at, want);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			/* Nobody will ever read it. */
			meter_add(&e->count->access_dropped, lines_in(log->buf + at, log->n - at));
			at = log->n;
		}
		if (n < 0) break;
		at += (uint32_t)n;
	}
	if (at < log->n) memmove(log->buf, log->buf + at, log->n - at);
	log->n -= at;
	/* A full pipe is tried again later, and when the buffer is full. */
	if (log->n && loop_timer_start(e->loop, &log->timer, LOG_FLUSH_MS, on_flush) < 0) return;
}
