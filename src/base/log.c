#include "base/log.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

static void json_str(struct hg_out *o, struct hg_str s)
{
	hg_out_byte(o, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\') {
			hg_out_byte(o, '\\');
			hg_out_byte(o, (char)c);
		} else if (c < 0x20) {
			hg_out_fmt(o, "\\u%04x", c);
		} else {
			hg_out_byte(o, (char)c);
		}
	}
	hg_out_byte(o, '"');
}

static void time_iso(struct hg_out *o, uint64_t ms)
{
	struct tm tm;
	time_t s = (time_t)(ms / 1000);
	gmtime_r(&s, &tm);
	hg_out_fmt(o, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
	        tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(ms % 1000));
}

static void json_pair(struct hg_out *o, const struct hg_kv *kv)
{
	hg_out_byte(o, ',');
	json_str(o, hg_str(kv->key));
	hg_out_byte(o, ':');
	switch (kv->kind) {
	case HG_KV_STR: json_str(o, kv->s); break;
	case HG_KV_INT: hg_out_fmt(o, "%lld", (long long)kv->i); break;
	case HG_KV_NUM: hg_out_fmt(o, "%.9g", kv->f); break;
	case HG_KV_BOOL: hg_out_cstr(o, kv->i ? "true" : "false"); break;
	}
}

void hg_log_line(
        struct hg_log *l, enum hg_level level, const char *event, const struct hg_kv *pairs)
{
	/* Below PIPE_BUF, so that a line is written whole or not at all. */
	char line[4096];
	if (level < l->least) return;
	struct hg_out o = hg_out_over(line, sizeof line - 3);
	hg_out_cstr(&o, "{\"ts\":\"");
	time_iso(&o, l->wall_ms());
	hg_out_fmt(&o, "\",\"level\":\"%s\",\"who\":\"%s\",\"event\":\"%s\"", hg_level_name(level),
	        l->who, event);
	for (const struct hg_kv *kv = pairs; kv->key; kv++) {
		size_t before = o.n;
		json_pair(&o, kv);
		if (o.failed) { /* leave the pair out and keep the line well-formed */
			o.n = before;
			o.failed = false;
		}
	}
	o.cap = sizeof line;
	hg_out_cstr(&o, "}\n");
	if (write(l->fd, line, o.n) != (ssize_t)o.n) l->dropped++;
}

const char *hg_level_name(enum hg_level level)
{
	static const char *const name[] = {"debug", "info", "warn", "error"};
	return name[level];
}

bool hg_level_parse(struct hg_str s, enum hg_level *ret_level)
{
	static const struct {
		const char *name;
		enum hg_level level;
	} row[] = {{"trace", HG_DEBUG}, {"debug", HG_DEBUG}, {"info", HG_INFO}, {"notice", HG_INFO},
	        {"warn", HG_WARN}, {"warning", HG_WARN}, {"error", HG_ERROR}, {"err", HG_ERROR},
	        {"critical", HG_ERROR}, {"fatal", HG_ERROR}, {"panic", HG_ERROR}};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (!hg_str_eq_nocase(s, hg_str(row[i].name))) continue;
		*ret_level = row[i].level;
		return true;
	}
	return false;
}
