/*
 * One JSON object per line on stderr, which the log store reads:
 *   {"ts":"2026-11-23T19:00:00.000Z","level":"info","who":"fleet","event":"replica.ready",…}
 * Only programs and the rooms above L2 log; base, wire, math and os return their failures.
 * The logger is a value passed explicitly; it never allocates and never blocks: a line that
 * does not fit into the pipe is dropped and counted.
 */
#ifndef HG_BASE_LOG_H
#define HG_BASE_LOG_H

#include "base/str.h"

enum hg_level { HG_DEBUG, HG_INFO, HG_WARN, HG_ERROR };

struct hg_log {
	int fd;
	enum hg_level least;
	const char *who;           /* room or process that speaks */
	uint64_t (*wall_ms)(void); /* Unix time in ms; the rim gives it */
	uint64_t dropped;
};

struct hg_kv {
	const char *key;
	enum { HG_KV_STR, HG_KV_INT, HG_KV_NUM, HG_KV_BOOL } kind;
	struct hg_str s;
	int64_t i;
	double f;
};

#define HG_S(k, v) ((struct hg_kv){.key = (k), .kind = HG_KV_STR, .s = hg_str(v)})
#define HG_V(k, v) ((struct hg_kv){.key = (k), .kind = HG_KV_STR, .s = (v)})
#define HG_I(k, v) ((struct hg_kv){.key = (k), .kind = HG_KV_INT, .i = (int64_t)(v)})
#define HG_F(k, v) ((struct hg_kv){.key = (k), .kind = HG_KV_NUM, .f = (v)})

/* hg_log(l, HG_INFO, "replica.ready", HG_S("app", name), HG_I("replica", 2)) */
#ifdef __cppcheck__ /* version 2.10 does not know __VA_OPT__ */
#define hg_log(l, level, event, ...) hg_log_line((l), (level), (event), NULL)
#else
#define hg_log(l, level, event, ...)       \
	hg_log_line((l), (level), (event), \
	        (const struct hg_kv[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
#endif

/* `pairs` ends with a NULL key. Lines are cut at 4 KiB. */
void hg_log_line(
        struct hg_log *l, enum hg_level level, const char *event, const struct hg_kv *pairs);
const char *hg_level_name(enum hg_level level);
/* "debug", "info", "warn" or "warning", "error" or "critical", any case; false otherwise. */
bool hg_level_parse(struct hg_str s, enum hg_level *ret_level);

#endif
