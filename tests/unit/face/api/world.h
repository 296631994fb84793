/* The API over fakes and a real store, and how a test asks it. */
#ifndef TESTS_FACE_API_WORLD_H
#define TESTS_FACE_API_WORLD_H

#include "fakes.h"

#include <stdio.h>

#include "face/api/api.c"

struct world {
	char dir[64];
	struct loop *loop;
	struct store *store;
	struct fleet fleet;
	struct rollouts rollouts;
	struct meter *meter;
	struct api *api;
	bool is_ready;
	enum hg_rc reload_rc;
	uint32_t reloads;
};

static bool ready(void *arg, const char **ret_why)
{
	struct world *w = arg;
	*ret_why = "no snapshot yet";
	return w->is_ready;
}

static enum hg_rc reload(
        void *arg, const struct api_config *c, struct hg_buf *ret_diff, struct hg_err *err)
{
	struct world *w = arg;
	w->reloads++;
	if (w->reload_rc < 0) {
		hg_err_set(err, w->reload_rc, "unknown key \"x\"");
		hg_err_place(err, c->file.p, 3, 1);
		return w->reload_rc;
	}
	hg_buf_cstr(ret_diff, "~ apps.web.replicas: 1 → 2\n+ apps.new\n");
	return HG_OK;
}

static int setup(void **s)
{
	struct world *w = calloc(1, sizeof *w);
	struct hg_err err = {0};
	snprintf(w->dir, sizeof w->dir, "/tmp/hg-api-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(loop_new(&w->loop), HG_OK);
	assert_int_equal(store_open(w->dir, &w->store, &err), HG_OK);
	w->meter = calloc(1, meter_size(1));
	meter_init(w->meter, 1);
	struct api_deps d = {.loop = w->loop,
	        .fleet = &w->fleet,
	        .rollouts = &w->rollouts,
	        .store = w->store,
	        .meter = w->meter,
	        .data_dir = w->dir,
	        .control_fd = -1,
	        .admin_fd = -1,
	        .owner_uid = 1000,
	        .reload = reload,
	        .ready = ready,
	        .arg = w};
	assert_int_equal(api_new(&d, &w->api, &err), HG_OK);
	*s = w;
	return 0;
}

static int teardown(void **s)
{
	struct world *w = *s;
	char command[128];
	api_free(w->api);
	store_close(w->store);
	loop_free(w->loop);
	free(w->meter);
	snprintf(command, sizeof command, "rm -r %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

struct ask {
	const char *method, *path, *query, *body, *token, *host, *accept, *last_id, *fields;
	bool tcp, far;
	uint32_t uid;
};

/* One request through the dispatcher; the answer is in *c, which the caller frees with call_free.
 */
static void ask(struct world *w, const struct ask *q, struct serve_call *c)
{
	/* A call that is answered later looks at its request again. */
	static struct http1_head head;
	static struct serve_request req;
	static char text[1024];
	char raw[256];
	struct hg_out o = hg_out_over(text, sizeof text);
	memset(c, 0, sizeof *c);
	hg_buf_init(&c->fields, 4096);
	hg_buf_init(&c->body, 1u << 22);
	snprintf(raw, sizeof raw, "%s%s%s", q->path, q->query ? "?" : "", q->query ? q->query : "");
	hg_out_fmt(&o, "%s %s HTTP/1.1\r\nHost: %s\r\n", q->method, raw,
	        q->host ? q->host : "127.0.0.1:4323");
	if (q->token) hg_out_fmt(&o, "Authorization: Bearer %s\r\n", q->token);
	if (q->accept) hg_out_fmt(&o, "Accept: %s\r\n", q->accept);
	if (q->last_id) hg_out_fmt(&o, "Last-Event-ID: %s\r\n", q->last_id);
	if (q->fields) hg_out_cstr(&o, q->fields);
	hg_out_cstr(&o, "\r\n");
	assert_false(hg_out_failed(&o));
	assert_int_equal(http1_request((struct hg_str){text, o.n}, 0, &HTTP1_LIMITS_DEFAULT, &head),
	        HTTP1_DONE);
	req = (struct serve_request){.head = &head,
	        .method = head.method,
	        .path = hg_str(q->path),
	        .query = hg_str(q->query ? q->query : ""),
	        .body = hg_str(q->body ? q->body : ""),
	        .listener = q->tcp ? API_TAG_TCP : API_TAG_UNIX,
	        .peer_uid = q->tcp   ? UINT32_MAX
	                    : q->uid ? q->uid
	                             : 1000};
	sock_addr_tcp4(q->far ? 0x0a000001 : 0x7f000001, 999, &req.peer);
	handle(w->api, c, &req);
}

static void call_free(struct serve_call *c)
{
	hg_buf_free(&c->fields);
	hg_buf_free(&c->body);
}

static json_t *ask_json(struct world *w, const struct ask *q, unsigned want_status)
{
	struct serve_call c;
	ask(w, q, &c);
	if (c.status != want_status)
		fail_msg("%s %s: %u, want %u: %s", q->method, q->path, c.status, want_status,
		        hg_buf_text(&c.body));
	json_t *j = json_loadb(c.body.p, c.body.n, 0, NULL);
	assert_non_null(j);
	if (want_status >= 400) {
		assert_string_equal(c.type, "application/problem+json");
		assert_int_equal(
		        json_integer_value(json_object_get(j, "status")), (int)want_status);
		assert_int_equal(
		        strncmp(json_string_value(json_object_get(j, "code")), "HG", 2), 0);
	} else {
		assert_int_equal(
		        strncmp(json_string_value(json_object_get(j, "schema")), "headgate.", 9),
		        0);
	}
	call_free(&c);
	return j;
}

HG_UNUSED static unsigned ask_status(struct world *w, const struct ask *q)
{
	struct serve_call c;
	ask(w, q, &c);
	unsigned status = c.status;
	call_free(&c);
	return status;
}

HG_UNUSED static void text_of(json_t *j, const char *key, char to[128])
{
	const char *v = json_string_value(json_object_get(j, key));
	snprintf(to, 128, "%s", v ? v : "");
	json_decref(j);
}

HG_UNUSED static char *token_new(struct world *w, const char *name, const char *role)
{
	char body[128];
	snprintf(body, sizeof body, "{\"name\":\"%s\",\"role\":\"%s\"}", name, role);
	json_t *j = ask_json(
	        w, &(struct ask){.method = "POST", .path = "/v1/tokens", .body = body}, 201);
	char *text = strdup(json_string_value(json_object_get(j, "token")));
	json_decref(j);
	return text;
}

#endif
