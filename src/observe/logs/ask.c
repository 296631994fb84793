#include "observe/logs/entry_priv.h"
#include "observe/logs/http_priv.h"

#include <stdio.h>

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX     1000000
#define HISTORY       10 /* lines before following, as tail(1) has it */
#define VALUE_MAX     512
#define BUCKETS       60
#define HOUR_NS       3600000000000u
#define MS_NS         1000000u

static const char *const ask_names[] = {"app", "since", "until", "level", "release", "replica",
        "stream", "grep", "ignore_case", "limit", "order", "follow", "cursor", "format", "buckets"};

/* "10m", "1h30m", "2d": how long ago. */
static bool duration_read(struct hg_str s, uint64_t *ret_ns)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	uint64_t sum = 0;
	if (s.n == 0) return false;
	while (s.n) {
		size_t digits = 0;
		uint64_t n, seconds = 0;
		while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
			digits++;
		if (digits == s.n || !hg_str_u64((struct hg_str){s.p, digits}, &n)) return false;
		for (size_t i = 0; i < HG_COUNT(units); i++)
			if (units[i].unit == s.p[digits]) seconds = units[i].seconds;
		if (!seconds || n > UINT32_MAX) return false;
		sum += n * seconds;
		s.p += digits + 1;
		s.n -= digits + 1;
	}
	if (sum > INT64_MAX / 1000000000) return false;
	*ret_ns = sum * 1000000000;
	return true;
}

static bool instant_read(struct hg_str s, uint64_t now_ns, uint64_t *ret_ns)
{
	uint64_t ago;
	int64_t ns;
	if (duration_read(s, &ago)) {
		*ret_ns = ago < now_ns ? now_ns - ago : 0;
		return true;
	}
	if (!entry_time(s, &ns) && !entry_epoch(s, &ns)) return false;
	if (ns < 0) return false;
	*ret_ns = (uint64_t)ns;
	return true;
}

static bool u32_read(struct hg_str s, uint32_t *ret_v)
{
	uint64_t v;
	if (!hg_str_u64(s, &v) || v > UINT32_MAX) return false;
	*ret_v = (uint32_t)v;
	return true;
}

static bool bool_read(struct hg_str s, bool *ret_v)
{
	*ret_v = hg_str_eq(s, HG_STR("1")) || hg_str_eq(s, HG_STR("true"));
	return *ret_v || hg_str_eq(s, HG_STR("0")) || hg_str_eq(s, HG_STR("false"));
}

static bool name_read(struct hg_str s, char to[static LOGS_APP_MAX], struct hg_str *ret_name)
{
	if (s.n == 0 || !hg_str_copy(s, to, LOGS_APP_MAX)) return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
	}
	*ret_name = hg_str(to);
	return true;
}

/* "<ns>-<seq>-<app>", as every line shows it. */
static bool cursor_read(struct hg_str s, struct logs_ask *ask)
{
	struct hg_str ns = hg_str_cut(&s, '-'), seq = hg_str_cut(&s, '-');
	ask->q.has_cursor = true;
	return hg_str_u64(ns, &ask->q.cursor_ns) && hg_str_u64(seq, &ask->q.cursor_seq) &&
	       name_read(s, ask->cursor_app, &ask->q.cursor_app);
}

static bool stream_read(struct hg_str s, struct logs_query *q)
{
	bool err = hg_str_eq(s, HG_STR("stderr"));
	q->has_stream = true;
	q->stream = err ? LOGS_STDERR : LOGS_STDOUT;
	return err || hg_str_eq(s, HG_STR("stdout"));
}

static bool grep_read(struct hg_str s, struct logs_ask *ask)
{
	if (s.n > LOGS_GREP_MAX) return false;
	if (s.n) memcpy(ask->grep, s.p, s.n);
	ask->q.grep = (struct hg_str){ask->grep, s.n};
	return true;
}

/* NULL: taken; otherwise what is accepted. */
static const char *value_take(
        struct hg_str name, struct hg_str v, uint64_t now_ns, struct logs_ask *a)
{
	struct logs_query *q = &a->q;
	const char *instant = "a duration like 10m or 2h, an RFC 3339 time or epoch seconds";
	if (hg_str_eq(name, HG_STR("app")))
		return name_read(v, a->app, &q->app) ? NULL : "a name of a-z, 0-9 and -";
	if (hg_str_eq(name, HG_STR("since")))
		return instant_read(v, now_ns, &q->since_ns) ? NULL : instant;
	if (hg_str_eq(name, HG_STR("until")))
		return instant_read(v, now_ns, &q->until_ns) ? NULL : instant;
	if (hg_str_eq(name, HG_STR("level")))
		return hg_level_parse(v, &q->least) ? NULL : "debug, info, warn or error";
	if (hg_str_eq(name, HG_STR("release")))
		return u32_read(v, &q->release) && q->release ? NULL : "a number from 1";
	if (hg_str_eq(name, HG_STR("replica"))) {
		q->has_replica = true;
		return u32_read(v, &q->replica) ? NULL : "a number";
	}
	if (hg_str_eq(name, HG_STR("stream"))) return stream_read(v, q) ? NULL : "stdout or stderr";
	if (hg_str_eq(name, HG_STR("grep"))) return grep_read(v, a) ? NULL : "at most 256 bytes";
	if (hg_str_eq(name, HG_STR("ignore_case")))
		return bool_read(v, &q->ignore_case) ? NULL : "1 or 0";
	if (hg_str_eq(name, HG_STR("limit"))) {
		a->has_limit = true;
		return hg_str_u64(v, &a->limit) && a->limit <= LIMIT_MAX ? NULL : "0 to 1000000";
	}
	if (hg_str_eq(name, HG_STR("order"))) {
		a->has_order = true;
		q->newest_first = hg_str_eq(v, HG_STR("newest"));
		return q->newest_first || hg_str_eq(v, HG_STR("oldest")) ? NULL
		                                                         : "newest or oldest";
	}
	if (hg_str_eq(name, HG_STR("follow"))) return bool_read(v, &a->follow) ? NULL : "1 or 0";
	if (hg_str_eq(name, HG_STR("cursor")))
		return cursor_read(v, a) ? NULL : "the cursor of a line";
	if (hg_str_eq(name, HG_STR("buckets")))
		return u32_read(v, &a->buckets) && a->buckets && a->buckets <= LOGS_BUCKETS_MAX
		               ? NULL
		               : "1 to 240";
	a->array = hg_str_eq(v, HG_STR("json"));
	return a->array || hg_str_eq(v, HG_STR("ndjson")) ? NULL : "json or ndjson";
}

static bool known(struct hg_str name)
{
	for (size_t i = 0; i < HG_COUNT(ask_names); i++)
		if (hg_str_eq(name, hg_str(ask_names[i]))) return true;
	return false;
}

static bool values_read(
        struct hg_str query, uint64_t now_ns, struct logs_ask *a, char *why, size_t cap)
{
	*a = (struct logs_ask){.q.newest_first = true};
	for (struct hg_str rest = query; rest.n;) {
		char key[32], value[VALUE_MAX];
		struct hg_str pair = hg_str_cut(&rest, '&'), name = hg_str_cut(&pair, '=');
		if (name.n == 0) continue;
		if (!known(name) || !hg_str_copy(name, key, sizeof key)) {
			snprintf(why, cap, "unknown parameter \"%.*s\"",
			        (int)HG_MIN(name.n, (size_t)40), name.p);
			return false;
		}
		if (!serve_query(query, key, value, sizeof value)) {
			snprintf(why, cap, "parameter \"%s\" is too long or badly encoded", key);
			return false;
		}
		/* An empty value is as if it were not there: forms send them. */
		if (!value[0]) continue;
		const char *accepts = value_take(name, hg_str(value), now_ns, a);
		if (accepts) {
			snprintf(why, cap, "parameter \"%s\" is not valid: it takes %s", key,
			        accepts);
			return false;
		}
	}
	return true;
}

bool logs_ask_read(
        struct hg_str query, uint64_t now_ns, struct logs_ask *ret_ask, char *why, size_t cap)
{
	struct logs_ask *a = ret_ask;
	if (!values_read(query, now_ns, a, why, cap)) return false;
	if (a->buckets) {
		snprintf(why, cap, "\"buckets\" is for /v1/logs/volume");
		return false;
	}
	if (a->follow && a->array) {
		snprintf(why, cap, "format=json cannot be followed: take ndjson");
		return false;
	}
	if (!a->has_limit) a->limit = a->follow ? HISTORY : LIMIT_DEFAULT;
	return true;
}

bool logs_ask_volume(struct hg_str query, uint64_t now_ns, struct logs_ask *ret_ask,
        struct logs_volume *ret_volume, char *why, size_t cap)
{
	struct logs_ask *a = ret_ask;
	struct logs_query *q = &a->q;
	if (!values_read(query, now_ns, a, why, cap)) return false;
	if (a->follow || a->array || a->has_limit || a->has_order || q->has_cursor) {
		snprintf(why, cap,
		        "limit, order, follow, cursor and format are for lines, not for counts");
		return false;
	}
	if (!q->until_ns) q->until_ns = now_ns;
	if (!q->since_ns) q->since_ns = q->until_ns - HG_MIN(q->until_ns, HOUR_NS);
	if (q->since_ns >= q->until_ns) {
		snprintf(why, cap, "\"since\" is not before \"until\"");
		return false;
	}
	q->newest_first = false;
	uint32_t n = a->buckets ? a->buckets : BUCKETS;
	uint64_t start_ms = q->since_ns / MS_NS;
	uint64_t end_ms = (q->until_ns + MS_NS - 1) / MS_NS;
	*ret_volume = (struct logs_volume){.start_ns = start_ms * MS_NS,
	        .step_ns = (end_ms - start_ms + n - 1) / n * MS_NS,
	        .buckets = n};
	return true;
}
