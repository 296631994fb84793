#include "observe/logs/entry_priv.h"
#include "observe/logs/logs_priv.h"

/* Length of the well-formed UTF-8 sequence at p[0..n), 0 when there is none (RFC 3629). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	size_t want = p[0] < 0x80   ? 1
	              : p[0] < 0xc2 ? 0
	              : p[0] < 0xe0 ? 2
	              : p[0] < 0xf0 ? 3
	              : p[0] < 0xf5 ? 4
	                            : 0;
	if (want == 0 || want > n) return 0;
	for (size_t i = 1; i < want; i++)
		if ((p[i] & 0xc0) != 0x80) return 0;
	if (p[0] == 0xe0 && p[1] < 0xa0) return 0;
	if (p[0] == 0xed && p[1] > 0x9f) return 0;
	if (p[0] == 0xf0 && p[1] < 0x90) return 0;
	if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
	return want;
}

static void put_escaped(struct hg_buf *to, unsigned char c)
{
	switch (c) {
	case '"': hg_buf_cstr(to, "\\\""); break;
	case '\\': hg_buf_cstr(to, "\\\\"); break;
	case '\t': hg_buf_cstr(to, "\\t"); break;
	case '\r': hg_buf_cstr(to, "\\r"); break;
	default: hg_buf_fmt(to, "\\u%04x", c); break;
	}
}

static void put_text(struct hg_buf *to, struct hg_str s)
{
	size_t from = 0, at = 0;
	while (at < s.n) {
		unsigned char c = (unsigned char)s.p[at];
		size_t n = utf8_length((const unsigned char *)s.p + at, s.n - at);
		if (n && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
			at += n;
			continue;
		}
		hg_buf_str(to, (struct hg_str){s.p + from, at - from});
		if (n == 0)
			hg_buf_cstr(to, "\\ufffd");
		else
			put_escaped(to, c);
		from = ++at;
	}
	hg_buf_str(to, (struct hg_str){s.p + from, at - from});
}

void logs_entry_json(const struct logs_entry *e, struct hg_buf *to)
{
	char time[31];
	entry_time_text(e->ts_ns, time);
	hg_buf_fmt(to, "{\"ts\":\"%s\",\"seq\":%llu,\"app\":\"%s\",\"release\":%u,\"replica\":%u",
	        time, (unsigned long long)e->seq, e->app, e->release, e->replica);
	hg_buf_fmt(to, ",\"stream\":\"%s\",\"level\":\"%s\"",
	        e->stream == LOGS_STDERR ? "stderr" : "stdout", hg_level_name(e->level));
	if (e->event_ns != LOGS_NO_EVENT && e->event_ns >= 0) {
		entry_time_text((uint64_t)e->event_ns, time);
		hg_buf_fmt(to, ",\"event_ts\":\"%s\"", time);
	}
	if (e->flags & LOGS_NOTE) hg_buf_cstr(to, ",\"note\":true");
	if (e->flags & LOGS_SPLIT)
		hg_buf_cstr(to,
		        e->flags & LOGS_CONTINUED ? ",\"part\":\"middle\"" : ",\"part\":\"first\"");
	else if (e->flags & LOGS_CONTINUED)
		hg_buf_cstr(to, ",\"part\":\"last\"");
	hg_buf_cstr(to, ",\"text\":\"");
	put_text(to, e->text);
	hg_buf_fmt(to, "\",\"cursor\":\"%llu-%llu-%s\"}", (unsigned long long)e->ts_ns,
	        (unsigned long long)e->seq, e->app);
}
