/* The rooms that live on the loop beside the logs, as long as the metrics store is open. */
#include "observe/host/host_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "meter/board.h"
#include "meter/meter.h"
#include "observe/collect/collect.h"
#include "observe/remote/remote.h"
#include "os/clock.h"

static int64_t wall_ms(void)
{
	return (int64_t)clock_wall_ms();
}

/* ---- collect ---- */

static void own(void *arg, struct hg_buf *to)
{
	host_metrics(arg, to);
}

static void collect_conf_(void *room, const struct observe_conf *c)
{
	collect_conf(room, c);
}

static void collect_image_(void *room, const struct snap_image *i)
{
	collect_image(room, i);
}

static void collect_tick_(void *room, uint64_t now_ms)
{
	collect_tick(room, now_ms);
}

static void collect_metrics_(void *room, struct hg_buf *to)
{
	collect_metrics(room, to);
}

static void collect_stop_(void *room)
{
	collect_last(room);
}

static void collect_free_(void *room)
{
	collect_free(room);
}

static enum hg_rc collect_make(struct host *h, struct host_room *to, struct hg_err *err)
{
	const struct warden_child *child = h->child;
	struct collect *c;
	const struct collect_options o = {.loop = h->loop,
	        .db = h->store.db,
	        .meter = meter_open(child->meter, child->meter_size),
	        .table = snap_table_open(child->table, child->table_size),
	        .board = board_open(child->board, child->board_size),
	        .now_ms = wall_ms,
	        .log = &h->log,
	        .data_dir = child->data_dir,
	        .warden_pid = h->warden_pid,
	        .own = own,
	        .arg = h};
	to->name = "collect";
	enum hg_rc rc = collect_new(&o, &c, err);
	if (rc < 0) return rc;
	h->scrape = collect_scrape(c);
	*to = (struct host_room){.name = "collect",
	        .room = c,
	        .conf = collect_conf_,
	        .image = collect_image_,
	        .tick = collect_tick_,
	        .metrics = collect_metrics_,
	        .stop = collect_stop_,
	        .free = collect_free_};
	return HG_OK;
}

/* ---- remote ---- */

#define REMOTE_RULES_MAX (OBSERVE_REMOTES_MAX * OBSERVE_RELABELS_MAX)

_Static_assert(sizeof(struct observe_conf_label) == sizeof(struct label) &&
                       offsetof(struct observe_conf_label, value) == offsetof(struct label, value),
        "a label is a label");
_Static_assert(sizeof(struct observe_conf_label) == sizeof(struct remote_header) &&
                       offsetof(struct observe_conf_label, value) ==
                               offsetof(struct remote_header, value),
        "and a header one too");

static struct remote_target_conf remote_target(
        const struct observe_conf_remote_target *t, struct relabel_conf *rule)
{
	for (uint32_t i = 0; i < t->relabel_n; i++) {
		const struct observe_conf_relabel *r = &t->relabel[i];
		rule[i] = (struct relabel_conf){.source = r->source,
		        .source_n = r->source_n,
		        .separator = r->has_separator
		                             ? (struct hg_str){r->separator.p ? r->separator.p : "",
		                                       r->separator.n}
		                             : (struct hg_str){0},
		        .regex = r->regex,
		        .target = r->target,
		        .replacement = r->has_replacement
		                               ? (struct hg_str){r->replacement.p ? r->replacement.p
		                                                                  : "",
		                                         r->replacement.n}
		                               : (struct hg_str){0}};
		/* One that is not known is refused as what it then is. */
		if (!relabel_action_parse(r->action, &rule[i].action))
			rule[i].action = RELABEL_HASHMOD;
	}
	return (struct remote_target_conf){.name = t->name,
	        .url = t->url,
	        .user = t->user,
	        .password = t->password,
	        .bearer = t->token,
	        .headers = (const struct remote_header *)t->headers,
	        .header_n = t->header_n,
	        .timeout_ms = t->timeout_ms,
	        .shards = t->shards,
	        .relabel = rule,
	        .relabel_n = t->relabel_n};
}

struct host_remote {
	struct host *host;
	struct remote *remote;
	char dir[512];
};

static void remote_conf_(void *room, const struct observe_conf *c)
{
	struct host_remote *hr = room;
	struct remote_target_conf target[OBSERVE_REMOTES_MAX];
	struct hg_err err = {0};
	struct relabel_conf *rule = calloc(REMOTE_RULES_MAX, sizeof *rule), *at = rule;
	struct remote_conf conf = {.receive = c->remote.receive,
	        .external = (const struct label *)c->remote.labels,
	        .external_n = c->remote.label_n,
	        .targets = target,
	        .target_n = c->remote.target_n};
	for (uint32_t i = 0; rule && i < conf.target_n; i++) {
		target[i] = remote_target(&c->remote.targets[i], at);
		at += c->remote.targets[i].relabel_n;
	}
	enum hg_rc rc = rule ? remote_apply(hr->remote, &conf, &err) : HG_E_NOMEM;
	if (rc < 0)
		hg_log(&hr->host->log, HG_ERROR, "remote.conf_refused", HG_S("error", err.message),
		        HG_S("code", hg_rc_info(rc)->code));
	free(rule);
}

static bool remote_http_(void *room, struct serve_call *call, const struct serve_request *req)
{
	return remote_http(((struct host_remote *)room)->remote, call, req);
}

static void remote_metrics_(void *room, struct hg_buf *to)
{
	remote_metrics(((struct host_remote *)room)->remote, to);
}

static void remote_free_(void *room)
{
	remote_free(((struct host_remote *)room)->remote);
	free(room);
}

static enum hg_rc remote_make(struct host *h, struct host_room *to, struct hg_err *err)
{
	struct host_remote *hr = calloc(1, sizeof *hr);
	to->name = "remote";
	if (!hr) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	hr->host = h;
	(void)snprintf(hr->dir, sizeof hr->dir, "%s/remote", h->child->data_dir);
	struct remote_options o = {.loop = h->loop,
	        .db = h->store.db,
	        .dir = hr->dir,
	        .now_ms = wall_ms,
	        .log = &h->log};
	enum hg_rc rc = remote_new(&o, &hr->remote, err);
	if (rc < 0) {
		free(hr);
		return rc;
	}
	*to = (struct host_room){.name = "remote",
	        .room = hr,
	        .http = remote_http_,
	        .conf = remote_conf_,
	        .metrics = remote_metrics_,
	        .free = remote_free_};
	return HG_OK;
}

/* ---- all of them ---- */

/* Each makes its room and fills in `to`; a failure leaves it out. The order is that of the list,
 * and the reverse at the end: who reads what another writes comes after it. */
static enum hg_rc (*const makers[])(struct host *h, struct host_room *to, struct hg_err *err) = {
        collect_make, /* whose scraper others may ask about: the first */
        remote_make,
};

void rooms_open(struct host *h)
{
	_Static_assert(HG_COUNT(makers) <= HOST_ROOMS_MAX, "each has its place");
	for (size_t i = 0; i < HG_COUNT(makers); i++) {
		struct host_room *to = &h->rooms[h->room_count];
		struct hg_err err = {0};
		*to = (struct host_room){0};
		enum hg_rc rc = makers[i](h, to, &err);
		if (rc == HG_OK) {
			h->room_count++;
			continue;
		}
		hg_log(&h->log, HG_ERROR, "observe.room_failed", HG_S("room", to->name ? to->name : ""),
		        HG_S("error", err.message), HG_S("code", hg_rc_info(rc)->code));
	}
	rooms_tell_conf(h);
	rooms_tell_image(h);
}

void rooms_close(struct host *h)
{
	while (h->room_count) {
		struct host_room *r = &h->rooms[--h->room_count];
		if (r->free) r->free(r->room);
		*r = (struct host_room){0};
	}
	h->scrape = NULL;
}

void rooms_tell_conf(struct host *h)
{
	for (uint32_t i = 0; i < h->room_count; i++)
		if (h->rooms[i].conf) h->rooms[i].conf(h->rooms[i].room, &h->conf);
}

void rooms_tell_image(struct host *h)
{
	for (uint32_t i = 0; i < h->room_count && h->image; i++)
		if (h->rooms[i].image) h->rooms[i].image(h->rooms[i].room, h->image);
}

void rooms_tick(struct host *h, uint64_t now_ms)
{
	for (uint32_t i = 0; i < h->room_count; i++)
		if (h->rooms[i].tick) h->rooms[i].tick(h->rooms[i].room, now_ms);
}

void rooms_stop(struct host *h)
{
	for (uint32_t i = 0; i < h->room_count; i++)
		if (h->rooms[i].stop) h->rooms[i].stop(h->rooms[i].room);
}
