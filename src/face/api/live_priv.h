/*
 * Streams of events inside of the API. /v1/events is the journal; /v1/live is the journal and,
 * before it, what is: parts of the present state, each of them a text of JSON that is made once for
 * all readers and remembers in which turn it last changed. A reader remembers the turn it has seen,
 * so what it has missed is always one text a part, however slow it is.
 */
#ifndef FACE_API_LIVE_PRIV_H
#define FACE_API_LIVE_PRIV_H

#include "api_priv.h"
#include "wire/json.h"

#define LIVE_POINTS    900u    /* of a trace: fifteen minutes */
#define LIVE_TRACES    32u     /* rollouts that have one */
#define LIVE_KEEP_MS   600000u /* a trace, after its rollout has ended */
#define LIVE_WINDOW_MS 5500u   /* what quantiles and the split are of: five seconds */
#define LIVE_SECOND_MS 900u    /* what rates are of, at least */
#define LIVE_LOOKS     16u     /* that are remembered for them */
#define LIVE_SOON_MS   20u     /* after news of the journal */
#define LIVE_TEXT_MAX  ((size_t)32 << 20)
#define LIVE_TICK_MS   1000u
#define LIVE_QUICK_MS  250u   /* while somebody reads a rollout */
#define LIVE_CLOCK_MS  5000u  /* `tick` */
#define LIVE_COUNTS_MS 10000u /* counts are looked at without news of the journal */

struct live_reader {
	uint64_t seen;    /* turn that it has seen; 0: nothing yet */
	uint64_t rollout; /* 0: of none */
	struct live_doc *doc;
	uint64_t traced; /* points of the trace that it has */
	bool greeted, trace_begun;
	uint64_t told_ms; /* when it was told the time */
	char who[96];
	enum api_role role;
};

struct event_stream {
	uint32_t magic;
	struct hg_list node; /* of api.event_streams */
	struct api *api;
	struct serve_call *call;
	uint64_t last; /* id of the last event that was written */
	uint64_t quiet_since_ms;
	char app[WD_NAME_MAX];
	bool full; /* waits for room */
	uint32_t sent;
	struct live_reader *live; /* owned; NULL: the journal alone */
	struct api_by by;
};

/* ---- events.c ---- */

/* `after`: the id to go on behind, or from now on. Reads Last-Event-ID and `after`. */
HG_MUST enum hg_rc api_stream_resume(
        const struct api_request *r, uint64_t *ret_after, bool *ret_from_now, struct hg_err *err);
/* Takes `live` (NULL: the journal alone), also when it fails. */
HG_MUST enum hg_rc api_stream_open(struct api_request *r, uint64_t after, bool from_now,
        struct live_reader *live, struct hg_err *err);
/* Writes whole events; the stream is `full` when its client has enough to read for now. */
void api_stream_write(struct event_stream *s, struct hg_str text);

/* ---- rows.c: apps and replicas as JSON ---- */

/* {"name": … "replicas": […], "routes": […]}, as /v1/status has it. */
void api_app_write(struct json_out *j, const struct api *a, const struct fleet_app_status *s);
void api_replica_write(struct json_out *j, const struct fleet_replica_status *s);
void api_routes_write(struct json_out *j, const struct fleet_app_status *s);
void api_maintenance_write(struct json_out *j, const struct fleet_app_status *s);
void api_rates_write(struct json_out *j, const struct api *a, const char *app);
/* ---- state.c: members of an open object ---- */
void api_platform_write(struct json_out *j, const struct api *a, const struct fleet_status *s);

/* ---- live_part.c: pure ---- */

struct live_part {
	struct hg_buf text;
	uint64_t turn; /* when it last changed; 0: there is none */
};

void live_part_init(struct live_part *p);
void live_part_free(struct live_part *p);
/* Takes what is in `fresh` if it is another text; `fresh` is empty afterwards. True: it was. */
bool live_part_set(struct live_part *p, struct hg_buf *fresh, uint64_t turn);

/* Of rows and of replicas: when it was last there, and when it was no longer (0: it is there). */
struct live_there {
	uint64_t looked, gone; /* turns */
};

struct live_replica {
	uint32_t number;
	struct live_there there;
	struct live_part part; /* an object */
};

/* By number. */
struct live_replicas {
	struct live_replica *at;
	uint32_t n, cap;
	uint64_t turn; /* when one of them last changed, came or went; 0: they were never looked at
	                */
	bool partly;   /* there was no memory for one of them: it is still to be looked at */
};

struct live_row {
	char name[WD_NAME_MAX];
	struct live_part head; /* an object without replicas */
	struct live_replicas replicas;
	struct live_there there;
	uint32_t release; /* whose name `version` is */
	char version[FLEET_VERSION_MAX];
};

struct live_rows {
	struct live_row **at;
	uint32_t n, cap;
};

/* The row of this name, a new one if need be; `hint`: where it probably is. NULL: no memory. */
struct live_row *live_row_open(struct live_rows *rows, const char *name, uint32_t hint);
/* Rows that were not looked at in this turn are gone; those that all readers know to be gone, as
 * they have seen turn `least`, are forgotten. */
void live_rows_sweep(struct live_rows *rows, uint64_t turn, uint64_t least);
/* The replica of this number, which was looked at in this turn; a new one if need be. `hint` as
 * above. NULL: no memory. */
struct live_replica *live_replica_open(
        struct live_replicas *list, uint32_t number, uint32_t hint, uint64_t turn);
/* Takes what is in `fresh`, as live_part_set does. */
void live_replica_set(
        struct live_replicas *list, struct live_replica *r, struct hg_buf *fresh, uint64_t turn);
/* As live_rows_sweep. */
void live_replicas_sweep(struct live_replicas *list, uint64_t turn, uint64_t least);
/* {"all":…,"apps":[…],"gone":[…]}: what changed after turn `seen`; false: nothing did. A row has
 * "replicas" and "replicas_gone" when one of them changed: those that did. */
bool live_rows_write(const struct live_rows *rows, uint64_t seen, struct hg_buf *to);
void live_rows_free(struct live_rows *rows);

/* ---- live_trace.c ---- */

enum live_arm { LIVE_NEW, LIVE_OLD, LIVE_ARMS };

/* What is read of a rollout once a second. */
struct live_look {
	uint64_t wall_ms;
	double set, evidence;
	uint64_t rescued, seen;
	struct api_point arm[LIVE_ARMS];
};

/* NaN: not known. */
struct live_numbers {
	double rate, error_ratio, p50, p95;
};
struct live_point {
	double t_ms, set, actual, evidence, rescued, seen;
	struct live_numbers arm[LIVE_ARMS];
};

/* Pure: rates of the time since `before`, quantiles and split of that since `window`;
 * either may be `now` itself. */
struct live_point live_point_of(const struct live_look *before, const struct live_look *window,
        const struct live_look *now);

struct live_trace {
	struct hg_list node; /* of api_live.traces */
	uint64_t id;
	char app[WD_NAME_MAX];
	uint32_t release[LIVE_ARMS];
	uint64_t looked_ms; /* monotonic; when its rollout was last there */
	bool over;          /* it is no longer, and the last point says how it ended */
	uint32_t looks;     /* in `past` */
	struct live_look past[LIVE_LOOKS];   /* newest last */
	uint64_t n;                          /* points that it ever had */
	struct live_point ring[LIVE_POINTS]; /* point i is at i % LIVE_POINTS */
};

/* The next point of a trace; of the first one only what needs no other is known. */
void live_trace_add(struct live_trace *t, const struct live_look *look);
/* Looks at all rollouts that run; not `whole`: at those whose weight is another than it was. What
 * has ended gets its last point, and is forgotten when that is long ago. */
void live_traces_tick(struct api *a, struct hg_list *traces, uint64_t now_ms, bool whole);
void live_traces_free(struct hg_list *traces);
/* The event for a reader that has `have` points (begun: it has had one), and how many it then
 * has; false: there is nothing new. `t` may be NULL. */
bool live_trace_write(
        const struct live_trace *t, uint64_t id, bool begun, uint64_t *have, struct hg_buf *to);
struct live_trace *live_trace_find(const struct hg_list *traces, uint64_t id);

/* ---- live.c ---- */

/* A rollout's document that somebody reads. */
struct live_doc {
	struct hg_list node; /* of api_live.docs */
	uint64_t id;
	uint32_t readers;
	struct live_part part;
	bool over; /* it has ended, and this is how */
};

struct api_live {
	struct api *api;
	struct loop_timer timer;
	struct hg_list traces; /* also while nobody reads */
	/* The present state, as of `turn`; nothing of it while nobody reads. */
	uint64_t turn;
	struct live_rows rows;
	struct live_part platform, counts;
	struct fleet_status *last; /* what `rows` were made of */
	/* What changed from one turn to another, as text: most readers are at the same turn. */
	struct {
		struct hg_buf text;
		uint64_t from, to; /* 0: none */
	} delta;
	struct hg_list docs;
	uint64_t ticked_ms, counted_ms; /* monotonic */
	uint64_t docs_ms;
	bool news;    /* of the journal, since the counts were made */
	bool hurried; /* the timer was set for news */
};

HG_MUST enum hg_rc api_live_new(struct api *a, struct hg_err *err);
/* After the streams have ended. NULL is fine. */
void api_live_free(struct api_live *l);
/* The journal has something new. */
void api_live_news(struct api *a);
/* What the reader has not seen. */
void api_live_push(struct event_stream *s);
/* The stream is over; frees its reader. */
void api_live_gone(struct event_stream *s);

#endif
