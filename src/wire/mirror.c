#include "wire/mirror.h"

static const struct hg_str field_name[MIRROR_FIELDS] = {
        [MIRROR_CONTENT_TYPE] = {"content-type", 12},
        [MIRROR_CONTENT_ENCODING] = {"content-encoding", 16},
        [MIRROR_LOCATION] = {"location", 8},
        [MIRROR_CACHE_CONTROL] = {"cache-control", 13},
};

void mirror_answer_head(struct mirror_answer *a, const struct http1_head *h)
{
	a->status = h->status;
	for (int i = 0; i < MIRROR_FIELDS; i++) {
		const struct http1_field *f = http1_find_name(h, field_name[i]);
		a->has[i] = f != NULL;
		a->field_n[i] = f ? (uint16_t)HG_MIN(f->value.n, MIRROR_FIELD_MAX) : 0;
		if (a->field_n[i]) memcpy(a->field[i], f->value.p, a->field_n[i]);
	}
}

static struct hg_str field_of(const struct mirror_answer *a, int i)
{
	return (struct hg_str){a->field[i], a->field_n[i]};
}

static bool encoded(const struct mirror_answer *a)
{
	struct hg_str e = field_of(a, MIRROR_CONTENT_ENCODING);
	return e.n > 0 && !hg_str_eq_nocase(e, HG_STR("identity"));
}

static void at_set(struct mirror_result *r, enum mirror_what what, struct hg_str at)
{
	r->what = what;
	r->at_n = HG_MIN(at.n, sizeof r->at);
	if (r->at_n) memcpy(r->at, at.p, r->at_n);
}

static void bytes_compare(struct hg_str a, struct hg_str b, struct mirror_result *r)
{
	size_t i = 0, n = HG_MIN(a.n, b.n);
	while (i < n && a.p[i] == b.p[i])
		i++;
	struct hg_out o = hg_out_over(r->at, sizeof r->at);
	hg_out_cstr(&o, "byte ");
	hg_out_u64(&o, i);
	r->what = MIRROR_BYTES;
	r->at_n = o.n;
}

void mirror_compare(const struct mirror_answer *old, const struct mirror_answer *fresh,
        const struct jsonpath *ignore, uint32_t ignore_n, struct jsondiff_scratch *scratch,
        struct mirror_result *ret_result)
{
	struct mirror_result *r = ret_result;
	at_set(r, MIRROR_SAME, HG_STR(""));
	if (old->status != fresh->status) {
		at_set(r, MIRROR_STATUS, HG_STR(""));
		return;
	}
	for (int i = 0; i < MIRROR_FIELDS; i++) {
		if (old->has[i] == fresh->has[i] && hg_str_eq(field_of(old, i), field_of(fresh, i)))
			continue;
		at_set(r, MIRROR_FIELD, field_name[i]);
		return;
	}
	if (old->over || fresh->over || encoded(old)) {
		r->what = MIRROR_PARTLY;
		return;
	}
	if (hg_str_eq(old->body, fresh->body)) return;
	switch (jsondiff(
	        old->body, fresh->body, ignore, ignore_n, scratch, r->at, sizeof r->at, &r->at_n)) {
	case JSONDIFF_SAME: return;
	case JSONDIFF_DIFFERS: r->what = MIRROR_JSON; return;
	case JSONDIFF_NOT_JSON: break;
	}
	bytes_compare(old->body, fresh->body, r);
}
