/* libcurl's multi interface on our loop: it says which descriptors and which time to wait for. */
#include "fetch/fetch.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fetch/fetch_priv.h"

#define FETCH_MAGIC 0xfe7c4001u

struct fetch {
	uint32_t magic;
	struct loop *loop;
	struct curl_calls curl;
	bool loaded;
	CURLM *multi;
	struct loop_timer timer;
	struct hg_list calls, socks;
	uint32_t call_count, call_max;
};

struct sock {
	struct hg_list node;
	struct fetch *f;
	struct loop_io io;
};

/* ---- one call ---- */

void fetch_call_free(struct fetch_call *c)
{
	struct fetch *f = c->f;
	if (c->easy) {
		/* One that was never added is no part of it, which does no harm. */
		(void)f->curl.multi_remove_handle(f->multi, c->easy);
		f->curl.easy_cleanup(c->easy);
	}
	f->curl.slist_free_all(c->headers);
	hg_list_remove(&c->node);
	f->call_count--;
	hg_buf_free(&c->body);
	hg_buf_free(&c->fields);
	free(c->guard);
	free(c);
}

const char *fetch_call_why(const struct fetch_call *c, CURLcode code)
{
	return c->error[0] ? c->error : c->curl->easy_strerror(code);
}

static enum fetch_result result_of(CURLcode code, const struct fetch_call *c, int status)
{
	/* A body that is longer than we keep does not change what the head said. */
	bool whole = code == CURLE_OK || (c->cut && code == CURLE_WRITE_ERROR);
	/* For libcurl a head that breaks off is one. */
	if (whole && status >= 200) return c->headed ? FETCH_ANSWERED : FETCH_SILENT;
	if (whole) return FETCH_REFUSED;
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL: /* also an answer without a status line */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING: return FETCH_REFUSED;
	default: return FETCH_SILENT;
	}
}

static void finish(struct fetch_call *c, CURLcode code)
{
	struct fetch *f = c->f;
	long status = 0;
	curl_off_t retry_s = 0;
	char why[FETCH_WHY_MAX] = "", peer[IP_TEXT_MAX];
	if (f->curl.easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK) status = 0;
	if (f->curl.easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry_s) != CURLE_OK) retry_s = 0;
	struct fetch_answer a = {
	        .result = result_of(code, c, (int)status), .body = hg_buf_view(&c->body)};
	if (c->headed && status >= 200) a.head_status = (int)status;
	if (a.result == FETCH_SILENT && c->blocked && !c->peer[0]) a.result = FETCH_BLOCKED;
	if (a.result == FETCH_ANSWERED) {
		a.status = (int)status;
		a.cut = c->cut;
		a.fields = hg_buf_view(&c->fields);
		a.retry_after_ms = (uint64_t)HG_MIN(HG_MAX(retry_s, 0), 86400) * 1000;
	} else if (a.result == FETCH_BLOCKED) {
		(void)snprintf(why, sizeof why, "it leads to a %s address, which is not allowed%s",
		        guard_class_name(c->refused),
		        c->plain && guard_lets(c->refused) ? " without https" : "");
	} else {
		(void)snprintf(why, sizeof why, "%s",
		        code == CURLE_OK ? "the answer broke off in its head"
		                         : fetch_call_why(c, code));
	}
	a.why = why;
	memcpy(peer, c->peer, sizeof peer);
	a.peer = peer;
	fetch_fn fn = c->fn;
	void *arg = c->arg;
	struct hg_buf body = c->body, fields = c->fields;
	c->body = c->fields = (struct hg_buf){0}; /* the answer's now */
	fetch_call_free(c);
	fn(arg, &a);
	hg_buf_free(&body);
	hg_buf_free(&fields);
}

/* Outside of libcurl's callbacks: what is told may begin and end other calls. */
static void collect(struct fetch *f)
{
	int left;
	for (CURLMsg *m; (m = f->curl.multi_info_read(f->multi, &left));) {
		struct fetch_call *c = NULL;
		CURLcode code = m->data.result;
		if (m->msg != CURLMSG_DONE) continue;
		if (f->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c) ==
		                CURLE_OK &&
		        c)
			finish(c, code);
	}
}

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
	struct fetch_call *c = arg;
	size_t all = one * n, room = c->body_max - c->body.n, take = HG_MIN(all, room);
	hg_buf_str(&c->body, (struct hg_str){p, take});
	if (take == all) return all;
	c->cut = true;
	return 0; /* ends the transfer */
}

/* A line at a time. Those of an interim answer, or of trailers, are not the answer's. */
static size_t on_field(char *p, size_t one, size_t n, void *arg)
{
	struct fetch_call *c = arg;
	struct hg_str line = {p, one * n};
	bool first = hg_str_starts(line, HG_STR("HTTP/"));
	if (first) hg_buf_reset(&c->fields);
	c->headed = !first && (c->headed || hg_str_trim(line).n == 0);
	if (c->fields_wanted && c->fields.n + line.n <= FETCH_FIELDS_MAX)
		hg_buf_str(&c->fields, line);
	return one * n;
}

struct hg_str fetch_field(const struct fetch_answer *a, const char *name)
{
	struct hg_str rest = a->fields;
	while (rest.n) {
		struct hg_str value = hg_str_cut(&rest, '\n');
		struct hg_str is = hg_str_cut(&value, ':');
		if (hg_str_eq_nocase(is, hg_str(name))) return hg_str_trim(value);
	}
	return HG_STR("");
}

/* ---- the loop ---- */

static void act(struct fetch *f, curl_socket_t fd, int what)
{
	int running;
	/* Errors are of a call, and come with it. */
	(void)f->curl.multi_socket_action(f->multi, fd, what, &running);
	collect(f);
}

static void on_io(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct sock *s = HG_CONTAINER(io, struct sock, io);
	int what = (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
	           (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
	           (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
	(void)l;
	act(s->f, io->fd, what);
}

static void on_time(struct loop *l, struct loop_timer *t)
{
	(void)l;
	act(HG_CONTAINER(t, struct fetch, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void sock_free(struct sock *s)
{
	loop_io_stop(s->f->loop, &s->io);
	hg_list_remove(&s->node);
	free(s);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct fetch *f = arg;
	struct sock *s = of_socket;
	uint32_t events =
	        (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s) sock_free(s);
		return 0;
	}
	if (s) return loop_io_change(f->loop, &s->io, events) == HG_OK ? 0 : -1;
	s = calloc(1, sizeof *s);
	if (!s) return -1;
	s->f = f;
	s->io.fd = -1;
	hg_list_append(&f->socks, &s->node);
	if (loop_io_start(f->loop, &s->io, fd, events, on_io) == HG_OK &&
	        f->curl.multi_assign(f->multi, fd, s) == CURLM_OK)
		return 0;
	sock_free(s);
	return -1;
}

static int on_wait(CURLM *multi, long ms, void *arg)
{
	struct fetch *f = arg;
	(void)multi;
	if (ms < 0) {
		loop_timer_stop(f->loop, &f->timer);
		return 0;
	}
	return loop_timer_start(f->loop, &f->timer, (uint64_t)ms, on_time) == HG_OK ? 0 : -1;
}

/* ---- life ---- */

enum hg_rc fetch_new(struct loop *l, struct fetch **ret_fetch, struct hg_err *err)
{
	struct fetch *f = calloc(1, sizeof *f);
	if (!f) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	f->magic = FETCH_MAGIC;
	f->loop = l;
	f->call_max = FETCH_MAX;
	hg_list_init(&f->calls);
	hg_list_init(&f->socks);
	*ret_fetch = f;
	return HG_OK;
}

void fetch_limit(struct fetch *f, uint32_t calls)
{
	HG_ASSERT(f->magic == FETCH_MAGIC && calls > 0);
	f->call_max = calls;
}

void fetch_free(struct fetch *f)
{
	if (!f) return;
	HG_ASSERT(f->magic == FETCH_MAGIC);
	HG_LIST_EACH_SAFE (node, after, &f->calls)
		fetch_call_free(HG_CONTAINER(node, struct fetch_call, node));
	if (f->multi) (void)f->curl.multi_cleanup(f->multi);
	HG_LIST_EACH_SAFE (node, after, &f->socks)
		sock_free(HG_CONTAINER(node, struct sock, node));
	loop_timer_stop(f->loop, &f->timer);
	f->magic = 0;
	free(f);
}

static bool multi_set(struct fetch *f)
{
	const struct curl_calls *c = &f->curl;
	return c->multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
	       c->multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f) == CURLM_OK &&
	       c->multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_wait) == CURLM_OK &&
	       c->multi_setopt(f->multi, CURLMOPT_TIMERDATA, f) == CURLM_OK;
}

enum hg_rc fetch_ready(struct fetch *f, struct hg_err *err)
{
	HG_ASSERT(f->magic == FETCH_MAGIC);
	if (!f->loaded) {
		enum hg_rc rc = curl_calls_load(&f->curl, err);
		if (rc < 0) return rc;
		f->loaded = true;
	}
	if (f->multi) return HG_OK;
	f->multi = f->curl.multi_init();
	if (f->multi && multi_set(f)) return HG_OK;
	if (f->multi) (void)f->curl.multi_cleanup(f->multi);
	f->multi = NULL;
	return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

/* ---- beginning ---- */

static bool headers_set(struct fetch_call *c, const struct fetch_request *r)
{
	/* Without it curl would wait a second for "100 Continue" before a longer body. */
	struct curl_slist *all = c->f->curl.slist_append(NULL, "Expect:");
	for (uint32_t i = 0; all && i < r->header_count; i++) {
		struct curl_slist *more = c->f->curl.slist_append(all, r->headers[i]);
		if (!more) c->f->curl.slist_free_all(all);
		all = more;
	}
	c->headers = all;
	return all != NULL;
}

/* The address a connection is about to be made to: what is judged is what is used. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct fetch_call *c = arg;
	uint8_t addr[16] = {[10] = 0xff, [11] = 0xff};
	(void)purpose;
	if (a->family == AF_INET)
		memcpy(addr + 12, &((struct sockaddr_in *)(void *)&a->addr)->sin_addr, 4);
	else if (a->family == AF_INET6)
		memcpy(addr, &((struct sockaddr_in6 *)(void *)&a->addr)->sin6_addr, 16);
	else
		return CURL_SOCKET_BAD;
	enum guard_class class = guard_judge(c->guard, addr);
	if (!guard_lets(class) || (c->plain && class != GUARD_ALLOWED)) {
		c->refused = class;
		c->blocked = true;
		return CURL_SOCKET_BAD;
	}
	c->peer[ip_text(addr, c->peer)] = 0;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

#define SET(option, value) FETCH_SET(c, option, value)

/* The other side, and what nobody may talk us into. */
bool fetch_call_limits(struct fetch_call *c, const char *protocols, uint32_t timeout_ms)
{
	long connect_ms = HG_MIN((long)timeout_ms, FETCH_CONNECT_MAX_MS);
	return SET(CURLOPT_PROTOCOLS_STR, protocols) && SET(CURLOPT_PRIVATE, c) &&
	       SET(CURLOPT_ERRORBUFFER, c->error) && SET(CURLOPT_PROXY, "") &&
	       SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && SET(CURLOPT_SSL_VERIFYPEER, 1L) &&
	       SET(CURLOPT_SSL_VERIFYHOST, 2L) && SET(CURLOPT_NOSIGNAL, 1L) &&
	       /* A name that is still being looked up must not be waited for at the end. */
	       SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_TIMEOUT_MS, (long)timeout_ms) &&
	       SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms) &&
	       /* A kept connection may be dead by the next call, minutes later. */
	       SET(CURLOPT_FRESH_CONNECT, 1L) && SET(CURLOPT_FORBID_REUSE, 1L);
}

static bool guard_set(struct fetch_call *c, const struct fetch_request *r)
{
	if (!r->guard) return true;
	c->plain = !hg_str_starts(hg_str(r->url), HG_STR("https:"));
	c->guard = malloc(sizeof *c->guard);
	if (!c->guard) return false;
	*c->guard = *r->guard;
	return SET(CURLOPT_OPENSOCKETFUNCTION, on_open) && SET(CURLOPT_OPENSOCKETDATA, c);
}

static bool request_set(struct fetch_call *c, const struct fetch_request *r)
{
	bool ok = SET(CURLOPT_URL, r->url) && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
	          SET(CURLOPT_HTTP09_ALLOWED, 0L) &&
	          SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	          SET(CURLOPT_USERAGENT, "headgate/" HG_VERSION) &&
	          SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, c);
	if (ok && r->body.n)
		ok = SET(CURLOPT_POSTFIELDSIZE, (long)r->body.n) &&
		     SET(CURLOPT_COPYPOSTFIELDS, r->body.p);
	c->fields_wanted = r->keep_fields;
	if (ok) ok = SET(CURLOPT_HEADERFUNCTION, on_field) && SET(CURLOPT_HEADERDATA, c);
	if (ok && r->ca_pem.n) {
		struct curl_blob ca = {(void *)(uintptr_t)r->ca_pem.p, r->ca_pem.n, CURL_BLOB_COPY};
		ok = SET(CURLOPT_CAINFO_BLOB, &ca);
	}
	return ok && SET(CURLOPT_CUSTOMREQUEST, r->method) && SET(CURLOPT_HTTPHEADER, c->headers);
}

enum hg_rc fetch_call_new(
        struct fetch *f, void *arg, struct fetch_call **ret_call, struct hg_err *err)
{
	enum hg_rc rc = fetch_ready(f, err);
	if (rc < 0) return rc;
	if (f->call_count >= f->call_max)
		return hg_err_set(
		        err, HG_E_AGAIN, "%u requests are under way already", f->call_count);
	struct fetch_call *c = calloc(1, sizeof *c);
	if (!c) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	c->f = f;
	c->curl = &f->curl;
	c->arg = arg;
	hg_list_append(&f->calls, &c->node);
	f->call_count++;
	c->easy = f->curl.easy_init();
	if (!c->easy) {
		fetch_call_free(c);
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	}
	*ret_call = c;
	return HG_OK;
}

enum hg_rc fetch_call_go(struct fetch_call *c, struct hg_err *err)
{
	if (c->curl->multi_add_handle(c->f->multi, c->easy) == CURLM_OK) return HG_OK;
	fetch_call_free(c);
	return hg_err_set(err, HG_E_FETCH, "libcurl refuses the request");
}

enum hg_rc fetch_start(struct fetch *f, const struct fetch_request *r, fetch_fn fn, void *arg,
        struct fetch_call **ret_call, struct hg_err *err)
{
	struct fetch_call *c = NULL;
	HG_ASSERT(r->header_count <= FETCH_HEADERS_MAX && r->timeout_ms > 0 &&
	          r->body_max <= FETCH_BODY_MAX);
	enum hg_rc rc = fetch_call_new(f, arg, &c, err);
	if (rc < 0 || !c) return rc;
	c->fn = fn;
	c->body_max = r->body_max ? r->body_max : FETCH_BODY_MAX;
	hg_buf_init(&c->body, c->body_max + 1);
	hg_buf_init(&c->fields, FETCH_FIELDS_MAX + 1);
	if (!headers_set(c, r)) {
		fetch_call_free(c);
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	}
	if (!fetch_call_limits(c, "http,https", r->timeout_ms) || !guard_set(c, r) ||
	        !request_set(c, r)) {
		fetch_call_free(c);
		return hg_err_set(err, HG_E_FETCH, "libcurl refuses the request");
	}
	rc = fetch_call_go(c, err);
	if (rc == HG_OK) *ret_call = c;
	return rc;
}

void fetch_cancel(struct fetch_call *c)
{
	if (!c) return;
	fetch_call_free(c);
}
