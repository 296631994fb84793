#include "apps/feedback/lists_priv.h"

#include "base/siphash.h"

enum lists_step lists_decide(const struct lists_view *v)
{
	bool checked = v->checked_moment > v->since;
	/* Asked for after the request came: as good as its own question. */
	if (v->have && v->have_moment > v->since && v->have_seen >= v->seen) return LISTS_GIVE;
	/* The primary has nothing that this list lacks. */
	if (v->have && checked && v->have_stamp == v->checked_stamp) return LISTS_GIVE;
	if (checked && v->client_has) return LISTS_UNCHANGED;
	if (v->rounds >= LISTS_ROUNDS) return LISTS_FETCH_ALONE;
	if (checked) return LISTS_FETCH;
	/* What others fetch could not be told from what is too old. */
	if (!v->checks) return LISTS_FETCH_ALONE;
	/* Nothing to compare a stamp with: the list itself is asked for at once. */
	return v->have || v->worth ? LISTS_CHECK : LISTS_FETCH;
}

struct hg_str lists_etag(
        uint64_t build, int64_t stamp, const struct lists_page *page, char to[LISTS_ETAG_MAX])
{
	static const uint8_t key[16] = "feedback's lists";
	uint64_t parts[] = {
	        build, (uint64_t)stamp, (uint64_t)page->before, page->limit, page->form};
	struct hg_out o = hg_out_over(to, LISTS_ETAG_MAX);
	hg_out_fmt(&o, "\"%016llx\"", (unsigned long long)hg_siphash(key, parts, sizeof parts));
	return (struct hg_str){to, o.n};
}

const char *lists_status(enum lists_how how)
{
	static const char *const text[LISTS_HOWS] = {
	        [LISTS_HIT] = "feedback; hit",
	        [LISTS_SHARED] = "feedback; hit; detail=redis",
	        [LISTS_COALESCED] = "feedback; fwd=miss; collapsed",
	        [LISTS_MISS] = "feedback; fwd=uri-miss; stored",
	        [LISTS_STALE] = "feedback; fwd=stale; stored",
	        [LISTS_BYPASS] = "feedback; fwd=bypass",
	};
	return text[how];
}
