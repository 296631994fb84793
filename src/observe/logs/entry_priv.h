/*
 * What a line says about itself: its level and the time it names. Pure; reads at most a bounded
 * part of the line, never fails.
 */
#ifndef OBSERVE_LOGS_ENTRY_PRIV_H
#define OBSERVE_LOGS_ENTRY_PRIV_H

#include "observe/logs/logs.h"

struct entry_said {
	enum hg_level level;
	int64_t event_ns; /* LOGS_NO_EVENT: none */
};

/*
 * JSON objects: the top-level members level, levelname, severity or lvl (names, or the numbers
 * of pino and bunyan), and ts, time, timestamp, @timestamp or asctime (RFC 3339, or epoch in
 * seconds, milli-, micro- or nanoseconds by magnitude; no zone means UTC).
 * Other lines: a level word in the first 64 bytes: in capitals as a whole word, or in any case
 * where the form says so (`[warn]`, `error:`, `level=info`). Nothing found: info, on stderr too,
 * because most programs write their ordinary messages there.
 */
struct entry_said entry_read(struct hg_str line);

/* RFC 3339, also with a space for the T, a comma for the point and without a zone (UTC). */
HG_MUST bool entry_time(struct hg_str text, int64_t *ret_ns);
/* Seconds, milliseconds, microseconds or nanoseconds since 1970, by magnitude; a fraction too. */
HG_MUST bool entry_epoch(struct hg_str text, int64_t *ret_ns);
/* 30 bytes "2026-11-23T19:00:00.000000000Z" and a zero; years 1970 to 2261. */
void entry_time_text(uint64_t ns, char to[static 31]);

#endif
