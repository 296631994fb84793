/*
 * The app's log: one JSON object a line on standard output (and in LOG_FILE, when set), with the
 * keys that Python's JSON formatter made popular: asctime, levelname, name, message, and extras.
 *
 * A reader that does not read never stops the app: lines wait in a buffer of 1 MiB; when it is
 * full, new lines are dropped and counted. Used from the loop's thread only.
 */
#ifndef FEEDBACK_JSONLOG_PRIV_H
#define FEEDBACK_JSONLOG_PRIV_H

#include "base/log.h"
#include "os/loop.h"

struct jsonlog;

/* `file`: "" for none. HG_E_IO when it cannot be opened. */
HG_MUST enum hg_rc jsonlog_new(
        struct loop *l, enum hg_level least, const char *file, struct jsonlog **ret_log);
/* Writes what it can without waiting longer than a second, then closes. Takes NULL. */
void jsonlog_free(struct jsonlog *log);
bool jsonlog_wants(const struct jsonlog *log, enum hg_level level);
uint64_t jsonlog_dropped(const struct jsonlog *log);

/* jsonlog(log, HG_INFO, "feedback", "ready", HG_I("port", 8090)) */
#ifdef __cppcheck__ /* version 2.10 does not know __VA_OPT__ */
#define jsonlog(log, level, name, message, ...) \
	jsonlog_line((log), (level), (name), (message), NULL)
#else
#define jsonlog(log, level, name, message, ...)         \
	jsonlog_line((log), (level), (name), (message), \
	        (const struct hg_kv[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
#endif

/* `pairs` ends with a NULL key; pairs with an empty string are left out. */
void jsonlog_line(struct jsonlog *log, enum hg_level level, const char *name, const char *message,
        const struct hg_kv *pairs);

#endif
