#include "data/edge/edge_priv.h"

/* Values are compared as they were sent: nothing is decoded, no case is folded. */
static bool value_fits(struct hg_str have, struct hg_str want)
{
	return want.n == 0 || hg_str_eq(have, want);
}

static bool header_fits(const struct http1_head *h, struct hg_str name, struct hg_str value)
{
	for (uint16_t i = 0; i < h->field_count; i++) {
		if (hg_str_eq_nocase(h->field[i].name, name) &&
		        value_fits(h->field[i].value, value))
			return true;
	}
	return false;
}

struct edge_cookies edge_cookies_of(const struct http1_head *h)
{
	return (struct edge_cookies){.head = h};
}

bool edge_cookies_next(struct edge_cookies *it, struct hg_str name, struct hg_str *ret_value)
{
	for (;;) {
		while (it->rest.n == 0) {
			if (it->field == it->head->field_count) return false;
			const struct http1_field *f = &it->head->field[it->field++];
			if (f->id == HTTP1_F_COOKIE) it->rest = f->value;
		}
		struct hg_str value = hg_str_trim(hg_str_cut(&it->rest, ';'));
		struct hg_str have = hg_str_cut(&value, '=');
		if (!hg_str_eq(have, name)) continue;
		*ret_value = value;
		return true;
	}
}

static bool cookie_fits(const struct http1_head *h, struct hg_str name, struct hg_str value)
{
	struct edge_cookies it = edge_cookies_of(h);
	struct hg_str have;
	while (edge_cookies_next(&it, name, &have)) {
		if (value_fits(have, value)) return true;
	}
	return false;
}

static bool query_fits(struct hg_str query, struct hg_str name, struct hg_str value)
{
	while (query.n) {
		struct hg_str have = hg_str_cut(&query, '&');
		if (hg_str_eq(hg_str_cut(&have, '='), name) && value_fits(have, value)) return true;
	}
	return false;
}

bool edge_match(const struct snap_trial *t, const struct http1_head *h)
{
	for (uint32_t i = 0; i < t->match_count; i++) {
		const struct snap_match *m = &t->match[i];
		struct hg_str name = hg_str(m->name), value = hg_str(m->value);
		bool fits = false;
		switch ((enum snap_match_kind)m->kind) {
		case SNAP_MATCH_HEADER: fits = header_fits(h, name, value); break;
		case SNAP_MATCH_COOKIE: fits = cookie_fits(h, name, value); break;
		case SNAP_MATCH_QUERY: fits = query_fits(h->query, name, value); break;
		case SNAP_MATCH_NONE: break;
		}
		if (fits) return true;
	}
	return false;
}
