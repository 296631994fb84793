/*
 * A tiny blocking HTTP client over DATA/control.sock: one request a connection, every wait with an
 * end. While control is being replaced (the warden lives, nobody accepts) it tries again for a
 * moment, so that a script does not fail because of a crash it need not know about.
 */
#include "client_priv.h"
#include "os/clock.h"
#include "os/sock.h"
#include "wire/http1.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX  (64u << 20)
#define PATIENCE_MS 3000 /* for a control that is being started again */
#define LOOK_MS     1000ull
#define TELL_MS     5000ull

struct connection {
	int fd;
	uint64_t until_ms;
	struct hg_buf in;
	struct http1_head head;
	struct http1_chunked chunked;
	uint64_t left;
	const struct cli *patient; /* control may read an artifact first; NULL: it does not */
	uint64_t told_ms;          /* when that was said last */
};

static void patience(struct connection *n);

/* Waits until the socket is ready; false: the time is over. */
static bool wait_for(struct connection *n, short events)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		if (now >= n->until_ms) return false;
		struct pollfd p = {.fd = n->fd, .events = events};
		uint64_t left = HG_MIN(n->until_ms - now, n->patient ? LOOK_MS : (uint64_t)1000000);
		int got = poll(&p, 1, (int)left);
		if (got == 0 && n->patient) patience(n);
		if (got > 0) return true;
		if (got < 0 && errno != EINTR) return false;
	}
}

static enum hg_rc nobody(const struct cli *c, struct hg_err *err)
{
	struct warden_info w;
	if (warden_find(c->data_dir, &w, NULL) == HG_OK) {
		hg_err_set(err, HG_E_CONTROL_SILENT,
		        "control does not answer on \"%s/control.sock\"", c->data_dir);
		hg_err_hint(err,
		        "Traffic goes on; headgate down works. The reason is in "
		        "%s/run/headgate.log",
		        c->data_dir);
		return HG_E_CONTROL_SILENT;
	}
	hg_err_set(err, HG_E_NOT_RUNNING, "no Headgate runs on \"%s\"", c->data_dir);
	hg_err_hint(err, "Start one with headgate up, or choose the folder with --data.");
	return HG_E_NOT_RUNNING;
}

#define CONTROL "control.sock"
#define OBSERVE "run/observe.sock"

static enum hg_rc connect_once(
        const struct cli *c, struct connection *n, const char *socket, struct hg_err *err)
{
	struct sock_addr addr;
	char text[4200];
	snprintf(text, sizeof text, "unix:%s/%s", c->data_dir, socket);
	if (!sock_addr_parse(hg_str(text), &addr)) {
		hg_err_set(err, HG_E_USAGE, "the path of the data folder is too long for a socket");
		hg_err_hint(err, "Use a shorter --data DIR (at most 90 bytes).");
		return HG_E_USAGE;
	}
	n->fd = sock_connect(&addr);
	if (n->fd >= 0) return HG_OK;
	if (n->fd == -EACCES || n->fd == -EPERM)
		return hg_err_set(err, HG_E_DENIED,
		        "user %u may not talk to the Headgate on \"%s\"", (unsigned)getuid(),
		        c->data_dir);
	return HG_E_AGAIN;
}

static enum hg_rc connection_open(const struct cli *c, struct connection *n, const char *socket,
        uint32_t timeout_ms, struct hg_err *err)
{
	uint64_t start = clock_mono_ms();
	*n = (struct connection){.fd = -1, .until_ms = start + timeout_ms};
	hg_buf_init(&n->in, ANSWER_MAX);
	for (;;) {
		struct warden_info w;
		enum hg_rc rc = connect_once(c, n, socket, err);
		if (rc != HG_E_AGAIN) return rc;
		uint64_t waited = clock_mono_ms() - start;
		if (waited > HG_MIN(timeout_ms, (uint32_t)PATIENCE_MS)) break;
		if (warden_find(c->data_dir, &w, NULL) < 0 || !w.warden_alive) break;
		nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
	}
	return nobody(c, err);
}

static void connection_close(struct connection *n)
{
	if (n->fd >= 0) close(n->fd);
	hg_buf_free(&n->in);
}

static enum hg_rc late(struct hg_err *err)
{
	hg_err_set(err, HG_E_CONTROL_SILENT,
	        "control accepted the request and did not answer in time");
	hg_err_hint(err, "Try again; headgate down works without control.");
	return HG_E_CONTROL_SILENT;
}

static enum hg_rc send_all(struct connection *n, struct hg_str bytes, struct hg_err *err)
{
	while (bytes.n) {
		if (!wait_for(n, POLLOUT)) return late(err);
		ssize_t sent = send(n->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
		if (sent < 0) return hg_err_set(err, HG_E_CONTROL_SILENT, "control hung up: %m");
		bytes.p += sent;
		bytes.n -= (size_t)sent;
	}
	return HG_OK;
}

/* More bytes into n->in. HG_E_CLOSED at the end. */
static enum hg_rc receive(struct connection *n, struct hg_err *err)
{
	for (;;) {
		if (!wait_for(n, POLLIN)) return late(err);
		char *room = hg_buf_room(&n->in, 65536);
		if (!room)
			return hg_err_set(err, HG_E_TOO_LARGE, "the answer is larger than 64 MiB");
		ssize_t got = read(n->fd, room, 65536);
		if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
		if (got < 0) return hg_err_set(err, HG_E_CONTROL_SILENT, "control hung up: %m");
		if (got == 0) return HG_E_CLOSED;
		hg_buf_add(&n->in, (size_t)got);
		return HG_OK;
	}
}

static enum hg_rc request(struct connection *n, const char *method, const char *path,
        const char *accept, struct hg_str body, struct hg_err *err)
{
	struct hg_buf out;
	hg_buf_init(&out, 8u << 20);
	hg_buf_fmt(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: %s\r\n",
	        method, path, accept);
	if (body.p)
		hg_buf_fmt(
		        &out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.n);
	hg_buf_cstr(&out, "\r\n");
	if (body.n) hg_buf_str(&out, body);
	enum hg_rc rc = out.failed ? hg_err_set(err, HG_E_TOO_LARGE, "the request is too large")
	                           : send_all(n, hg_buf_view(&out), err);
	hg_buf_free(&out);
	enum http1_method m = !strcmp(method, "GET") ? HTTP1_GET : HTTP1_POST;
	while (rc == HG_OK) {
		enum http1_result got = http1_response(
		        hg_buf_view(&n->in), 0, &HTTP1_LIMITS_DEFAULT, m, false, &n->head);
		if (got == HTTP1_BAD)
			return hg_err_set(err, HG_E_INTERNAL, "control's answer is malformed");
		if (got == HTTP1_DONE) break;
		rc = receive(n, err);
		if (rc == HG_E_CLOSED)
			hg_err_set(err, HG_E_CONTROL_SILENT, "control hung up before it answered");
	}
	if (rc < 0) return rc == HG_E_CLOSED ? HG_E_CONTROL_SILENT : rc;
	hg_buf_drop(&n->in, n->head.size);
	n->left = n->head.content_length;
	return HG_OK;
}

/* Moves what there is of the body to `to`; HG_E_CLOSED: that was all. */
static enum hg_rc body_take(struct connection *n, struct hg_buf *to, struct hg_err *err)
{
	if (n->head.body == HTTP1_BODY_NONE) return HG_E_CLOSED;
	while (n->in.n) {
		struct hg_str data = hg_buf_view(&n->in);
		size_t used = data.n;
		bool last = false;
		if (n->head.body == HTTP1_BODY_CHUNKED) {
			struct http1_span s = http1_chunked_next(&n->chunked, data);
			if (s.result == HTTP1_BAD)
				return hg_err_set(
				        err, HG_E_INTERNAL, "control's answer is malformed");
			last = s.result == HTTP1_DONE;
			data = s.data;
			used = s.used;
		} else if (n->head.body == HTTP1_BODY_LENGTH) {
			data.n = used = (size_t)HG_MIN((uint64_t)data.n, n->left);
			n->left -= used;
			last = n->left == 0;
		}
		if (data.n) hg_buf_str(to, data);
		hg_buf_drop(&n->in, used);
		if (to->failed) return hg_err_set(err, HG_E_TOO_LARGE, "the answer is too large");
		if (last) return HG_E_CLOSED;
		if (!used) break;
	}
	enum hg_rc rc = receive(n, err);
	if (rc == HG_E_CLOSED && n->head.body != HTTP1_BODY_CLOSE)
		return hg_err_set(err, HG_E_CONTROL_SILENT, "control's answer was cut short");
	return rc;
}

static void member(const json_t *j, const char *name, char *to, size_t cap)
{
	const char *v = json_string_value(json_object_get(j, name));
	if (v) snprintf(to, cap, "%s", v);
}

/* Errors of Prometheus' API know no codes of ours, unless control wrote them. */
static enum hg_rc prometheus_problem(const json_t *j, const char *type, struct hg_err *err)
{
	static const struct {
		const char *type;
		enum hg_rc rc;
	} row[] = {{"bad_data", HG_E_QUERY_SYNTAX}, {"execution", HG_E_QUERY_FAILED},
	        {"timeout", HG_E_QUERY_TIME}, {"canceled", HG_E_QUERY_TIME},
	        {"unavailable", HG_E_AGAIN}};
	const char *code = json_string_value(json_object_get(j, "code"));
	const struct hg_rc_info *info = code ? hg_rc_by_code(hg_str(code)) : NULL;
	enum hg_rc rc = info ? info->rc : HG_E_INTERNAL;
	for (size_t i = 0; !info && i < HG_COUNT(row); i++)
		if (!strcmp(row[i].type, type)) rc = row[i].rc;
	return hg_err_set(err, rc, "%s", cli_text(j, "error"));
}

enum hg_rc cli_problem(const json_t *j, unsigned status, struct hg_err *err)
{
	const char *type = json_string_value(json_object_get(j, "errorType"));
	if (type) return prometheus_problem(j, type, err);
	const char *code = json_string_value(json_object_get(j, "code"));
	const char *detail = json_string_value(json_object_get(j, "detail"));
	const struct hg_rc_info *info = code ? hg_rc_by_code(hg_str(code)) : NULL;
	const json_t *place = json_object_get(j, "place");
	hg_err_set(err, info ? info->rc : HG_E_INTERNAL, "%s", detail ? detail : "control refused");
	if (!detail) hg_err_detail(err, "HTTP status %u", status);
	member(j, "facts", err->detail, sizeof err->detail);
	member(j, "hint", err->hint, sizeof err->hint);
	if (place) {
		member(place, "file", err->file, sizeof err->file);
		member(place, "snippet", err->snippet, sizeof err->snippet);
		err->line = (unsigned)json_integer_value(json_object_get(place, "line"));
		err->column = (unsigned)json_integer_value(json_object_get(place, "column"));
		err->caret = (unsigned)json_integer_value(json_object_get(place, "caret"));
	}
	return err->rc;
}

static enum hg_rc answer_take(struct connection *n, struct hg_buf *body, struct hg_err *err)
{
	enum hg_rc rc;
	do
		rc = body_take(n, body, err);
	while (rc == HG_OK);
	return rc == HG_E_CLOSED ? HG_OK : rc;
}

static enum hg_rc call(const struct cli *c, const char *socket, const char *method,
        const char *path, const json_t *body, uint32_t timeout_ms, bool patient, json_t **ret_json,
        struct hg_err *err)
{
	struct connection n;
	struct hg_buf text;
	json_t *j = NULL;
	char *sent = body ? json_dumps(body, JSON_COMPACT) : NULL;
	hg_buf_init(&text, ANSWER_MAX);
	enum hg_rc rc = connection_open(c, &n, socket, timeout_ms, err);
	if (patient) n.patient = c;
	n.told_ms = clock_mono_ms();
	if (rc == HG_OK) rc = request(&n, method, path, "application/json", hg_str(sent), err);
	if (rc == HG_OK) rc = answer_take(&n, &text, err);
	if (rc == HG_OK) {
		/* Values of labels may be any bytes of UTF-8. */
		j = json_loadb(text.p ? text.p : "", text.n, JSON_ALLOW_NUL, NULL);
		if (n.head.status >= 300)
			rc = cli_problem(j, n.head.status, err);
		else if (!json_is_object(j) && !json_is_array(j))
			rc = hg_err_set(err, HG_E_INTERNAL, "control's answer is not JSON");
	}
	if (rc == HG_OK && ret_json) {
		*ret_json = j;
		j = NULL;
	}
	json_decref(j);
	free(sent);
	hg_buf_free(&text);
	connection_close(&n);
	return rc;
}

enum hg_rc cli_call(const struct cli *c, const char *method, const char *path, const json_t *body,
        uint32_t timeout_ms, json_t **ret_json, struct hg_err *err)
{
	return call(c, CONTROL, method, path, body, timeout_ms, false, ret_json, err);
}

enum hg_rc cli_call_patient(const struct cli *c, const char *path, const json_t *body,
        json_t **ret_json, struct hg_err *err)
{
	return call(c, CONTROL, "POST", path, body, CLI_CHANGE_MS, true, ret_json, err);
}

/* The warden holds the socket: a control that hangs accepts, and says nothing. */
static enum hg_rc control_answers(const struct cli *c, struct hg_err *err)
{
	struct connection n;
	struct hg_buf text;
	hg_buf_init(&text, ANSWER_MAX);
	enum hg_rc rc = connection_open(c, &n, CONTROL, PATIENCE_MS, err);
	if (rc == HG_OK) rc = request(&n, "GET", "/healthz", "text/plain", (struct hg_str){0}, err);
	if (rc == HG_OK) rc = answer_take(&n, &text, err);
	hg_buf_free(&text);
	connection_close(&n);
	return rc;
}

enum hg_rc cli_call_metrics(const struct cli *c, const char *path, uint32_t timeout_ms,
        json_t **ret_json, bool *ret_without, struct hg_err *err)
{
	struct hg_err why = {0};
	*ret_without = false;
	enum hg_rc rc = control_answers(c, err);
	if (rc == HG_OK) rc = call(c, CONTROL, "GET", path, NULL, timeout_ms, false, ret_json, err);
	if (rc != HG_E_CONTROL_SILENT) return rc;
	enum hg_rc direct = call(c, OBSERVE, "GET", path, NULL, timeout_ms, false, ret_json, &why);
	/* Who may not, or finds nobody there either, is told of control. */
	if (direct == HG_E_DENIED || direct == HG_E_CONTROL_SILENT || direct == HG_E_NOT_RUNNING)
		return rc;
	*ret_without = true;
	if (direct < 0 && err) *err = why;
	return direct;
}

/* No answer for a second. As long as control says that it reads artifacts, it is waited for. */
static void patience(struct connection *n)
{
	json_t *doc = NULL;
	const json_t *one;
	size_t i;
	uint64_t now = clock_mono_ms();
	if (cli_call(n->patient, "GET", "/v1/status", NULL, LOOK_MS, &doc, NULL) < 0) return;
	const json_t *all = cli_list(doc, "reading");
	bool tell = now - n->told_ms + LOOK_MS >= TELL_MS;
	json_array_foreach(all, i, one)
	{
		n->until_ms = now + CLI_CHANGE_MS;
		if (tell)
			cli_say("%.64s: the artifact is read and copied, %lld MiB so far",
			        cli_text(one, "app"), (long long)(cli_int(one, "bytes") >> 20));
	}
	if (tell) n->told_ms = now;
	json_decref(doc);
}

enum hg_rc cli_lines(const struct cli *c, const char *path, uint32_t timeout_ms,
        bool (*line)(void *arg, struct hg_str text), void *arg, struct hg_err *err)
{
	struct connection n;
	struct hg_buf text;
	hg_buf_init(&text, ANSWER_MAX);
	enum hg_rc rc = connection_open(c, &n, CONTROL, HG_MIN(timeout_ms, 10000u), err);
	if (rc == HG_OK)
		rc = request(&n, "GET", path, "application/x-ndjson", (struct hg_str){0}, err);
	bool refused = rc == HG_OK && n.head.status >= 300;
	if (refused) {
		rc = answer_take(&n, &text, err);
		json_t *j = json_loadb(text.p ? text.p : "", text.n, 0, NULL);
		if (rc == HG_OK) rc = cli_problem(j, n.head.status, err);
		json_decref(j);
	}
	while (rc == HG_OK) {
		n.until_ms = clock_mono_ms() + timeout_ms;
		rc = body_take(&n, &text, err);
		struct hg_str rest = hg_buf_view(&text);
		size_t done = 0;
		while (rest.n) {
			size_t end = hg_str_find(rest, '\n');
			if (end == rest.n && rc != HG_E_CLOSED) break;
			if (end && !line(arg, (struct hg_str){rest.p, end})) {
				rc = HG_E_CLOSED;
				break;
			}
			end += end < rest.n;
			done += end;
			rest.p += end;
			rest.n -= end;
		}
		hg_buf_drop(&text, done);
	}
	hg_buf_free(&text);
	connection_close(&n);
	/* Here it means the end of the body; in a problem it is an error like any other. */
	return rc == HG_E_CLOSED && !refused ? HG_OK : rc;
}

void cli_query_add(struct hg_buf *path, const char *name, struct hg_str value)
{
	static const char safe[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	hg_buf_fmt(path, "%c%s=", memchr(path->p, '?', path->n) ? '&' : '?', name);
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] && strchr(safe, value.p[i]))
			hg_buf_byte(path, value.p[i]);
		else
			hg_buf_fmt(path, "%%%02X", (unsigned char)value.p[i]);
	}
}
