/* A connection to observe that waits for news of alerts, and hands them on. */
#include "control/alert/alert_priv.h"

#include "os/sock.h"
#include "wire/http1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)64 << 20)
#define WAIT_MS    25000u /* at observe's, without news */
#define ANSWER_MS  40000u
#define AGAIN_MS   500u /* when nobody answered */
#define BETWEEN_MS 50u  /* between two questions: a flood of news is one */
#define EPOCH_SIZE 64u

struct alert_watch {
	struct alert_watch_options o;
	struct told_set told; /* of the last answer */
	struct sock_addr addr;
	int fd;
	struct loop_io io;
	struct loop_timer timer; /* of the next question, or of the answer's end */
	struct hg_buf out, in;
	char epoch[EPOCH_SIZE];
	uint64_t after;
	bool failing;
	uint32_t refused; /* of the last answer */
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

/* All that fires is in the store: whoever keeps incidents hears of what is new. False: one could
 * not be kept, and is to be told again. */
static bool tell_firing(struct alert_watch *w, const struct news *n, struct told_set *told)
{
	const struct alert_watch_options *o = &w->o;
	bool kept = true;
	for (uint32_t i = 0; i < n->count; i++) {
		const struct news_alert *a = &n->alerts[i];
		struct told one = {a->print, a->in.starts_ms};
		struct hg_err err = {0};
		if (!a->fires || a->refused) continue;
		if (o->on_firing && !told_has(&w->told, one) &&
		        o->on_firing(o->arg, &a->in, &err) < 0) {
			if (o->log)
				hg_log(o->log, HG_ERROR, "alert.not_kept",
				        HG_S("error", err.message));
			kept = false;
			continue;
		}
		told->at[told->n++] = one;
	}
	told_sort(told);
	return kept;
}

/* What fired and is not there any more, when observe knows all that does. */
static uint32_t put_missing(struct alert_watch *w, const struct news *n)
{
	struct notify_state *s = notify_view(w->o.notify);
	uint64_t now = w->o.wall_ms();
	uint32_t count = 0;
	for (uint32_t i = 0; i < notify_alert_count(s); i++) {
		const struct notify_alert *a = notify_alert_at(s, i);
		if (!news_misses(n, a, now)) continue;
		const struct notify_input over = {.labels = a->labels,
		        .annotations = a->annotations,
		        .generator = a->generator,
		        .starts_ms = HG_MIN(a->starts_ms, now),
		        .ends_ms = now,
		        .rule = true};
		count += notify_put(s, &over, now, NULL, NULL) == HG_OK;
	}
	return count;
}

/* One transaction for all: in a storm there are thousands. False: try again. */
static bool put_all(struct alert_watch *w, struct news *n)
{
	struct notify_state *s = notify_view(w->o.notify);
	struct hg_err err = {0};
	bool good = true;
	uint32_t refused = 0;
	for (uint32_t i = 0; i < n->count; i++) {
		struct news_alert *a = &n->alerts[i];
		enum hg_rc rc = notify_put(s, &a->in, w->o.wall_ms(), NULL, &err);
		if (rc == HG_OK) continue;
		a->refused = true;
		refused++;
		/* What is wrong in itself will not be better next time. */
		good = good && (rc == HG_E_ALERT_BODY || rc == HG_E_ALERT_LIMIT);
	}
	/* Each answer has all of them: a line for each alert would fill the disk in a storm. */
	if (refused && refused != w->refused && w->o.log)
		hg_log(w->o.log, HG_ERROR, "alert.not_taken", HG_S("error", err.message),
		        HG_I("alerts", refused));
	w->refused = refused;
	uint32_t over = put_missing(w, n);
	if (over && w->o.log) hg_log(w->o.log, HG_INFO, "alert.over", HG_I("alerts", over));
	if (notify_changed(w->o.notify, &err) == HG_OK) return good;
	if (w->o.log) hg_log(w->o.log, HG_ERROR, "alert.not_taken", HG_S("error", err.message));
	return false;
}

enum outcome { TAKEN, NOT_KEPT, NONSENSE };

/* All that was told is in the store when `after` rises: what comes in between is told again. */
static enum outcome take(struct alert_watch *w, struct hg_str body)
{
	struct news n;
	struct told_set told = {0};
	if (!news_read(body, w->o.wall_ms(), &n)) return NONSENSE;
	if (!told_room(&told, n.count)) {
		news_free(&n);
		return NOT_KEPT;
	}
	bool kept = put_all(w, &n);
	if (kept) {
		kept = tell_firing(w, &n, &told);
		free(w->told.at);
		w->told = told;
	} else {
		free(told.at);
	}
	if (kept) {
		(void)hg_str_copy(n.epoch, w->epoch, sizeof w->epoch);
		w->after = n.at;
	}
	news_free(&n);
	return kept ? TAKEN : NOT_KEPT;
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
	free(w->told.at);
	free(w);
}
