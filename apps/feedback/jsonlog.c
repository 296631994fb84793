#include "apps/feedback/jsonlog_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/feedback/text_priv.h"
#include "os/clock.h"
#include "wire/json.h"

#define WAITING_MAX (1 << 20)
#define VALUE_MAX   512u
#define RETRY_MS    50u
#define GOODBYE_MS  1000u

struct sink {
	int fd; /* -1: not used */
	bool own;
	bool nonblocking; /* otherwise it is asked first, and given at most PIPE_BUF at a time */
	struct hg_buf waiting;
};

struct jsonlog {
	struct loop *loop;
	enum hg_level least;
	struct sink sinks[2];
	uint64_t dropped, dropped_told;
	struct hg_buf line;
	struct loop_task at_end_of_turn;
	struct loop_timer retry;
};

/*
 * Non-blocking is a property of the open file, which standard output may share with a terminal or
 * another process: a pipe is opened once more for ourselves, everything else is asked by poll.
 */
static void stdout_open(struct sink *s)
{
	struct stat st;
	s->fd = STDOUT_FILENO;
	hg_buf_init(&s->waiting, WAITING_MAX);
	if (fstat(STDOUT_FILENO, &st) < 0 || !S_ISFIFO(st.st_mode)) return;
	int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) return;
	s->fd = fd;
	s->own = s->nonblocking = true;
}

static bool may_write(const struct sink *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	return s->nonblocking || (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT));
}

/* True when nothing is left. A sink that is gone for good swallows its lines. */
static bool sink_flush(struct sink *s)
{
	size_t at = 0;
	while (s->fd >= 0 && at < s->waiting.n && may_write(s)) {
		size_t n = s->waiting.n - at;
		if (!s->nonblocking) n = HG_MIN(n, (size_t)PIPE_BUF);
		ssize_t done = write(s->fd, s->waiting.p + at, n);
		if (done < 0 && errno == EINTR) continue;
		if (done < 0 && errno == EAGAIN) break;
		if (done < 0 && errno != ENOSPC) at = s->waiting.n;
		if (done < 0) break;
		at += (size_t)done;
	}
	if (at == s->waiting.n)
		hg_buf_reset(&s->waiting);
	else if (at)
		hg_buf_drop(&s->waiting, at);
	return s->waiting.n == 0;
}

static bool flush_all(struct jsonlog *log)
{
	bool empty = true;
	for (size_t i = 0; i < HG_COUNT(log->sinks); i++)
		empty &= sink_flush(&log->sinks[i]);
	return empty;
}

static void on_retry(struct loop *l, struct loop_timer *t);

static void flush_or_retry(struct jsonlog *log)
{
	if (!flush_all(log) && !loop_timer_active(&log->retry) &&
	        loop_timer_start(log->loop, &log->retry, RETRY_MS, on_retry) < 0)
		return; /* the next line tries again */
	if (log->dropped == log->dropped_told || log->sinks[0].waiting.n) return;
	uint64_t lost = log->dropped - log->dropped_told;
	log->dropped_told = log->dropped;
	jsonlog(log, HG_WARN, "feedback.log", "log lines were dropped", HG_I("lines", lost));
}

static void on_retry(struct loop *l, struct loop_timer *t)
{
	(void)l;
	flush_or_retry(HG_CONTAINER(t, struct jsonlog, retry));
}

static void on_end_of_turn(struct loop *l, struct loop_task *t)
{
	(void)l;
	flush_or_retry(HG_CONTAINER(t, struct jsonlog, at_end_of_turn));
}

enum hg_rc jsonlog_new(
        struct loop *l, enum hg_level least, const char *file, struct jsonlog **ret_log)
{
	struct jsonlog *log = calloc(1, sizeof *log);
	if (!log) return HG_E_NOMEM;
	log->loop = l;
	log->least = least;
	hg_buf_init(&log->line, 16 << 10);
	loop_task_init(&log->at_end_of_turn, on_end_of_turn);
	stdout_open(&log->sinks[0]);
	log->sinks[1].fd = -1;
	hg_buf_init(&log->sinks[1].waiting, WAITING_MAX);
	if (file[0]) {
		int flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC;
		log->sinks[1].fd = open(file, flags, 0644);
		log->sinks[1].own = log->sinks[1].nonblocking = true;
		if (log->sinks[1].fd < 0) {
			jsonlog_free(log);
			return HG_E_IO;
		}
	}
	*ret_log = log;
	return HG_OK;
}

void jsonlog_free(struct jsonlog *log)
{
	uint64_t until_ms = clock_mono_ms() + GOODBYE_MS;
	if (!log) return;
	while (!flush_all(log) && clock_mono_ms() < until_ms) {
		struct pollfd p = {.fd = log->sinks[0].fd, .events = POLLOUT};
		if (poll(&p, 1, 10) < 0) break;
	}
	for (size_t i = 0; i < HG_COUNT(log->sinks); i++) {
		if (log->sinks[i].own && log->sinks[i].fd >= 0) close(log->sinks[i].fd);
		hg_buf_free(&log->sinks[i].waiting);
	}
	loop_task_cancel(&log->at_end_of_turn);
	loop_timer_stop(log->loop, &log->retry);
	hg_buf_free(&log->line);
	free(log);
}

bool jsonlog_wants(const struct jsonlog *log, enum hg_level level)
{
	return level >= log->least;
}

uint64_t jsonlog_dropped(const struct jsonlog *log)
{
	return log->dropped;
}

static const char *level_name(enum hg_level level)
{
	static const char *const names[] = {[HG_DEBUG] = "DEBUG",
	        [HG_INFO] = "INFO",
	        [HG_WARN] = "WARNING",
	        [HG_ERROR] = "ERROR"};
	return names[level];
}

/* Three places behind the point; printf is for what is out of the ordinary. */
static void add_number(struct hg_buf *to, double f)
{
	if (!(f >= 0 && f < 1e12)) {
		hg_buf_fmt(to, "%.3f", f);
		return;
	}
	uint64_t thousandths = (uint64_t)(f * 1000 + 0.5);
	unsigned part = (unsigned)(thousandths % 1000);
	char text[4] = {'.', (char)('0' + part / 100), (char)('0' + part / 10 % 10),
	        (char)('0' + part % 10)};
	hg_buf_u64(to, thousandths / 1000);
	hg_buf_str(to, (struct hg_str){text, sizeof text});
}

static void add_integer(struct hg_buf *to, int64_t i)
{
	if (i < 0) hg_buf_byte(to, '-');
	hg_buf_u64(to, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
}

static void add_pair(struct hg_buf *to, const struct hg_kv *kv)
{
	if (kv->kind == HG_KV_STR && kv->s.n == 0) return;
	hg_buf_str(to, HG_STR(",\""));
	hg_buf_cstr(to, kv->key);
	hg_buf_str(to, HG_STR("\":"));
	switch (kv->kind) {
	case HG_KV_STR: json_quote(to, (struct hg_str){kv->s.p, HG_MIN(kv->s.n, VALUE_MAX)}); break;
	case HG_KV_INT: add_integer(to, kv->i); break;
	case HG_KV_NUM: add_number(to, kv->f); break;
	case HG_KV_BOOL: hg_buf_cstr(to, kv->i ? "true" : "false"); break;
	}
}

void jsonlog_line(struct jsonlog *log, enum hg_level level, const char *name, const char *message,
        const struct hg_kv *pairs)
{
	struct hg_buf *b = &log->line;
	char now[TEXT_TIME_MAX];
	if (!jsonlog_wants(log, level)) return;
	hg_buf_reset(b);
	hg_buf_str(b, HG_STR("{\"asctime\":\""));
	hg_buf_str(b, (struct hg_str){now, text_time_log(clock_wall_ns(), now)});
	hg_buf_str(b, HG_STR("\",\"levelname\":\""));
	hg_buf_cstr(b, level_name(level));
	hg_buf_str(b, HG_STR("\",\"name\":\""));
	hg_buf_cstr(b, name);
	hg_buf_str(b, HG_STR("\",\"message\":"));
	json_quote(b, hg_str(message));
	for (; pairs->key; pairs++)
		add_pair(b, pairs);
	hg_buf_str(b, HG_STR("}\n"));
	for (size_t i = 0; i < HG_COUNT(log->sinks); i++) {
		struct sink *s = &log->sinks[i];
		if (s->fd < 0) continue;
		if (b->failed || s->waiting.n + b->n > WAITING_MAX)
			log->dropped += i == 0;
		else
			hg_buf_str(&s->waiting, hg_buf_view(b));
	}
	loop_task_queue(log->loop, &log->at_end_of_turn);
}
