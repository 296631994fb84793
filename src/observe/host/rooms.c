/* The rooms that live on the loop beside the logs, as long as the metrics store is open. */
#include "observe/host/host_priv.h"

#include "meter/board.h"
#include "meter/meter.h"
#include "observe/api/api.h"
#include "observe/collect/collect.h"
#include "observe/rules/rules.h"
#include "observe/scrape/scrape.h"
#include "os/clock.h"

#define RULES_JSON_MAX ((size_t)64 << 20)
#define CONF_SHOWN_MAX ((size_t)1 << 20)

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

/* ---- where samples come from, for those elsewhere ---- */

/* observe.labels; borrowed from the builder. */
static struct labels external_of(const struct observe_conf *c, struct labels_builder *b)
{
	struct labels ls = {0};
	labels_builder_reset(b);
	for (uint32_t i = 0; i < c->remote.label_n; i++)
		labels_builder_set(b, c->remote.labels[i].name, c->remote.labels[i].value);
	if (labels_builder_done(b, &ls) < 0) return (struct labels){0};
	return ls;
}

/* ---- rules ---- */

static bool rules_http_(void *room, struct serve_call *call, const struct serve_request *req)
{
	return rules_http(room, call, req);
}

/* After that long every series that comes again and again has come twice: rates are there again. */
static int64_t settle_ms(const struct observe_conf *c)
{
	uint32_t longest = COLLECT_INTERVAL_MS;
	for (uint32_t i = 0; i < c->app_n; i++)
		longest = HG_MAX(longest,
		        c->apps[i].interval_ms ? c->apps[i].interval_ms : SCRAPE_INTERVAL_MS);
	for (uint32_t i = 0; i < c->target_n; i++)
		longest = HG_MAX(longest,
		        c->targets[i].interval_ms ? c->targets[i].interval_ms : SCRAPE_INTERVAL_MS);
	return 2 * (int64_t)longest;
}

static void rules_conf_(void *room, const struct observe_conf *c)
{
	struct rules_source files[OBSERVE_RULES_MAX];
	struct hg_err err = {0};
	for (uint32_t i = 0; i < c->rules.file_n; i++)
		files[i] = (struct rules_source){c->rules.files[i].name, c->rules.files[i].text};
	struct labels_builder b;
	labels_builder_init(&b);
	const struct rules_conf conf = {.files = files,
	        .file_count = c->rules.file_n,
	        .external = external_of(c, &b),
	        .every_ms = c->rules.every_ms,
	        .url = c->rules.url,
	        .builtin = true,
	        .configured = c->told,
	        .settle_ms = settle_ms(c)};
	/* Control has checked them; what another version of it took stays out, and the log says so.
	 */
	if (rules_apply(room, &conf, &err) < 0) rules_complain(room, &err);
	labels_builder_fini(&b);
}

static void rules_metrics_(void *room, struct hg_buf *to)
{
	rules_metrics(room, to);
}

static void rules_free_(void *room)
{
	rules_free(room);
}

static enum hg_rc rules_make(struct host *h, struct host_room *to, struct hg_err *err)
{
	struct rules *r;
	const struct rules_options o = {.loop = h->loop,
	        .db = h->store.db,
	        .log = &h->log,
	        .wall_ms = wall_ms,
	        .lock = observe_lock_take,
	        .unlock = observe_lock_give,
	        .lock_arg = &h->lock};
	to->name = "rules";
	enum hg_rc rc = rules_new(&o, &r, err);
	if (rc < 0) return rc;
	h->rules = r;
	*to = (struct host_room){.name = "rules",
	        .room = r,
	        .http = rules_http_,
	        .conf = rules_conf_,
	        .metrics = rules_metrics_,
	        .free = rules_free_};
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

static void api_conf_(void *room, const struct observe_conf *c)
{
	struct labels_builder b;
	labels_builder_init(&b);
	/* Without memory for a copy /federate goes on with those before. */
	(void)!promapi_external_labels(room, external_of(c, &b));
	labels_builder_fini(&b);
	struct hg_buf text;
	hg_buf_init(&text, CONF_SHOWN_MAX);
	host_conf_show(c, &text);
	if (text.failed) {
		hg_buf_reset(&text);
		hg_buf_cstr(&text, "# larger than 1 MiB\n");
	}
	(void)!promapi_config_text(room, hg_buf_view(&text));
	hg_buf_free(&text);
}

static void api_free_(void *room)
{
	promapi_free(room);
}

/* Empty is everything, also when there are no rules. */
static void raw_json(struct json_out *to, const struct hg_buf *text, const char *none)
{
	json_out_raw(to, text->failed || !text->n ? hg_str(none) : hg_buf_view(text));
}

static void api_rules(void *arg, const struct promapi_rules_ask *ask, struct json_out *to)
{
	const struct rules_filter f = {.no_alerting = !ask->alerting && ask->recording,
	        .no_recording = !ask->recording && ask->alerting,
	        .no_alerts = ask->without_alerts,
	        .names = ask->names,
	        .groups = ask->groups,
	        .files = ask->files,
	        .name_n = ask->name_n,
	        .group_n = ask->group_n,
	        .file_n = ask->file_n};
	struct hg_buf text;
	hg_buf_init(&text, RULES_JSON_MAX);
	rules_json(arg, &f, &text);
	raw_json(to, &text, "{\"groups\":[]}");
	hg_buf_free(&text);
}

static void api_alerts(void *arg, struct json_out *to)
{
	struct hg_buf text;
	hg_buf_init(&text, RULES_JSON_MAX);
	rules_alerts_json(arg, &text);
	raw_json(to, &text, "{\"alerts\":[]}");
	hg_buf_free(&text);
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
	const struct promapi_rules rules = {h->rules, api_rules, api_alerts};
	enum hg_rc rc = promapi_new(&o, &h->api, err);
	if (rc < 0) return rc;
	promapi_rules_set(h->api, h->rules ? &rules : NULL);
	*to = (struct host_room){.name = "api",
	        .room = h->api,
	        .http = api_http,
	        .conf = api_conf_,
	        .metrics = api_metrics,
	        .free = api_free_};
	return HG_OK;
}

/* ---- all of them ---- */

/* Each makes its room and fills in `to`; a failure leaves it out. The order is that of the list,
 * and the reverse at the end: who reads what another writes comes after it. */
static enum hg_rc (*const makers[])(struct host *h, struct host_room *to, struct hg_err *err) = {
        collect_make,                 /* whose scraper others may ask about: the first */
        host_remote_make, rules_make, /* whose alerts the API shows */
        api_make, /* takes all of /api/v1 that nobody before it has taken: the last */
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
	h->rules = NULL;
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
