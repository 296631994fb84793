#include "observe/logs/http_priv.h"

#include <stdlib.h>

#define STREAMS_MAX   64u
#define BLOCKS_A_TURN 4u
#define LINES_A_TURN  2000u
#define LINE_CAP      (LOGS_LINE_MAX * 6 + 1024) /* every byte may become six */

enum stream_state {
	STREAM_HISTORY, /* counting back from the end before following */
	STREAM_SEND,
	STREAM_PARKED, /* follows, and there is nothing new */
};

struct stream {
	struct hg_list node;
	struct logs_http *h;
	struct serve_call *call;
	struct logs_search *search;
	struct logs_ask ask;
	struct logs_volume *volume; /* what is counted; NULL: lines are sent */
	enum stream_state state;
	uint64_t left; /* lines */
	bool blocked;  /* the client reads more slowly than we write */
	bool first;
	/* The oldest line of the history. */
	uint64_t back_ns, back_seq;
	char back_app[LOGS_APP_MAX];
	bool back_any;
};

struct logs_http {
	struct loop *loop;
	struct logs *l;
	uint64_t (*wall_ns)(void);
	struct hg_list streams;
	uint32_t stream_count;
	struct loop_timer work;
	struct hg_buf line;
	uint64_t requests, refused;
};

static void work(struct loop *loop, struct loop_timer *t);

static void work_soon(struct logs_http *h)
{
	if (!loop_timer_active(&h->work) && loop_timer_start(h->loop, &h->work, 0, work) < 0)
		h->refused++; /* no memory for a timer: the next wake tries again */
}

enum hg_rc logs_http_new(
        struct loop *loop, struct logs *l, uint64_t (*wall_ns)(void), struct logs_http **ret_http)
{
	struct logs_http *h = calloc(1, sizeof *h);
	if (!h) return HG_E_NOMEM;
	*h = (struct logs_http){.loop = loop, .l = l, .wall_ns = wall_ns};
	hg_list_init(&h->streams);
	hg_buf_init(&h->line, LINE_CAP);
	*ret_http = h;
	return HG_OK;
}

static void stream_free(struct stream *s)
{
	hg_list_remove(&s->node);
	s->h->stream_count--;
	logs_search_free(s->search);
	free(s->volume);
	free(s);
}

void logs_http_free(struct logs_http *h)
{
	if (!h) return;
	HG_LIST_EACH_SAFE (at, after, &h->streams) {
		stream_free(HG_CONTAINER(at, struct stream, node));
	}
	loop_timer_stop(h->loop, &h->work);
	hg_buf_free(&h->line);
	free(h);
}

static void stream_gone(void *arg)
{
	stream_free(arg);
}

static void stream_writable(void *arg)
{
	struct stream *s = arg;
	s->blocked = false;
	work_soon(s->h);
}

static void stream_end(struct stream *s)
{
	struct serve_call *call = s->call;
	if (s->ask.array) (void)serve_write(call, s->first ? HG_STR("[]\n") : HG_STR("\n]\n"));
	stream_free(s);
	serve_end(call);
}

static void line_send(struct stream *s, const struct logs_entry *e)
{
	struct hg_buf *b = &s->h->line;
	hg_buf_reset(b);
	if (s->ask.array) hg_buf_cstr(b, s->first ? "[\n" : ",\n");
	logs_entry_json(e, b);
	if (!s->ask.array) hg_buf_byte(b, '\n');
	s->first = false;
	if (b->failed) return; /* no memory: this line is left out, as the stream goes on */
	if (!serve_write(s->call, hg_buf_view(b))) s->blocked = true;
}

/* The history was counted: from its oldest line on, in the order of arrival, and then for ever. */
static bool history_over(struct stream *s)
{
	struct logs_query q = s->ask.q;
	logs_search_free(s->search);
	s->search = NULL;
	q.app = hg_str(s->ask.app);
	q.grep.p = s->ask.grep;
	q.newest_first = false;
	if (s->back_any) {
		q.has_cursor = true;
		q.cursor_ns = s->back_ns;
		q.cursor_seq = s->back_seq - 1;
		q.cursor_app = hg_str(s->back_app);
	}
	s->state = STREAM_SEND;
	s->left = UINT64_MAX;
	return logs_search_new(s->h->l, &q, &s->search) == HG_OK;
}

/* Counts back; true when the history is complete. */
static bool history_step(struct stream *s, unsigned *blocks)
{
	struct logs_entry e;
	while (s->left > 0) {
		enum logs_found f = logs_search_next(s->search, blocks, &e);
		if (f == LOGS_WORKING) return false;
		if (f == LOGS_NO_MORE) break;
		s->back_any = true;
		s->back_ns = e.ts_ns;
		s->back_seq = e.seq;
		hg_str_copy(hg_str(e.app), s->back_app, sizeof s->back_app);
		s->left--;
	}
	return true;
}

/* True when there is more to count. `s` is gone afterwards otherwise. */
static bool volume_step(struct stream *s)
{
	unsigned blocks = BLOCKS_A_TURN;
	struct hg_buf *b = &s->h->line;
	if (logs_search_count(s->search, &blocks, s->volume) == LOGS_WORKING) return true;
	hg_buf_reset(b);
	logs_volume_json(s->volume, b);
	hg_buf_byte(b, '\n');
	if (!b->failed) (void)serve_write(s->call, hg_buf_view(b));
	stream_end(s);
	return false;
}

/* True when there is more to do at once. `s` may be gone afterwards. */
static bool stream_step(struct stream *s)
{
	struct logs_entry e;
	unsigned blocks = BLOCKS_A_TURN;
	if (s->volume) return volume_step(s);
	if (s->state == STREAM_HISTORY) {
		if (!history_step(s, &blocks)) return true;
		if (!history_over(s)) {
			stream_end(s);
			return false;
		}
	}
	for (unsigned lines = 0; lines < LINES_A_TURN && s->left && !s->blocked; lines++) {
		enum logs_found f = logs_search_next(s->search, &blocks, &e);
		if (f == LOGS_WORKING) return true;
		if (f == LOGS_NO_MORE) {
			if (!s->ask.follow) s->left = 0;
			s->state = STREAM_PARKED;
			break;
		}
		line_send(s, &e);
		s->left--;
	}
	if (s->left == 0) {
		stream_end(s);
		return false;
	}
	return !s->blocked && s->state != STREAM_PARKED;
}

static void work(struct loop *loop, struct loop_timer *t)
{
	struct logs_http *h = HG_CONTAINER(t, struct logs_http, work);
	bool more = false;
	(void)loop;
	HG_LIST_EACH_SAFE (at, after, &h->streams) {
		struct stream *s = HG_CONTAINER(at, struct stream, node);
		if (!s->blocked && s->state != STREAM_PARKED && stream_step(s)) more = true;
	}
	if (more) work_soon(h);
}

void logs_http_wake(struct logs_http *h)
{
	bool any = false;
	HG_LIST_EACH (at, &h->streams) {
		struct stream *s = HG_CONTAINER(at, struct stream, node);
		if (s->state != STREAM_PARKED) continue;
		s->state = STREAM_SEND;
		any = true;
	}
	if (any) work_soon(h);
}

static bool wants_array(const struct serve_request *req)
{
	const struct http1_field *accept = http1_find(req->head, HTTP1_F_ACCEPT);
	return accept && hg_str_eq(accept->value, HG_STR("application/json"));
}

/* NULL: refused, and answered. */
static struct stream *stream_new(struct logs_http *h, struct serve_call *call)
{
	struct stream *s = h->stream_count < STREAMS_MAX ? calloc(1, sizeof *s) : NULL;
	if (!s) {
		h->refused++;
		serve_problem(call, 503, HG_E_AGAIN, "too many searches are under way");
		return NULL;
	}
	s->h = h;
	s->call = call;
	s->first = true;
	return s;
}

/* Not begun: `s` is gone. */
static void stream_refuse(struct stream *s, unsigned status, enum hg_rc rc, const char *why)
{
	serve_problem(s->call, status, rc, why);
	free(s->volume);
	free(s);
}

static void stream_begin(struct stream *s, const char *type)
{
	struct logs_http *h = s->h;
	if (logs_search_new(h->l, &s->ask.q, &s->search) < 0) {
		h->refused++;
		stream_refuse(
		        s, 503, HG_E_NOMEM, "other searches use all memory that searches may have");
		return;
	}
	hg_list_append(&h->streams, &s->node);
	h->stream_count++;
	serve_field(s->call, "Cache-Control", HG_STR("no-store"));
	serve_stream(s->call, 200, type, stream_writable, stream_gone, s);
	work_soon(h);
}

static void get_logs(struct logs_http *h, struct serve_call *call, const struct serve_request *req)
{
	char why[256];
	struct stream *s = stream_new(h, call);
	if (!s) return;
	struct logs_ask *a = &s->ask;
	if (!logs_ask_read(req->query, h->wall_ns(), a, why, sizeof why)) {
		stream_refuse(s, 400, HG_E_INVALID, why);
		return;
	}
	if (req->method == HTTP1_HEAD) {
		free(s);
		serve_answer(call, 200, "application/x-ndjson", (struct hg_str){NULL, 0});
		return;
	}
	if (wants_array(req) && !a->follow) a->array = true;
	bool history = a->follow && !a->q.since_ns && !a->q.has_cursor;
	if (a->follow) a->q.newest_first = history;
	/* No history is asked for: from now on. */
	if (history && a->limit == 0) a->q.since_ns = h->wall_ns();
	s->left = a->follow && !history ? UINT64_MAX : a->limit;
	s->state = history ? STREAM_HISTORY : STREAM_SEND;
	stream_begin(s, a->array ? "application/json" : "application/x-ndjson");
}

static void get_volume(
        struct logs_http *h, struct serve_call *call, const struct serve_request *req)
{
	char why[256];
	struct stream *s = stream_new(h, call);
	if (!s) return;
	s->volume = malloc(sizeof *s->volume);
	if (!s->volume) {
		stream_refuse(s, 503, HG_E_NOMEM, "no memory for counts");
		return;
	}
	if (!logs_ask_volume(req->query, h->wall_ns(), &s->ask, s->volume, why, sizeof why)) {
		stream_refuse(s, 400, HG_E_INVALID, why);
		return;
	}
	if (req->method == HTTP1_HEAD) {
		free(s->volume);
		free(s);
		serve_answer(call, 200, "application/json", (struct hg_str){NULL, 0});
		return;
	}
	s->state = STREAM_SEND;
	stream_begin(s, "application/json");
}

static void put_retention(
        struct logs_http *h, struct serve_call *call, const struct serve_request *req)
{
	char app[LOGS_APP_MAX], keep[24], bytes[24];
	uint64_t keep_ms, max_bytes;
	if (!serve_query(req->query, "app", app, sizeof app) ||
	        !serve_query(req->query, "keep_ms", keep, sizeof keep) ||
	        !serve_query(req->query, "max_bytes", bytes, sizeof bytes) ||
	        !hg_str_u64(hg_str(keep), &keep_ms) || !hg_str_u64(hg_str(bytes), &max_bytes)) {
		serve_problem(call, 400, HG_E_INVALID,
		        "app, keep_ms and max_bytes are needed; the last two are numbers");
		return;
	}
	enum hg_rc rc = logs_retention_set(h->l, hg_str(app), keep_ms, max_bytes);
	if (rc == HG_OK)
		serve_answer(call, 204, NULL, (struct hg_str){NULL, 0});
	else if (rc == HG_E_INVALID)
		serve_problem(call, 400, rc, "app is not a name of a-z, 0-9 and -");
	else
		serve_problem(call, 500, rc, "the retention could not be written");
}

static void metric(struct hg_buf *b, const char *name, const char *type, uint64_t v)
{
	hg_buf_fmt(b, "# TYPE headgate_logs_%s %s\nheadgate_logs_%s %llu\n", name, type, name,
	        (unsigned long long)v);
}

static void lines_of_app(void *arg, const char *app, const uint64_t lines[LOGS_LEVELS])
{
	static const char *const levels[LOGS_LEVELS] = {
	        [HG_DEBUG] = "debug", [HG_INFO] = "info", [HG_WARN] = "warn", [HG_ERROR] = "error"};
	for (size_t i = 0; i < LOGS_LEVELS; i++)
		hg_buf_fmt(arg, "headgate_logs_app_lines_total{app=\"%s\",level=\"%s\"} %llu\n",
		        app, levels[i], (unsigned long long)lines[i]);
}

void logs_http_metrics(const struct logs_http *h, struct hg_buf *to)
{
	struct logs_stats st;
	hg_buf_cstr(to, "# TYPE headgate_logs_app_lines_total counter\n");
	logs_lines_each(h->l, lines_of_app, to);
	logs_stats(h->l, &st);
	metric(to, "lines_total", "counter", st.lines);
	metric(to, "bytes_total", "counter", st.bytes);
	metric(to, "dropped_lines_total", "counter", st.dropped);
	metric(to, "dropped_segments_total", "counter", st.segments_dropped);
	metric(to, "corrupt_blocks_total", "counter", st.corrupt_blocks);
	metric(to, "searched_bytes_total", "counter", st.search_bytes);
	metric(to, "requests_total", "counter", h->requests);
	metric(to, "requests_refused_total", "counter", h->refused);
	metric(to, "segments", "gauge", st.segments);
	metric(to, "disk_bytes", "gauge", st.disk_bytes);
	metric(to, "spool_bytes", "gauge", st.spool_bytes);
	metric(to, "apps", "gauge", st.apps);
	metric(to, "sources", "gauge", st.sources);
	metric(to, "searches", "gauge", h->stream_count);
}

bool logs_http(struct logs_http *h, struct serve_call *call, const struct serve_request *req)
{
	bool get = req->method == HTTP1_GET || req->method == HTTP1_HEAD;
	bool put = req->method == HTTP1_PUT || req->method == HTTP1_POST;
	bool volume = hg_str_eq(req->path, HG_STR("/v1/logs/volume"));
	if (volume || hg_str_eq(req->path, HG_STR("/v1/logs")))
		put = false;
	else if (hg_str_eq(req->path, HG_STR("/v1/logs/retention")))
		get = false;
	else
		return false;
	h->requests++;
	if (get && volume)
		get_volume(h, call, req);
	else if (get)
		get_logs(h, call, req);
	else if (put)
		put_retention(h, call, req);
	else
		serve_problem(call, 405, HG_E_INVALID, "this path has no such method");
	return true;
}
