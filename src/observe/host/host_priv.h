/*
 * Between the files of the observe process: pipes of logs, the metrics store's life, the rooms that
 * live on the loop, and who answers which path.
 */
#ifndef OBSERVE_HOST_HOST_PRIV_H
#define OBSERVE_HOST_HOST_PRIV_H

#include "base/list.h"
#include "base/log.h"
#include "observe/api/api.h"
#include "observe/collect/conf.h"
#include "observe/logs/http.h"
#include "observe/trace/trace.h"
#include "observe/tsdb/lock.h"
#include "observe/tsdb/tsdb.h"
#include "os/work.h"
#include "spec/snapshot.h"
#include "warden/warden.h"

/* ---- feeds.c: the pipes of replicas and roles ---- */

#define FEEDS_ORPHANS_MS 10000 /* for the warden to hand over all pipes again */

struct feeds_options {
	struct loop *loop;
	struct logs *logs;
	struct logs_http *http; /* is told of new lines */
	struct hg_log *log;
	int warden_fd; /* -1: the warden is gone */
};

struct feeds {
	struct feeds_options o;
	struct hg_list list;
	uint32_t count;
	uint64_t started_ms;
	bool orphans_ended;
};

void feeds_init(struct feeds *f, const struct feeds_options *o);
/* WD_LOG_OPEN: the descriptors are its own from now on. */
void feeds_open(struct feeds *f, const struct wd_msg *m, const int *fds);
/* WD_LOG_END */
void feeds_end(struct feeds *f, const struct wd_msg *m);
/* To be called every 250 ms. */
void feeds_tick(struct feeds *f, uint64_t now_ms);
/* Reads what is in the pipes. */
void feeds_drain(struct feeds *f);
void feeds_fini(struct feeds *f);

/* ---- store.c: the metrics store's life ---- */

enum store_state {
	STORE_OPENING, /* on a thread: its journals are read */
	STORE_OPEN,
	STORE_FAILED, /* `why` says it; tried again */
};

#define STORE_RETRY_MS  10000u
#define STORE_COMMIT_MS 1000u

struct host_store {
	struct loop *loop;
	struct hg_log *log;
	void (*on_open)(void *arg);  /* db is there */
	void (*on_close)(void *arg); /* who uses it lets go of it; db is still there */
	void *arg;
	struct tsdb_options o;
	char dir[512];
	enum store_state state;
	struct tsdb *db; /* STORE_OPEN */
	char why[sizeof((struct hg_err *)0)->message];
	struct work *work;
	struct loop_timer timer;
	uint64_t began_ms, took_ms; /* of the opening that was last */
	uint32_t failures;          /* openings in a row that came to nothing */
	enum tsdb_state told;       /* of the health, on the log */
	uint64_t commits, commit_failures;
	struct observe_conf_store next; /* told while the thread ran */
	bool has_next;
	/* Of the thread, while it runs; so is `o`. */
	struct tsdb *opened;
	enum hg_rc rc;
	struct hg_err err;
};

/* Begins to open DATA/metrics; `c` as in store_configure. */
void store_start(struct host_store *s, const char *data_dir, const struct observe_conf_store *c);
/* Other limits, now or once it is open. */
void store_configure(struct host_store *s, const struct observe_conf_store *c);
/* Waits for the thread, commits and closes. */
void store_stop(struct host_store *s);
void store_metrics(const struct host_store *s, struct hg_buf *to);

/* ---- rooms.c ---- */

/* What lives on the loop beside the logs. All members but `name` may be NULL. */
struct host_room {
	const char *name;
	void *room;
	/* True: answered, now or later; false: the path is another's. */
	bool (*http)(void *room, struct serve_call *call, const struct serve_request *req);
	void (*conf)(void *room, const struct observe_conf *c); /* valid until the next one */
	void (*image)(void *room, const struct snap_image *i);  /* likewise */
	void (*tick)(void *room, uint64_t now_ms);              /* every 250 ms */
	void (*metrics)(void *room, struct hg_buf *to);
	void (*stop)(void *room); /* orderly: what it has yet to write */
	void (*free)(void *room);
};

#define HOST_ROOMS_MAX 8

struct host;

/* room_remote.c: remote write; fills in `to`. */
HG_MUST enum hg_rc host_remote_make(struct host *h, struct host_room *to, struct hg_err *err);

struct host {
	struct loop *loop;
	const struct warden_child *child;
	struct hg_log log;
	struct observe_lock lock; /* of the store: the loop has it in all its callbacks */
	struct logs *logs;
	struct logs_http *http;
	struct traces *traces;
	struct serve *serve;
	struct feeds feeds;
	struct host_store store;
	struct host_room rooms[HOST_ROOMS_MAX]; /* as long as the store is open */
	uint32_t room_count;
	struct scrape *scrape; /* collect's; NULL: there is none */
	struct promapi *api;   /* NULL: there is none */
	struct rules *rules;   /* NULL: there are none */
	uint32_t warden_pid;
	struct observe_conf conf; /* the newest that could be read */
	struct hg_arena conf_mem;
	uint64_t conf_refused;
	const struct snap_image *image; /* NULL: none yet */
	struct loop_io warden_io;
	struct loop_timer tick;
	uint64_t requests;
};

/* Makes those that need the store; what cannot be made is on the log and left out. */
void rooms_open(struct host *h);
void rooms_close(struct host *h);
void rooms_tell_conf(struct host *h);
void rooms_tell_image(struct host *h);
void rooms_tick(struct host *h, uint64_t now_ms);
void rooms_stop(struct host *h);

/* ---- conf_show.c ---- */

/* The configuration in the words of a prometheus.yml, for status/config; without secrets. */
void host_conf_show(const struct observe_conf *c, struct hg_buf *to);

/* ---- http.c ---- */

/* All that this process says of itself, in the text format. */
void host_metrics(struct host *h, struct hg_buf *to);

/* The handler of serve; `arg` is the struct host. */
void host_http(void *arg, struct serve_call *call, const struct serve_request *req);

#endif
