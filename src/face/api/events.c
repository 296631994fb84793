/* The journal as a list, and as server-sent events that resume where a client left off. */
#include "live_priv.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define STREAM_MAGIC 0x45565453u
#define PUSH_MAX     128 /* events a stream is given in one go */
#define HEARTBEAT_MS 15000

json_t *api_event_json(const struct store_event *e)
{
	json_t *evidence = json_loadb(e->text.p, e->text.n, 0, NULL);
	json_t *j = json_object();
	json_object_set_new(j, "id", json_integer((json_int_t)e->id));
	json_object_set_new(j, "ts_ms", json_integer((json_int_t)e->ts_ms));
	json_object_set_new(j, "kind", api_json_str(e->kind));
	json_object_set_new(j, "app", api_json_str(e->app));
	json_object_set_new(j, "release", json_integer(e->release));
	json_object_set_new(j, "replica", json_integer(e->replica));
	json_object_set_new(j, "evidence", evidence ? evidence : api_json_str(e->text));
	return j;
}

static void stream_free(struct event_stream *s)
{
	hg_list_remove(&s->node);
	s->api->event_count--;
	if (s->live) api_live_gone(s);
	s->magic = 0;
	free(s);
}

static void on_gone(void *arg)
{
	stream_free(HG_OBJ(arg, struct event_stream, STREAM_MAGIC));
}

void api_stream_write(struct event_stream *s, struct hg_str text)
{
	s->full = !serve_write(s->call, text);
	s->quiet_since_ms = clock_mono_ms();
}

static void write_event(void *arg, const struct store_event *e)
{
	struct event_stream *s = HG_OBJ(arg, struct event_stream, STREAM_MAGIC);
	struct hg_buf b;
	if (s->full) return; /* read again when there is room */
	json_t *j = api_event_json(e);
	char *text = json_dumps(j, JSON_COMPACT);
	hg_buf_init(&b, 1u << 20);
	hg_buf_fmt(&b, "id: %llu\nevent: %.*s\ndata: %s\n\n", (unsigned long long)e->id,
	        HG_STR_ARG(s->live ? HG_STR("event") : e->kind), text ? text : "{}");
	if (!b.failed) api_stream_write(s, hg_buf_view(&b));
	s->last = e->id;
	s->sent++;
	hg_buf_free(&b);
	free(text);
	json_decref(j);
}

static void stream_end(struct event_stream *s)
{
	struct serve_call *call = s->call;
	stream_free(s);
	serve_end(call);
}

/* Everything the client has not seen, as far as there is room; more comes with the next turn. */
static void stream_push(struct event_stream *s)
{
	struct api *a = s->api;
	if (s->live && !s->full) api_live_push(s);
	if (s->full) return;
	s->sent = 0;
	if (store_events(a->d.store, s->last, hg_str(s->app), PUSH_MAX, write_event, s, NULL) < 0) {
		stream_end(s); /* a client that reconnects with its last id loses nothing */
		return;
	}
	if (s->sent == PUSH_MAX && !s->full) loop_task_queue(a->d.loop, &a->events_task);
}

static void on_writable(void *arg)
{
	struct event_stream *s = HG_OBJ(arg, struct event_stream, STREAM_MAGIC);
	s->full = false;
	stream_push(s);
}

void api_events_push(struct loop *l, struct loop_task *t)
{
	struct api *a = HG_CONTAINER(t, struct api, events_task);
	(void)l;
	HG_LIST_EACH_SAFE (node, after, &a->event_streams) {
		stream_push(HG_CONTAINER(node, struct event_stream, node));
	}
}

void api_events_heartbeat(struct api *a)
{
	uint64_t now = clock_mono_ms();
	HG_LIST_EACH_SAFE (node, after, &a->event_streams) {
		struct event_stream *s = HG_CONTAINER(node, struct event_stream, node);
		if (s->full || now - s->quiet_since_ms < HEARTBEAT_MS) continue;
		api_stream_write(s, HG_STR(": still here\n\n"));
	}
}

void api_events_check(struct api *a, uint64_t now_ms)
{
	HG_LIST_EACH_SAFE (node, after, &a->event_streams) {
		struct event_stream *s = HG_CONTAINER(node, struct event_stream, node);
		if (api_by_over(a, &s->by, now_ms)) stream_end(s);
	}
}

static void last_id(void *arg, const struct store_event *e)
{
	*(uint64_t *)arg = e->id;
}

static enum hg_rc stream_new(
        struct api_request *r, uint64_t after, struct live_reader *live, struct hg_err *err)
{
	struct api *a = r->api;
	struct event_stream *s = calloc(1, sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "no memory for an event stream");
	s->magic = STREAM_MAGIC;
	s->api = a;
	s->call = r->call;
	s->last = after;
	s->live = live;
	s->by = r->by;
	if (!serve_query(r->req->query, "app", s->app, sizeof s->app)) s->app[0] = 0;
	hg_list_append(&a->event_streams, &s->node);
	a->event_count++;
	r->answered = true;
	serve_field(r->call, "Cache-Control", HG_STR("no-store"));
	serve_stream(r->call, 200, "text/event-stream", on_writable, on_gone, s);
	/* The first bytes at once, so that a client knows it is connected. */
	api_stream_write(s, HG_STR("retry: 1000\n\n"));
	loop_task_queue(a->d.loop, &a->events_task);
	return HG_OK;
}

enum hg_rc api_stream_open(struct api_request *r, uint64_t after, bool from_now,
        struct live_reader *live, struct hg_err *err)
{
	struct api *a = r->api;
	enum hg_rc rc = HG_OK;
	if (a->event_count >= API_STREAMS_MAX)
		rc = hg_err_set(err, HG_E_API_STREAMS, "%u event streams are open already",
		        API_STREAMS_MAX);
	if (rc == HG_OK && from_now) {
		after = 0;
		rc = store_events_last(a->d.store, (struct hg_str){0}, 1, last_id, &after, err);
	}
	if (rc == HG_OK) rc = stream_new(r, after, live, err);
	if (rc < 0) free(live);
	return rc;
}

enum hg_rc api_stream_resume(
        const struct api_request *r, uint64_t *ret_after, bool *ret_from_now, struct hg_err *err)
{
	const struct http1_field *resume = http1_find_name(r->req->head, HG_STR("Last-Event-ID"));
	*ret_after = UINT64_MAX;
	enum hg_rc rc = api_query_u64(r, "after", INT64_MAX, ret_after, err);
	if (rc < 0) return rc;
	if (resume && (!hg_str_u64(resume->value, ret_after) || *ret_after > INT64_MAX))
		return hg_err_set(err, HG_E_API_BODY, "Last-Event-ID is not an id of ours");
	*ret_from_now = *ret_after == UINT64_MAX;
	return HG_OK;
}

static void list_event(void *arg, const struct store_event *e)
{
	json_array_append_new(arg, api_event_json(e));
}

enum hg_rc api_get_events(struct api_request *r, struct hg_err *err)
{
	const struct http1_field *accept = http1_find(r->req->head, HTTP1_F_ACCEPT);
	uint64_t after, limit = 100;
	bool from_now = true;
	char app[WD_NAME_MAX] = "";
	enum hg_rc rc = api_stream_resume(r, &after, &from_now, err);
	if (rc == HG_OK) rc = api_query_u64(r, "limit", 1000, &limit, err);
	if (rc < 0) return rc;
	if (accept && http1_list_has(accept->value, HG_STR("text/event-stream")))
		return api_stream_open(r, after, from_now, NULL, err);
	if (!serve_query(r->req->query, "app", app, sizeof app)) app[0] = 0;
	json_t *list = json_array();
	rc = from_now ? store_events_last(r->api->d.store, hg_str(app), (uint32_t)limit, list_event,
	                        list, err)
	              : store_events(r->api->d.store, after, hg_str(app), (uint32_t)limit,
	                        list_event, list, err);
	r->reply = json_pack("{s:s,s:o}", "schema", "headgate.events/1", "events", list);
	return rc;
}

static void end_all(struct hg_list *streams)
{
	HG_LIST_EACH_SAFE (node, after, streams) {
		stream_end(HG_CONTAINER(node, struct event_stream, node));
	}
}

void api_events_end(struct api *a)
{
	end_all(&a->event_streams);
}
