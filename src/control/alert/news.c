/* An answer of observe's: which alerts fire, which are over, and which must be over as they are not
 * there. */
#include "control/alert/alert_priv.h"

#include <jansson.h>
#include <stdlib.h>

#define LABELS_EACH 256u
#define NEWS_BYTES  ((size_t)256 << 20)

/* ---- what was told ---- */

static int by_alert(const void *a, const void *b)
{
	const struct told *x = a, *y = b;
	int d = (x->print > y->print) - (x->print < y->print);
	return d ? d : (x->starts_ms > y->starts_ms) - (x->starts_ms < y->starts_ms);
}

bool told_room(struct told_set *s, uint32_t n)
{
	s->at = calloc(n + 1ul, sizeof *s->at);
	s->n = 0;
	return s->at != NULL;
}

void told_sort(struct told_set *s)
{
	if (s->n) qsort(s->at, s->n, sizeof *s->at, by_alert);
}

bool told_has(const struct told_set *s, struct told one)
{
	return s->n && bsearch(&one, s->at, s->n, sizeof *s->at, by_alert);
}

/* ---- the answer ---- */

static bool labels_of(struct news *n, const json_t *from, struct labels *ret)
{
	size_t size = json_object_size(from);
	struct label *at =
	        hg_arena_array(&n->mem, HG_MIN(size, (size_t)LABELS_EACH) + 1, sizeof *at);
	uint32_t count = 0;
	const char *name;
	json_t *value;
	if (!at) return false;
	json_object_foreach((json_t *)from, name, value)
	{
		struct hg_str own = hg_str(name);
		const char *text = json_string_value(value);
		if (!text || !text[0] || count == LABELS_EACH) continue;
		uint32_t k = count++;
		for (; k && label_text_compare(at[k - 1].name, own) > 0; k--)
			at[k] = at[k - 1];
		at[k] = (struct label){own, {text, json_string_length(value)}};
	}
	*ret = (struct labels){at, count};
	return true;
}

static bool alert_read(struct news *n, const json_t *a, uint64_t now_ms, struct news_alert *to)
{
	const char *url = json_string_value(json_object_get(a, "url"));
	json_int_t starts = json_integer_value(json_object_get(a, "starts"));
	json_int_t ends = json_integer_value(json_object_get(a, "ends"));
	json_int_t valid = json_integer_value(json_object_get(a, "valid"));
	struct notify_input *in = &to->in;
	if (!labels_of(n, json_object_get(a, "labels"), &in->labels) ||
	        !labels_of(n, json_object_get(a, "annotations"), &in->annotations))
		return false;
	in->generator = hg_str(url ? url : "");
	in->starts_ms = starts > 0 ? (uint64_t)starts : now_ms;
	in->ends_ms = ends > 0 ? (uint64_t)ends : now_ms + (uint64_t)HG_MAX(valid, 1);
	/* A clock that was set must not make an end before the beginning. */
	in->starts_ms = HG_MIN(in->starts_ms, in->ends_ms);
	in->rule = true;
	to->fires = ends <= 0;
	to->print = notify_fingerprint(in->labels);
	n->there[n->there_n++] = to->print;
	return true;
}

static int by_print(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static bool fill(struct news *n, uint64_t now_ms)
{
	const json_t *list = json_object_get(n->doc, "alerts"), *a;
	const json_t *pending = json_object_get(n->doc, "pending");
	const char *epoch = json_string_value(json_object_get(n->doc, "epoch"));
	size_t i, most = 4ul * NOTIFY_ALERTS_MAX;
	if (!epoch || !json_is_array(list) || json_array_size(list) > most) return false;
	n->epoch = hg_str(epoch);
	n->at = (uint64_t)json_integer_value(json_object_get(n->doc, "at"));
	n->alerts = hg_arena_array(&n->mem, json_array_size(list) + 1, sizeof *n->alerts);
	n->there = hg_arena_array(
	        &n->mem, json_array_size(list) + json_array_size(pending) + 1, sizeof *n->there);
	if (!n->alerts || !n->there) return false;
	json_array_foreach(
	        list, i, a) if (!alert_read(n, a, now_ms, &n->alerts[n->count++])) return false;
	json_array_foreach(pending, i, a)
	{
		struct labels ls;
		if (!labels_of(n, a, &ls)) return false;
		n->there[n->there_n++] = notify_fingerprint(ls);
	}
	if (n->there_n) qsort(n->there, n->there_n, sizeof *n->there, by_print);
	n->incomplete = json_object_get(n->doc, "incomplete");
	n->complete =
	        json_is_true(json_object_get(n->doc, "complete")) && json_is_array(n->incomplete);
	return true;
}

bool news_read(struct hg_str body, uint64_t now_ms, struct news *n)
{
	json_error_t e;
	*n = (struct news){.doc = json_loadb(body.p ? body.p : "", body.n, 0, &e)};
	hg_arena_init(&n->mem, "alerts of rules", NEWS_BYTES);
	if (n->doc && fill(n, now_ms)) return true;
	news_free(n);
	return false;
}

void news_free(struct news *n)
{
	json_decref(n->doc);
	hg_arena_fini(&n->mem);
	*n = (struct news){0};
}

/* ---- what is not there ---- */

static bool unsure(const struct news *n, struct hg_str name)
{
	const json_t *one;
	size_t i;
	json_array_foreach(n->incomplete, i, one)
	{
		const char *text = json_string_value(one);
		if (text && hg_str_eq(name, hg_str(text))) return true;
	}
	return false;
}

bool news_misses(const struct news *n, const struct notify_alert *a, uint64_t now_ms)
{
	if (!n->complete || !a->rule || notify_alert_resolved(a, now_ms)) return false;
	if (n->there_n &&
	        bsearch(&a->fingerprint, n->there, n->there_n, sizeof *n->there, by_print))
		return false;
	return !unsure(n, labels_get(a->labels, HG_STR("alertname")));
}
