/*
 * What differs between two releases, in the words of the configuration. A release has names of
 * secrets and never their values; but people do write passwords into commands and environments, so
 * those, and whatever this program does not know, are shown to admins only.
 */
#include "api_priv.h"
#include "warden/proto.h"

#include <stdio.h>
#include <stdlib.h>

#define LINE_VALUE_MAX 200u /* bytes of a value in a line of text */

enum form { FORM_TEXT, FORM_BYTES, FORM_MILLI, FORM_YES, FORM_PROTOCOL, FORM_FLAG };

/* Members of the JSON that control/fleet keeps of a release. */
static const struct row {
	const char *key, *what;
	enum form form;
	bool shown; /* to everybody */
	unsigned flag;
} members[] = {
        {"artifact", "artifact", FORM_TEXT, true, 0},
        {"command", "command", FORM_TEXT, false, 0},
        {"dir", "dir", FORM_TEXT, false, 0},
        {"memory_max", "resources.limits.memory", FORM_BYTES, true, 0},
        {"cpu_max_milli", "resources.limits.cpu", FORM_MILLI, true, 0},
        {"memory_low", "resources.requests.memory", FORM_BYTES, true, 0},
        {"cpu_milli", "resources.requests.cpu", FORM_MILLI, true, 0},
        {"uid", "sandbox.user", FORM_TEXT, true, 0},
        {"flags", "sandbox.read_only_root", FORM_FLAG, true, WD_F_READ_ONLY_ROOT},
        {"flags", "sandbox.private_tmp", FORM_FLAG, true, WD_F_PRIVATE_TMP},
        {"writable", "sandbox.writable", FORM_TEXT, false, 0},
        {"proxy_protocol", "proxy_protocol", FORM_TEXT, true, 0},
        {"upstream_tls", "upstream.tls", FORM_YES, true, 0},
        {"http2", "upstream.protocol", FORM_PROTOCOL, true, 0},
};

/* Where the copy of an artifact lies is no part of what a release is made of; env has its own. */
static const char *const apart[] = {"path", "source", "env"};

struct diff {
	json_t *changes, *lines;
	bool open;
};

static void bytes_put(uint64_t n, char to[32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
	size_t u = 0;
	while (u + 1 < HG_COUNT(units) && n && n % 1024 == 0) {
		n /= 1024;
		u++;
	}
	snprintf(to, 32, "%llu%s", (unsigned long long)n, u ? units[u] : "");
}

/* A value as text, or NULL when there is none; the caller frees it. */
static json_t *value_text(const json_t *v, enum form form, unsigned flag)
{
	char text[32];
	json_int_t n = json_integer_value(v);
	switch (form) {
	case FORM_FLAG: return json_string((unsigned)n & flag ? "true" : "false");
	case FORM_YES: return json_string(n ? "true" : "false");
	case FORM_PROTOCOL: return json_string(json_is_true(v) ? "http2" : "http1");
	case FORM_BYTES:
		if (!v) return NULL;
		bytes_put((uint64_t)n, text);
		return json_string(text);
	case FORM_MILLI:
		if (!v) return NULL;
		snprintf(text, sizeof text, "%g", (double)n / 1000);
		return json_string(text);
	case FORM_TEXT: break;
	}
	if (!v || (json_is_string(v) && json_string_length(v) == 0)) return NULL;
	if (json_is_string(v)) return json_deep_copy(v);
	char *dump = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	json_t *s = dump ? json_string(dump) : NULL;
	free(dump);
	return s;
}

/* On one line, cut between two characters. */
static void line_value(struct hg_buf *to, const json_t *v)
{
	struct hg_str s = {json_string_value(v), json_string_length(v)};
	size_t n = HG_MIN(s.n, (size_t)LINE_VALUE_MAX);
	while (n < s.n && n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		hg_buf_byte(to, (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? ' ' : s.p[i]);
	if (n < s.n) hg_buf_cstr(to, "…");
}

static void line_add(
        const struct diff *d, const char *what, const json_t *was, const json_t *now, bool hidden)
{
	struct hg_buf b;
	hg_buf_init(&b, 4 * 65536);
	hg_buf_fmt(&b, "%s %s", !was ? "+" : !now ? "-" : "~", what);
	if (!hidden) {
		hg_buf_cstr(&b, ": ");
		if (was) line_value(&b, was);
		if (was && now) hg_buf_cstr(&b, " → ");
		if (now) line_value(&b, now);
	}
	json_array_append_new(d->lines, api_json_str(hg_buf_view(&b)));
	hg_buf_free(&b);
}

/* Takes both values over. */
static void change_add(struct diff *d, const char *what, json_t *was, json_t *now, bool shown)
{
	bool hidden = !shown && !d->open;
	if ((was || now) && !(was && now && json_equal(was, now))) {
		line_add(d, what, was, now, hidden);
		json_array_append_new(
		        d->changes, json_pack("{s:s,s:s,s:O?,s:O?,s:b}", "what", what, "change",
		                            !was   ? "added"
		                            : !now ? "removed"
		                                   : "changed",
		                            "old", hidden ? NULL : was, "new", hidden ? NULL : now,
		                            "hidden", hidden));
	}
	json_decref(was);
	json_decref(now);
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

/* By name, whichever of the two has it: the order of a file means nothing. */
static void env_diff(struct diff *d, const json_t *was, const json_t *now)
{
	json_t *all = json_object(), *ignored;
	const char *name;
	size_t n = 0;
	if (was) (void)json_object_update(all, (json_t *)was);
	if (now) (void)json_object_update(all, (json_t *)now);
	const char **names = calloc(json_object_size(all) + 1, sizeof *names);
	json_object_foreach(all, name, ignored)
	{
		if (names && ignored) names[n++] = name;
	}
	if (n) qsort(names, n, sizeof *names, by_name);
	for (size_t i = 0; i < n; i++) {
		char what[300];
		snprintf(what, sizeof what, "env.%.280s", names[i]);
		change_add(d, what, json_incref(json_object_get(was, names[i])),
		        json_incref(json_object_get(now, names[i])), false);
	}
	free(names);
	json_decref(all);
}

static bool is_known(const char *key)
{
	for (size_t i = 0; i < HG_COUNT(members); i++)
		if (strcmp(members[i].key, key) == 0) return true;
	for (size_t i = 0; i < HG_COUNT(apart); i++)
		if (strcmp(apart[i], key) == 0) return true;
	return false;
}

/* Kept by a newer program: it changed, and that is all that can be said to everybody. */
static void unknown_diff(struct diff *d, const json_t *was, const json_t *now)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)was, key, v)
	{
		if (is_known(key)) continue;
		change_add(d, key, value_text(v, FORM_TEXT, 0),
		        value_text(json_object_get(now, key), FORM_TEXT, 0), false);
	}
	json_object_foreach((json_t *)now, key, v)
	{
		if (is_known(key) || json_object_get(was, key)) continue;
		change_add(d, key, NULL, value_text(v, FORM_TEXT, 0), false);
	}
}

json_t *api_release_diff(const json_t *was, const json_t *now, bool open, json_t *lines)
{
	struct diff d = {.changes = json_array(), .lines = lines, .open = open};
	for (size_t i = 0; i < HG_COUNT(members); i++) {
		const struct row *r = &members[i];
		change_add(&d, r->what, value_text(json_object_get(was, r->key), r->form, r->flag),
		        value_text(json_object_get(now, r->key), r->form, r->flag), r->shown);
	}
	env_diff(&d, json_object_get(was, "env"), json_object_get(now, "env"));
	unknown_diff(&d, was, now);
	return d.changes;
}
