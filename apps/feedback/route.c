#include "apps/feedback/route_priv.h"

static bool cut_prefix(struct hg_str *path, struct hg_str prefix)
{
	if (!hg_str_starts(*path, prefix) || path->n == prefix.n || path->p[prefix.n] != '/')
		return false;
	path->p += prefix.n;
	path->n -= prefix.n;
	return true;
}

static int64_t id_of(struct hg_str text)
{
	uint64_t id = 0;
	if (!hg_str_u64(text, &id) || id > INT64_MAX) return 0;
	return (int64_t)id;
}

/* What follows `prefix`, when it is one part: 0 when it is no number. */
static bool cut_item(struct hg_str path, struct hg_str prefix, int64_t *ret_id)
{
	if (!hg_str_starts(path, prefix) || path.n == prefix.n ||
	        memchr(path.p + prefix.n, '/', path.n - prefix.n))
		return false;
	*ret_id = id_of((struct hg_str){path.p + prefix.n, path.n - prefix.n});
	return true;
}

static bool queue_route(struct hg_str path, struct route *r)
{
	struct hg_str jobs = HG_STR("/admin/jobs/"), retry = HG_STR("/retry");
	struct hg_str item = {path.p, path.n > retry.n ? path.n - retry.n : 0};
	if (cut_item(path, HG_STR("/exports/"), &r->id))
		r->endpoint = ENDPOINT_EXPORT;
	else if (hg_str_ends(path, retry) && cut_item(item, jobs, &r->id))
		r->endpoint = ENDPOINT_JOB_RETRY;
	else if (cut_item(path, jobs, &r->id))
		r->endpoint = ENDPOINT_JOB;
	return r->endpoint != ENDPOINT_NONE;
}

/* What is below "/feedback/". Of the first version it is the id of a feedback, as it ever was. */
static enum endpoint item_route(struct hg_str item, bool v1, int64_t *ret_id)
{
	static const struct {
		struct hg_str tail;
		enum endpoint endpoint;
	} below[] = {{{"/vote", 5}, ENDPOINT_VOTE}, {{"/status", 7}, ENDPOINT_STATUS}};
	if (!v1 && hg_str_eq(item, HG_STR("votes"))) return ENDPOINT_VOTES;
	enum endpoint e = ENDPOINT_ITEM;
	for (size_t i = 0; !v1 && i < HG_COUNT(below); i++) {
		if (!hg_str_ends(item, below[i].tail)) continue;
		item.n -= below[i].tail.n;
		e = below[i].endpoint;
		break;
	}
	if (!item.n || memchr(item.p, '/', item.n)) return ENDPOINT_NONE;
	*ret_id = id_of(item);
	return e;
}

struct route route_of(struct hg_str path)
{
	static const struct {
		struct hg_str path;
		enum endpoint endpoint;
	} fixed[] = {
	        {{"/", 1}, ENDPOINT_PAGE},
	        {{"/admin", 6}, ENDPOINT_PAGE},
	        {{"/health", 7}, ENDPOINT_HEALTH},
	        {{"/metrics", 8}, ENDPOINT_METRICS},
	        {{"/admin/jobs", 11}, ENDPOINT_JOBS},
	        {{"/admin/jobs/stats", 17}, ENDPOINT_JOBS_STATS},
	        {{"/admin/jobs/retry", 17}, ENDPOINT_JOBS_RETRY},
	        {{"/exports", 8}, ENDPOINT_EXPORTS},
	        {{"/admin/mail/test", 16}, ENDPOINT_MAIL_TEST},
	        {{"/admin/webhooks", 15}, ENDPOINT_WEBHOOKS},
	        {{"/admin/users", 12}, ENDPOINT_USERS},
	        {{"/admin/audit", 12}, ENDPOINT_AUDIT},
	};
	struct route r = {.endpoint = ENDPOINT_NONE};
	struct hg_str rest = path, item = HG_STR("/feedback/");
	for (size_t i = 0; i < HG_COUNT(fixed); i++)
		if (hg_str_eq(path, fixed[i].path)) return (struct route){fixed[i].endpoint};
	if (hg_str_starts(path, HG_STR("/static/"))) return (struct route){ENDPOINT_STATIC};
	if (hg_str_starts(path, HG_STR("/admin/webhooks/")))
		return (struct route){ENDPOINT_WEBHOOKS};
	if (hg_str_starts(path, HG_STR("/auth/"))) return (struct route){ENDPOINT_AUTH};
	if (hg_str_starts(path, HG_STR("/admin/users/"))) return (struct route){ENDPOINT_USERS};
	if (queue_route(path, &r)) return r;
	cut_prefix(&rest, HG_STR("/api"));
	bool v1 = cut_prefix(&rest, HG_STR("/v1"));
	r.v2 = !v1 && cut_prefix(&rest, HG_STR("/v2"));
	if (hg_str_eq(rest, HG_STR("/feedback")))
		r.endpoint = ENDPOINT_LIST;
	else if (hg_str_starts(rest, item))
		r.endpoint =
		        item_route((struct hg_str){rest.p + item.n, rest.n - item.n}, v1, &r.id);
	if (r.endpoint != ENDPOINT_NONE)
		r.prefix = (struct hg_str){path.p, (size_t)(rest.p - path.p)};
	return r;
}

const char *route_label(enum endpoint e)
{
	static const char *const labels[ENDPOINTS] = {
	        [ENDPOINT_LIST] = "/feedback",
	        [ENDPOINT_ITEM] = "/feedback/:id",
	        [ENDPOINT_VOTE] = "/feedback/:id/vote",
	        [ENDPOINT_STATUS] = "/feedback/:id/status",
	        [ENDPOINT_VOTES] = "/feedback/votes",
	        [ENDPOINT_HEALTH] = "/health",
	        [ENDPOINT_METRICS] = "/metrics",
	        [ENDPOINT_PAGE] = "/",
	        [ENDPOINT_STATIC] = "/static/:path",
	        [ENDPOINT_JOBS] = "/admin/jobs",
	        [ENDPOINT_JOBS_STATS] = "/admin/jobs/stats",
	        [ENDPOINT_JOBS_RETRY] = "/admin/jobs/retry",
	        [ENDPOINT_JOB] = "/admin/jobs/:id",
	        [ENDPOINT_JOB_RETRY] = "/admin/jobs/:id/retry",
	        [ENDPOINT_EXPORTS] = "/exports",
	        [ENDPOINT_EXPORT] = "/exports/:id",
	        [ENDPOINT_MAIL_TEST] = "/admin/mail/test",
	        [ENDPOINT_WEBHOOKS] = "/admin/webhooks",
	        [ENDPOINT_AUTH] = "/auth/:path",
	        [ENDPOINT_USERS] = "/admin/users",
	        [ENDPOINT_AUDIT] = "/admin/audit",
	        [ENDPOINT_NONE] = "unmatched",
	};
	return labels[e];
}

const char *route_allow(enum endpoint e)
{
	switch (e) {
	case ENDPOINT_LIST: return "GET, HEAD, OPTIONS, POST";
	case ENDPOINT_ITEM: return "DELETE, GET, HEAD, OPTIONS, PUT";
	case ENDPOINT_VOTE: return "DELETE, OPTIONS, PUT";
	case ENDPOINT_STATUS: return "OPTIONS, PUT";
	case ENDPOINT_JOBS:
	case ENDPOINT_JOB: return "DELETE, GET, HEAD, OPTIONS";
	case ENDPOINT_JOBS_RETRY:
	case ENDPOINT_JOB_RETRY:
	case ENDPOINT_EXPORTS:
	case ENDPOINT_MAIL_TEST: return "OPTIONS, POST";
	case ENDPOINT_WEBHOOKS: return "DELETE, GET, HEAD, OPTIONS, POST";
	case ENDPOINT_AUTH:
	case ENDPOINT_USERS:
	case ENDPOINT_AUDIT: return "DELETE, GET, HEAD, OPTIONS, POST, PUT";
	case ENDPOINT_NONE:
	case ENDPOINTS: return "";
	default: return "GET, HEAD, OPTIONS";
	}
}

bool route_is_people(enum endpoint e)
{
	return e == ENDPOINT_AUTH || e == ENDPOINT_USERS || e == ENDPOINT_AUDIT;
}

bool route_allows(enum endpoint e, enum http1_method m)
{
	bool only_post = e == ENDPOINT_JOBS_RETRY || e == ENDPOINT_JOB_RETRY ||
	                 e == ENDPOINT_EXPORTS || e == ENDPOINT_MAIL_TEST;
	bool only_put = e == ENDPOINT_VOTE || e == ENDPOINT_STATUS;
	bool people = route_is_people(e); /* they know their paths' methods themselves */
	switch (m) {
	case HTTP1_GET:
	case HTTP1_HEAD: return e != ENDPOINT_NONE && !only_post && !only_put;
	case HTTP1_OPTIONS: return e != ENDPOINT_NONE;
	case HTTP1_POST: return e == ENDPOINT_LIST || e == ENDPOINT_WEBHOOKS || only_post || people;
	case HTTP1_PUT: return e == ENDPOINT_ITEM || only_put || people;
	case HTTP1_DELETE:
		return e == ENDPOINT_ITEM || e == ENDPOINT_VOTE || e == ENDPOINT_JOBS ||
		       e == ENDPOINT_JOB || e == ENDPOINT_WEBHOOKS ||
		       people; /* of their paths they know more */
	default: return false;
	}
}
