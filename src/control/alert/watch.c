/* A connection to observe that waits for news of alerts, and hands them on. */
#include "control/alert/alert.h"
#include "control/notify/notify.h"

#include "os/sock.h"
#include "wire/http1.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MAX  ((size_t)64 << 20)
#define WAIT_MS     25000u /* at observe's, without news */
#define ANSWER_MS   40000u
#define AGAIN_MS    500u /* when nobody answered */
#define BETWEEN_MS  50u  /* between two questions: a flood of news is one */
#define EPOCH_SIZE  64u
#define ALERTS_MAX  NOTIFY_ALERTS_MAX
#define LABELS_EACH 256u

/* An alert that fires, and since when. */
struct told {
	uint64_t hash, starts_ms;
};

struct alert_watch {
	struct alert_watch_options o;
	struct told *told; /* of the last answer */
	uint32_t told_n;
	struct sock_addr addr;
	int fd;
	struct loop_io io;
	struct loop_timer timer; /* of the next question, or of the answer's end */
	struct hg_buf out, in;
	char epoch[EPOCH_SIZE];
	uint64_t after;
	bool failing;
};

static void ask(struct alert_watch *w);

static void on_again(struct loop *l, struct loop_timer *t)
{
	(void)l;
	ask(HG_CONTAINER(t, struct alert_watch, timer));
}

static void again(struct alert_watch *w, uint32_t after_ms)
{
	loop_io_stop(w->o.loop, &w->io);
	if (w->fd >= 0) close(w->fd);
	w->fd = -1;
	if (loop_timer_start(w->o.loop, &w->timer, after_ms, on_again) < 0 && w->o.log)
		hg_log(w->o.log, HG_ERROR, "alert.no_timer");
}

static void failed(struct alert_watch *w, const char *why)
{
	/* Observe is started again within a second: that is not worth a line. */
	if (!w->failing && w->o.log)
		hg_log(w->o.log, HG_INFO, "alert.no_rules", HG_S("error", why));
	w->failing = true;
	again(w, AGAIN_MS);
}

/* ---- what observe says ---- */

struct taking {
	struct alert_watch *w;
	struct hg_arena mem;
	uint64_t now_ms;
	struct told *told; /* of this answer, with room for all of it */
	uint32_t told_n;
};

static int by_alert(const void *a, const void *b)
{
	const struct told *x = a, *y = b;
	int d = (x->hash > y->hash) - (x->hash < y->hash);
	return d ? d : (x->starts_ms > y->starts_ms) - (x->starts_ms < y->starts_ms);
}

/* In a storm of alerts each answer has thousands of them. */
static bool was_told(const struct alert_watch *w, const struct told *t)
{
	return w->told_n && bsearch(t, w->told, w->told_n, sizeof *t, by_alert);
}

/* False: it could not be kept, and is to be told again. */
static bool tell_firing(struct taking *t, const struct notify_input *in)
{
	const struct alert_watch_options *o = &t->w->o;
	struct hg_err err = {0};
	struct told one = {labels_hash(in->labels), in->starts_ms};
	if (!o->on_firing) return true;
	if (!was_told(t->w, &one) && o->on_firing(o->arg, in, &err) < 0) {
		if (o->log) hg_log(o->log, HG_ERROR, "alert.not_kept", HG_S("error", err.message));
		return false;
	}
	t->told[t->told_n++] = one;
	return true;
}

static struct labels labels_of(struct taking *t, const json_t *from)
{
	size_t n = json_object_size(from);
	struct label *at = hg_arena_array(&t->mem, HG_MIN(n, (size_t)LABELS_EACH) + 1, sizeof *at);
	uint32_t count = 0;
	const char *name;
	json_t *value;
	if (!at) return (struct labels){0};
	json_object_foreach((json_t *)from, name, value)
	{
		struct hg_str own = hg_str(name);
		const char *text = json_string_value(value);
		if (!text || !text[0] || count == LABELS_EACH) continue;
		uint32_t k = count++;
		for (; k && label_text_compare(at[k - 1].name, own) > 0; k--)
			at[k] = at[k - 1];
		at[k] = (struct label){own, {text, json_string_length(value)}};
	}
	return (struct labels){at, count};
}

static bool take_one(struct taking *t, const json_t *a)
{
	struct hg_err err = {0};
	const char *url = json_string_value(json_object_get(a, "url"));
	json_int_t starts = json_integer_value(json_object_get(a, "starts"));
	json_int_t ends = json_integer_value(json_object_get(a, "ends"));
	json_int_t valid = json_integer_value(json_object_get(a, "valid"));
	struct notify_input in = {.labels = labels_of(t, json_object_get(a, "labels")),
	        .annotations = labels_of(t, json_object_get(a, "annotations")),
	        .generator = hg_str(url ? url : ""),
	        .starts_ms = starts > 0 ? (uint64_t)starts : t->now_ms,
	        .ends_ms = ends > 0 ? (uint64_t)ends : t->now_ms + (uint64_t)HG_MAX(valid, 1)};
	/* A clock that was set must not make an end before the beginning. */
	in.starts_ms = HG_MIN(in.starts_ms, in.ends_ms);
	enum hg_rc rc = notify_alert(t->w->o.notify, &in, 1, &err);
	if (rc == HG_OK) return ends > 0 || tell_firing(t, &in);
	if (t->w->o.log)
		hg_log(t->w->o.log, HG_ERROR, "alert.not_taken", HG_S("error", err.message));
	/* What is wrong in itself will not be better next time. */
	return rc == HG_E_ALERT_BODY || rc == HG_E_ALERT_LIMIT;
}

enum outcome { TAKEN, NOT_KEPT, NONSENSE };

/* All that was told is in the store when `after` rises: what comes in between is told again. */
static enum outcome take(struct alert_watch *w, struct hg_str body)
{
	struct taking t = {.w = w, .now_ms = w->o.wall_ms()};
	json_error_t e;
	json_t *doc = json_loadb(body.p ? body.p : "", body.n, 0, &e), *a;
	const char *epoch = json_string_value(json_object_get(doc, "epoch"));
	const json_t *list = json_object_get(doc, "alerts");
	bool good = epoch && json_is_array(list) && json_array_size(list) <= 4ul * ALERTS_MAX;
	bool kept = true;
	size_t i;
	t.told = calloc(json_array_size(list) + 1, sizeof *t.told);
	good = good && t.told;
	if (good) json_array_foreach(list, i, a)
		{
			hg_arena_init(&t.mem, "alert", 1 << 20);
			kept = take_one(&t, a) && kept;
			hg_arena_fini(&t.mem);
		}
	if (good && kept) {
		(void)hg_str_copy(hg_str(epoch), w->epoch, sizeof w->epoch);
		w->after = (uint64_t)json_integer_value(json_object_get(doc, "at"));
	}
	if (good) {
		free(w->told);
		if (t.told_n) qsort(t.told, t.told_n, sizeof *t.told, by_alert);
		w->told = t.told;
		w->told_n = t.told_n;
	} else {
		free(t.told);
	}
	json_decref(doc);
	return !good ? NONSENSE : kept ? TAKEN : NOT_KEPT;
}

static void answered(struct alert_watch *w)
{
	struct http1_head head;
	struct hg_str all = hg_buf_view(&w->in);
	/* An answer that was cut is none. */
	if (http1_response(all, 0, &HTTP1_LIMITS_DEFAULT, HTTP1_GET, false, &head) != HTTP1_DONE ||
	        head.status != 200 || !head.has_content_length ||
	        head.content_length != all.n - head.size) {
		failed(w, "no answer, or not the one that was asked for");
		return;
	}
	switch (take(w, (struct hg_str){all.p + head.size, all.n - head.size})) {
	case TAKEN: again(w, BETWEEN_MS); break;
	case NOT_KEPT: again(w, AGAIN_MS); break;
	case NONSENSE: failed(w, "the answer cannot be read"); return;
	}
	w->failing = false;
}

/* ---- the connection ---- */

static void on_io(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct alert_watch *w = HG_CONTAINER(io, struct alert_watch, io);
	(void)l;
	if (w->out.n && (events & EPOLLOUT)) {
		ssize_t n = sock_write(w->fd, hg_buf_view(&w->out), (struct hg_str){0});
		if (n < 0 && n != -EAGAIN) {
			failed(w, strerror((int)-n));
			return;
		}
		if (n > 0) hg_buf_drop(&w->out, (size_t)n);
		if (!w->out.n && loop_io_change(w->o.loop, &w->io, EPOLLIN) < 0) {
			failed(w, "it cannot be watched");
			return;
		}
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
	char *room = hg_buf_room(&w->in, 65536);
	ssize_t n = room ? sock_read(w->fd, room, 65536) : -ENOMEM;
	if (n == -EAGAIN) return;
	if (n < 0)
		failed(w, strerror((int)-n));
	else if (n == 0)
		answered(w);
	else
		hg_buf_add(&w->in, (size_t)n);
}

static void on_late(struct loop *l, struct loop_timer *t)
{
	(void)l;
	failed(HG_CONTAINER(t, struct alert_watch, timer), "no answer in time");
}

static void ask(struct alert_watch *w)
{
	hg_buf_reset(&w->in);
	hg_buf_reset(&w->out);
	hg_buf_fmt(&w->out,
	        "GET /v1/rules/news?epoch=%s&after=%llu&wait_ms=%u HTTP/1.1\r\n"
	        "Host: observe\r\nConnection: close\r\n\r\n",
	        w->epoch, (unsigned long long)w->after, WAIT_MS);
	int fd = sock_connect(&w->addr);
	if (fd < 0) {
		failed(w, strerror(-fd));
		return;
	}
	w->fd = fd;
	if (loop_io_start(w->o.loop, &w->io, fd, EPOLLIN | EPOLLOUT, on_io) < 0 ||
	        loop_timer_start(w->o.loop, &w->timer, ANSWER_MS, on_late) < 0)
		failed(w, "it cannot be watched");
}

enum hg_rc alert_watch_new(
        const struct alert_watch_options *o, struct alert_watch **ret_watch, struct hg_err *err)
{
	char place[512];
	struct alert_watch *w = calloc(1, sizeof *w);
	if (!w) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	w->o = *o;
	w->fd = w->io.fd = -1;
	hg_buf_init(&w->out, 1024);
	hg_buf_init(&w->in, ANSWER_MAX);
	(void)snprintf(place, sizeof place, "unix:%s/run/observe.sock", o->data_dir);
	if (!sock_addr_parse(hg_str(place), &w->addr)) {
		alert_watch_free(w);
		return hg_err_set(err, HG_E_INVALID, "the path of observe.sock is too long");
	}
	ask(w);
	*ret_watch = w;
	return HG_OK;
}

void alert_watch_free(struct alert_watch *w)
{
	if (!w) return;
	loop_timer_stop(w->o.loop, &w->timer);
	loop_io_stop(w->o.loop, &w->io);
	if (w->fd >= 0) close(w->fd);
	hg_buf_free(&w->out);
	hg_buf_free(&w->in);
	free(w->told);
	free(w);
}
