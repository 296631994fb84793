#include "control/fleet/local/prober_h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/grpc.h"
#include "wire/http1.h"

#define SERVICE_MAX 255u
#define MESSAGE_MAX 64u
#define PREFIX      5u /* of a message: compressed or not, and its length */

/* HealthCheckResponse.ServingStatus */
enum { UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN };

struct prober_h2 {
	nghttp2_session *ng;
	struct hg_buf *out; /* while a call runs */
	bool grpc;
	char ask[PREFIX + 3 + SERVICE_MAX];
	size_t ask_n, ask_at;
	unsigned status;
	bool headed, ended, reset, grpc_said;
	uint8_t grpc_status;
	char message[MESSAGE_MAX];
	size_t message_n;
};

/* ---- what nghttp2 tells and asks ---- */

static ssize_t on_send(nghttp2_session *ng, const uint8_t *p, size_t n, int flags, void *arg)
{
	struct prober_h2 *h = arg;
	(void)ng, (void)flags;
	hg_buf_str(h->out, (struct hg_str){(const char *)p, n});
	return h->out->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n;
}

static ssize_t on_pull(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags,
        nghttp2_data_source *source, void *arg)
{
	struct prober_h2 *h = arg;
	(void)ng, (void)id, (void)source;
	size_t n = HG_MIN(cap, h->ask_n - h->ask_at);
	memcpy(to, h->ask + h->ask_at, n);
	h->ask_at += n;
	if (h->ask_at == h->ask_n) *flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static bool named(const uint8_t *p, size_t n, const char *name)
{
	return hg_str_eq((struct hg_str){(const char *)p, n}, hg_str(name));
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name,
        size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct prober_h2 *h = arg;
	struct hg_str v = {(const char *)value, value_n};
	(void)ng, (void)f, (void)flags;
	if (named(name, name_n, ":status")) {
		h->status = 0;
		for (size_t i = 0; i < v.n; i++)
			h->status = h->status * 10 + (unsigned)(v.p[i] - '0');
	} else if (named(name, name_n, "grpc-status")) {
		h->grpc_said = true;
		h->grpc_status = grpc_status_read(v);
	}
	return 0;
}

static int on_data(
        nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct prober_h2 *h = arg;
	(void)ng, (void)flags, (void)id;
	n = HG_MIN(n, sizeof h->message - h->message_n);
	memcpy(h->message + h->message_n, p, n);
	h->message_n += n;
	return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct prober_h2 *h = arg;
	(void)ng;
	if (f->hd.stream_id != 1) return 0;
	if (f->hd.type == NGHTTP2_HEADERS && h->status >= 200) h->headed = true;
	bool part = f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA;
	if (part && f->hd.flags & NGHTTP2_FLAG_END_STREAM) h->ended = true;
	return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct prober_h2 *h = arg;
	(void)ng, (void)id, (void)code;
	h->reset = !h->ended;
	return 0;
}

/* ---- life ---- */

static bool session_make(struct prober_h2 *h)
{
	nghttp2_session_callbacks *cb;
	static const nghttp2_settings_entry iv[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
	if (nghttp2_session_callbacks_new(&cb) < 0) return false;
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	bool ok = nghttp2_session_client_new(&h->ng, cb, h) == 0;
	nghttp2_session_callbacks_del(cb);
	return ok && nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, iv, HG_COUNT(iv)) == 0;
}

/* HealthCheckRequest {string service = 1} behind its prefix. */
static bool message_make(struct prober_h2 *h, const char *service)
{
	size_t n = strlen(service), at = PREFIX;
	if (n > SERVICE_MAX) return false;
	if (n) {
		h->ask[at++] = 0x0a;
		if (n > 127) h->ask[at++] = (char)(n & 127) | (char)0x80;
		h->ask[at++] = (char)(n > 127 ? n >> 7 : n);
		memcpy(h->ask + at, service, n);
		at += n;
	}
	h->ask[3] = (char)((at - PREFIX) >> 8);
	h->ask[4] = (char)(at - PREFIX);
	h->ask_n = at;
	return true;
}

static nghttp2_nv nv(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
	        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static bool request_make(struct prober_h2 *h, const struct prober_h2_ask *ask)
{
	nghttp2_data_provider body = {.read_callback = on_pull};
	nghttp2_nv list[] = {nv(":method", h->grpc ? "POST" : "GET"), nv(":scheme", "http"),
	        nv(":path", ask->path ? ask->path : "/grpc.health.v1.Health/Check"),
	        nv(":authority", ask->host), nv("user-agent", "headgate-probe"),
	        nv("content-type", "application/grpc"), nv("te", "trailers")};
	size_t n = HG_COUNT(list) - (h->grpc ? 0 : 2);
	if (h->grpc && !message_make(h, ask->service)) return false;
	return nghttp2_submit_request(h->ng, NULL, list, n, h->grpc ? &body : NULL, NULL) == 1;
}

struct prober_h2 *prober_h2_new(const struct prober_h2_ask *ask, struct hg_buf *out)
{
	struct prober_h2 *h = calloc(1, sizeof *h);
	if (!h) return NULL;
	h->grpc = !ask->path;
	h->out = out;
	if (session_make(h) && request_make(h, ask) && nghttp2_session_send(h->ng) == 0) return h;
	prober_h2_free(h);
	return NULL;
}

void prober_h2_free(struct prober_h2 *h)
{
	if (!h) return;
	nghttp2_session_del(h->ng);
	free(h);
}

/* ---- the verdict ---- */

/* HealthCheckResponse {ServingStatus status = 1}; nothing is UNKNOWN. -1: it cannot be read. */
static int serving(const struct prober_h2 *h)
{
	const char *m = h->message;
	if (h->message_n < PREFIX || m[0] || m[1] || m[2] || m[3]) return -1;
	size_t n = (unsigned char)m[4];
	if (h->message_n != PREFIX + n) return -1;
	if (n == 0) return UNKNOWN;
	bool simple = n == 2 && m[PREFIX] == 0x08 && m[PREFIX + 1] <= SERVICE_UNKNOWN;
	return simple && m[PREFIX + 1] >= 0 ? m[PREFIX + 1] : -1;
}

static bool health_judge(const struct prober_h2 *h, char *why, size_t why_n)
{
	static const char *const name[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
	if (!h->grpc_said || h->grpc_status != GRPC_OK) {
		uint8_t status = h->grpc_said ? h->grpc_status : (uint8_t)GRPC_UNKNOWN;
		(void)snprintf(why, why_n, "answered grpc-status %u %s%s", status,
		        grpc_status_name(status),
		        status == GRPC_UNIMPLEMENTED ? ": it has no grpc.health.v1.Health" : "");
		return false;
	}
	int s = serving(h);
	(void)snprintf(why, why_n, "%s", s < 0 ? "the answer is no HealthCheckResponse" : name[s]);
	return s == SERVING;
}

static enum prober_h2_result judge(const struct prober_h2 *h, char *why, size_t why_n)
{
	bool good = h->status >= 200 && h->status < (h->grpc ? 300u : 400u);
	(void)snprintf(why, why_n, "answered %u %s", h->status, http1_reason(h->status));
	if (good && h->grpc) good = health_judge(h, why, why_n);
	return good ? PROBER_H2_GOOD : PROBER_H2_BAD;
}

enum prober_h2_result prober_h2_take(struct prober_h2 *h, struct hg_str bytes, struct hg_buf *out,
        unsigned *ret_status, char *why, size_t why_n)
{
	h->out = out;
	*ret_status = 0;
	if (nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes.p, bytes.n) < 0 ||
	        nghttp2_session_send(h->ng) < 0 ||
	        !(nghttp2_session_want_read(h->ng) || h->headed)) {
		(void)snprintf(why, why_n, "the answer is not HTTP/2");
		return PROBER_H2_BAD;
	}
	if (h->headed && (!h->grpc || h->ended || h->status != 200)) {
		*ret_status = h->status;
		return judge(h, why, why_n);
	}
	if (!h->reset) return PROBER_H2_MORE;
	(void)snprintf(why, why_n, "gave the request up (RST_STREAM)");
	return PROBER_H2_BAD;
}
