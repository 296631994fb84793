/* The rooms that live on the loop beside the logs, as long as the metrics store is open. */
#include "observe/host/host_priv.h"

#include "meter/board.h"
#include "meter/meter.h"
#include "observe/api/api.h"
#include "observe/collect/collect.h"
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

/* ---- api ---- */

static bool api_http(void *room, struct serve_call *call, const struct serve_request *req)
{
	return promapi_http(room, call, req);
}

static void api_metrics(void *room, struct hg_buf *to)
{
	promapi_metrics(room, to);
}

static void api_free_(void *room)
{
	promapi_free(room);
}

static enum hg_rc api_make(struct host *h, struct host_room *to, struct hg_err *err)
{
	const struct promapi_options o = {.loop = h->loop,
	        .db = h->store.db,
	        .lock = &h->lock,
	        .now_ms = wall_ms,
	        .log = &h->log,
	        .scrape = h->scrape,
	        .version = HG_VERSION,
	        .dir = h->store.dir,
	        .keep_ms = (uint64_t)h->store.o.keep_ms};
	to->name = "api";
	enum hg_rc rc = promapi_new(&o, &h->api, err);
	if (rc < 0) return rc;
	*to = (struct host_room){.name = "api",
	        .room = h->api,
	        .http = api_http,
	        .metrics = api_metrics,
	        .free = api_free_};
	return HG_OK;
}

/* ---- all of them ---- */

/* Each makes its room and fills in `to`; a failure leaves it out. The order is that of the list,
 * and the reverse at the end: who reads what another writes comes after it. */
static enum hg_rc (*const makers[])(struct host *h, struct host_room *to, struct hg_err *err) = {
        collect_make, /* whose scraper others may ask about: the first */
        api_make,     /* takes all of /api/v1 that nobody before it has taken: the last */
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
		hg_log(&h->log, HG_ERROR, "observe.room_failed",
		        HG_S("room", to->name ? to->name : ""), HG_S("error", err.message),
		        HG_S("code", hg_rc_info(rc)->code));
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
	h->api = NULL;
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
