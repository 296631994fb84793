/*
 * The snapshot: what the edge knows of the world. Two parts in shared memory, written by control:
 *
 *  - the image: routes, apps and limits of one generation, in a sealed memfd; never changes.
 *    Control builds it, the warden keeps the newest descriptor and passes it to every worker.
 *  - the endpoint table: one slot a replica (address, state, weight) and one a release under
 *    trial, each a seqlock; changes all the time without a new generation.
 *
 * The edge trusts neither blindly: snap_map checks magic, layout, size and every offset once,
 * so that reading needs no checks. No private keys, no secrets.
 */
#ifndef SPEC_SNAPSHOT_H
#define SPEC_SNAPSHOT_H

#include "base/err.h"
#include "math/gcra.h"
#include "math/ipset.h"
#include "math/judge.h"

#include <stdatomic.h>

#define SNAP_MAGIC         0x534e4150u
#define SNAP_ENDPOINTS     4096
#define SNAP_APPS_MAX      1024
#define SNAP_ROUTES_MAX    16384
#define SNAP_CAS_MAX       32 /* authorities of clients' certificates: a bit each */
#define SNAP_CA_TEXT       (1u << 20)
#define SNAP_LIMITS        4 /* of a route */
#define SNAP_PROBES        3
#define SNAP_PAGE_MAX      65536u /* bytes of one page */
#define SNAP_GATEWAY_TEXT  6144u  /* bytes of one of a gateway's texts */
#define SNAP_GATEWAY_RULES 24u    /* about fields, of requests or of responses */
#define SNAP_GATEWAY_OWN   16u    /* fields of responses that come without a rule, at most */

/* A string inside the image: offset from its start. */
struct snap_text {
	uint32_t at, n;
};

/* A set of addresses: so many of the image's steps (math/ipset.h), none: an empty set. */
struct snap_set {
	uint32_t first, count;
};

enum snap_method { SNAP_LEAST, SNAP_ROUND_ROBIN, SNAP_HASH };
enum snap_key { SNAP_KEY_CLIENT, SNAP_KEY_PATH, SNAP_KEY_HEADER, SNAP_KEY_COOKIE };
enum snap_affinity { SNAP_AFFINITY_NONE, SNAP_AFFINITY_COOKIE, SNAP_AFFINITY_CLIENT };

/* How an app is guarded and its replicas are chosen beyond the less loaded of two; all 0: not. */
struct snap_balance {
	uint32_t guard; /* 1: each request is looked at before it is drawn (data/edge/guard.c) */
	uint32_t breaker_ppm /* 0: none */, breaker_over_ms, breaker_open_ms, breaker_min,
	        breaker_probes;
	uint32_t method;        /* enum snap_method */
	uint32_t key;           /* enum snap_key: of SNAP_HASH */
	char key_name[60];      /* of the header or cookie */
	uint32_t slow_start_ms; /* 0: a new replica gets its whole share at once */
	uint32_t replica_max;   /* requests in flight to one replica; 0: no limit */
	uint32_t queue_max;     /* requests that may wait for room; 0: none */
	uint32_t queue_ms;      /* … and for how long */
	uint32_t adaptive;      /* 1: sheds what the app cannot do (math/concurrency.h) */
};

enum snap_deadline {
	SNAP_DEADLINE_OFF,
	SNAP_DEADLINE_OWN,
	SNAP_DEADLINE_TRUSTED,
	SNAP_DEADLINE_ANY
};

/* The attempts of a request, and replicas that differ from the others; all 0: nothing to do. */
struct snap_tries {
	uint32_t any;            /* 1: something below is set (data/edge/tries_priv.h) */
	uint32_t per_try_ms;     /* 0: half of response_ms */
	uint32_t deadline;       /* enum snap_deadline: who is believed; OFF: nobody is told */
	uint32_t hedge_ms;       /* a second attempt after that long … */
	uint32_t hedge_ppm;      /* … or that quantile; both 0: never */
	uint32_t outlier_ppm;    /* share of failures above the peers'; 0: not looked at */
	uint32_t outlier_slower; /* times their median, in ppm; 0: not looked at */
	uint32_t outlier_min;    /* requests, below which a replica is not compared */
	char deadline_field[60]; /* name of the header, ends with 0 */
};

enum snap_analytics {
	SNAP_ANALYTICS_CONSUMERS = 1,
	SNAP_ANALYTICS_ADDRESS = 2, /* … whole, not shortened to their network */
	SNAP_ANALYTICS_PATHS = 4,
};

struct snap_app {
	struct snap_text name;
	uint32_t id; /* stable number of the app, as in the endpoint table */
	uint32_t connect_ms, response_ms /* to the first byte */, idle_ms /* between body bytes */;
	uint32_t max_in_flight;    /* 0: no limit */
	uint32_t retries;          /* further replicas tried for replayable requests */
	uint32_t retry_budget_ppm; /* of the requests, e.g. 200000 = 20 % */
	uint32_t eject_errors;     /* consecutive failures that eject an endpoint; 0: never */
	uint32_t eject_ms;
	uint32_t eject_max_ppm; /* share of the endpoints that may be ejected at once */
	struct snap_balance balance;
	struct snap_tries tries;
	uint32_t identity;  /* 1: clients prove who they are (data/edge/identity.c) */
	uint32_t analytics; /* SNAP_ANALYTICS_…; 0: nobody is counted by name */
	uint32_t fast_ms;   /* a latency objective between two bounds of the meter; 0: none */
	uint32_t rule_ms;   /* likewise the threshold of abort_when.p95; 0: none */
	uint32_t reserved[4];
	uint64_t body_max; /* bytes of a request body; 0: no limit */
	/* Paths that probes ask: GET and HEAD of these are never limited. n 0: unused. */
	struct snap_text probe[SNAP_PROBES];
	uint32_t page_first, page_count; /* of the pages */
	/* Answers 503 instead of the replicas, until this Unix time; 0: until told otherwise. */
	uint64_t maintenance_until_ms;
	uint32_t maintenance;
	struct snap_text maintenance_message;
	struct snap_set maintenance_through; /* clients that are served all the same */
};

/* What is sent with the edge's own answers of these statuses to those who accept HTML. */
struct snap_page {
	uint32_t from, to;
	struct snap_text body;
};

enum snap_access { SNAP_ACCESS_NONE, SNAP_ACCESS_ALLOW, SNAP_ACCESS_DENY };

/* A limit of requests of a route. */
struct snap_limit {
	uint64_t id; /* of the rule: as long as it is the same, so are the keys of the rate table */
	struct gcra_rule rule;
	struct snap_text name;  /* in the fields RateLimit and RateLimit-Policy, in the log */
	struct snap_text field; /* header or cookie that names the client */
	uint32_t who;           /* enum rate_who of wire/rate.h */
	uint32_t local;         /* never counted with other machines */
};

/*
 * What a route has of the functions of a gateway (data/edge/gateway_priv.h). Texts are ready to be
 * written or walked over: field lines end with CR LF, items of lists with LF. In lines there are
 * variables (wire/fieldvars.h).
 */
enum snap_gateway_flag {
	SNAP_GW_CORS = 1,
	SNAP_GW_CORS_ANY = 2,     /* "*": the answer is the same for everybody */
	SNAP_GW_CORS_ASKED = 4,   /* what fields a preflight asks for is allowed */
	SNAP_GW_CORS_PRIVATE = 8, /* so are private networks */
	SNAP_GW_PATH = 16,        /* FROM becomes TO */
	SNAP_GW_STRIPPED = 32,    /* … and the replica is told what was taken away */
	SNAP_GW_LOCATIONS = 64,
	SNAP_GW_COOKIES = 128,
	SNAP_GW_KEEP_PATH = 256, /* of a redirect */
	SNAP_GW_RESPONSE = 512,  /* there are rules about fields of responses */
	SNAP_GW_REQUEST = 1024,  /* … of requests */
	SNAP_GW_FLAGS = 2047
};

enum snap_gateway_text {
	SNAP_GW_REDIRECT_TO,
	SNAP_GW_ORIGINS,        /* wire/origin.h */
	SNAP_GW_CORS_PREFLIGHT, /* lines of the answer to one */
	SNAP_GW_CORS_LINES,     /* … of every other answer to an allowed origin */
	SNAP_GW_REQUEST_DROP,   /* names of fields that are left out, lower case */
	SNAP_GW_REQUEST_RENAME, /* names in lower case, each followed by its new name */
	SNAP_GW_REQUEST_LINES,
	SNAP_GW_RESPONSE_DROP,
	SNAP_GW_RESPONSE_RENAME,
	SNAP_GW_RESPONSE_LINES,
	SNAP_GW_OWN_LINES, /* those of them that the edge's own answers have too */
	SNAP_GW_FROM,      /* prefixes without "/" at the end */
	SNAP_GW_TO,
	SNAP_GW_VERSION_FIELD, /* "": every request of the route's host and path */
	SNAP_GW_VERSION,
	SNAP_GW_TEXTS
};

struct snap_gateway {
	uint32_t flags;    /* SNAP_GW_… */
	uint32_t redirect; /* status; 0: the app answers */
	uint64_t gone_s;   /* Unix time from which on it is 410; 0: never */
	struct snap_text text[SNAP_GW_TEXTS];
};

struct snap_route {
	struct snap_text host; /* lower case; "" and "*": any; "*.x": one or more labels before x */
	struct snap_text path; /* prefix on segment borders: "/a" matches "/a" and "/a/b" */
	struct snap_text name; /* label `route` of metrics, e.g. "feedback-app.com/static/" */
	uint32_t app;          /* index into the apps */
	uint32_t lane_first;   /* index into the lanes, lane_count of them */
	uint32_t lane_count;
	uint32_t lane_none; /* meter lane of answers that no replica gave */
	uint32_t preview;   /* 1: always the release under trial, none: 503; no evidence */
	uint32_t priority;  /* 0 low, 1 normal, 2 high */
	uint32_t affinity, affinity_s; /* enum snap_affinity; life of the cookie */
	struct snap_text affinity_cookie;
	uint32_t client; /* enum snap_client: does it want a certificate of the client? */
	uint32_t cas;    /* of these authorities */
	uint32_t limit_first, limit_count; /* ≤ SNAP_LIMITS */
	struct snap_text policy;           /* the RateLimit-Policy line, with its end */
	struct snap_text session;          /* cookie that names a user */
	/* Who may: enum snap_access by the longest prefix; access_other of who is in none. */
	struct snap_set access;
	uint32_t access_other;
	uint32_t gateway;  /* number + 1, 0: none */
	uint32_t variants; /* so many routes of the same host and path follow, by version */
	uint32_t pad;
	struct snap_text rules; /* who may, by roles (auth/rules.h); for apps with identity */
};

enum snap_client { SNAP_CLIENT_OFF, SNAP_CLIENT_OPTIONAL, SNAP_CLIENT_REQUIRED };

/* An authority of clients' certificates: PEM of its certificates and of its revocation list. */
struct snap_ca {
	struct snap_text certs, crl;
};

struct snap_lane {
	uint32_t release;
	uint32_t lane; /* of the meter */
};

#define SNAP_H2_OFF   1u /* not offered by ALPN */
#define SNAP_H2_CLEAR 2u /* spoken without TLS with those who begin with it */

enum snap_trace { SNAP_TRACE_ANYBODY, SNAP_TRACE_TRUSTED, SNAP_TRACE_NOBODY };

struct snap_image {
	uint32_t magic, layout, size, pad;
	uint64_t generation;
	uint32_t app_count, app_at, route_count, route_at, lane_count, lane_at, text_at, text_size;
	/* edge-wide */
	uint32_t head_max, target_max, header_ms /* whole request head */, body_idle_ms;
	uint32_t keepalive_ms, drain_ms, connections_max, access_sample_ppm;
	struct snap_set trusted; /* proxies whose X-Forwarded-For and PROXY headers are believed */
	struct snap_text via;    /* pseudonym of this edge in Via */
	/* HTTPS */
	uint32_t https_port; /* where plain HTTP is redirected to; 0: it is served */
	uint32_t hsts_s;     /* Strict-Transport-Security on HTTPS answers; 0: none */
	/* HTTP/2 */
	uint32_t h2_flags;   /* SNAP_H2_* */
	uint32_t h2_streams; /* requests at a time of one connection; 0: 128 */
	uint32_t limit_count, limit_at, step_count, step_at, page_count, page_at;
	uint32_t connections_per_ip; /* 0: no limit */
	uint32_t fields_max;         /* of a request head; 0: HTTP1_FIELDS_MAX */
	uint32_t min_rate;           /* bytes a second that a client must move; 0: any */
	struct snap_set exempt;      /* clients that no limit counts */
	struct snap_set access;      /* as in snap_route, for every connection */
	uint32_t access_other;
	uint32_t proxy_in; /* 1: what trusted proxies send begins with a PROXY protocol header */
	uint32_t ca_count, ca_at;
	uint32_t gateway_count, gateway_at;
	/* Traces */
	uint32_t trace_from;    /* enum snap_trace: whose traceparent is gone on with */
	uint32_t trace_to;      /* 1: spans are made, for whoever exports them */
	uint32_t trace_out_ppm; /* so many of the traces that begin here are not kept */
	uint32_t trace_slow_ms; /* spans of requests that took longer are kept; 0: of no others */
	uint32_t reserved[3];
};

/* What the builder is given; plain pointers. */
struct snap_in_lane {
	uint32_t release, lane;
};
struct snap_in_limit {
	struct hg_str name, field;
	uint64_t id;
	struct gcra_rule rule;
	uint32_t who, local;
};
struct snap_in_gateway {
	uint32_t flags, redirect;
	uint64_t gone_s;
	struct hg_str text[SNAP_GW_TEXTS];
};
struct snap_in_set {
	const struct ip_step *steps;
	uint32_t count, other; /* other: enum snap_access, where it is one */
};
struct snap_in_route {
	struct hg_str host, path, name;
	uint32_t app; /* index into apps */
	const struct snap_in_lane *lanes;
	uint32_t lane_count, lane_none, preview;
	uint32_t priority, affinity, affinity_s;
	struct hg_str affinity_cookie;
	uint32_t client, cas;
	const struct snap_in_limit *limits;
	uint32_t limit_count;
	struct hg_str policy, session;
	struct snap_in_set access;
	struct hg_str rules;
	const struct snap_in_gateway *gateway; /* NULL: none */
};
struct snap_in_page {
	uint32_t from, to;
	struct hg_str body;
};
struct snap_in_ca {
	struct hg_str certs, crl;
};
struct snap_in_app {
	struct hg_str name;
	struct snap_app fixed; /* everything but name and probe */
	struct hg_str probe[SNAP_PROBES];
	const struct snap_in_page *pages;
	uint32_t page_count;
	struct hg_str message; /* of the maintenance */
	struct snap_in_set through;
};
struct snap_in {
	uint64_t generation;
	const struct snap_in_app *apps;
	uint32_t app_count;
	const struct snap_in_route *routes;
	uint32_t route_count;
	struct snap_image edge; /* the edge-wide numbers only */
	struct hg_str via;
	struct snap_in_set trusted, exempt, access;
	const struct snap_in_ca *cas;
	uint32_t ca_count; /* at most SNAP_CAS_MAX */
};

/* A sealed memfd, the caller's. Routes are sorted so that the first match is the best one:
 * exact host, then longest wildcard, then any; within a host the longest path first; of the same
 * path the one without SNAP_GW_VERSION_FIELD, which must be there if there are others. */
HG_MUST enum hg_rc snap_build(const struct snap_in *in, int *ret_fd, struct hg_err *err);
/* Maps read-only and checks; HG_E_INVALID for anything that is not a whole image. */
HG_MUST enum hg_rc snap_map(int fd, const struct snap_image **ret_image);
void snap_unmap(const struct snap_image *image);

static inline struct hg_str snap_str(const struct snap_image *i, struct snap_text t)
{
	return (struct hg_str){(const char *)i + i->text_at + t.at, t.n};
}
static inline const struct snap_app *snap_apps(const struct snap_image *i)
{
	return (const struct snap_app *)(const void *)((const char *)i + i->app_at);
}
static inline const struct snap_route *snap_routes(const struct snap_image *i)
{
	return (const struct snap_route *)(const void *)((const char *)i + i->route_at);
}
static inline const struct snap_lane *snap_lanes(const struct snap_image *i)
{
	return (const struct snap_lane *)(const void *)((const char *)i + i->lane_at);
}
static inline const struct snap_ca *snap_cas(const struct snap_image *i)
{
	return (const struct snap_ca *)(const void *)((const char *)i + i->ca_at);
}
static inline const struct snap_limit *snap_limits(const struct snap_image *i)
{
	return (const struct snap_limit *)(const void *)((const char *)i + i->limit_at);
}
static inline const struct snap_gateway *snap_gateways(const struct snap_image *i)
{
	return (const struct snap_gateway *)(const void *)((const char *)i + i->gateway_at);
}
static inline const struct snap_page *snap_pages(const struct snap_image *i)
{
	return (const struct snap_page *)(const void *)((const char *)i + i->page_at);
}
/* The value of the address in this set, 0: none. */
static inline uint32_t snap_set_find(
        const struct snap_image *i, struct snap_set set, struct ip_addr a)
{
	const char *at = (const char *)i + i->step_at;
	return ipset_find((const struct ip_step *)(const void *)at + set.first, set.count, a);
}

/* ---- endpoint table ---- */

enum snap_ep_state {
	SNAP_EP_FREE,     /* slot unused */
	SNAP_EP_UP,       /* takes requests */
	SNAP_EP_DRAINING, /* no new requests; those in flight finish */
	SNAP_EP_DOWN,     /* known, not ready */
	SNAP_EP_UNREADY,  /* was ready and lives: takes requests when none of the app's is up
	                   */
};

struct snap_endpoint {
	uint32_t state; /* enum snap_ep_state */
	uint32_t app;   /* id, not index */
	uint32_t release;
	uint32_t replica;
	uint32_t incarnation; /* counts up with every process in this slot: never the same
	                         twice */
	uint32_t weight;      /* 0…1000000 */
	uint16_t family;      /* AF_INET or AF_UNIX */
	uint16_t port;
	uint32_t ip4;   /* host order */
	uint32_t proxy; /* version of the PROXY protocol that it wants to be told by; 0:
	                   none */
	uint32_t tls;   /* 1: it speaks TLS */
	uint32_t http2; /* it is spoken to by HTTP/2 */
	char path[108]; /* AF_UNIX */
};

struct snap_slot {
	_Atomic uint32_t seq; /* odd while control writes */
	uint32_t pad;
	struct snap_endpoint ep;
};

/* ---- releases under trial ---- */

#define SNAP_TRIALS        32  /* rollouts at a time */
#define SNAP_CELLS         256 /* = METER_CELLS */
#define SNAP_TRIAL_MATCHES 4
#define SNAP_TRIAL_LEVELS  3    /* quantiles of latency: 0.5, 0.95, 0.99 */
#define SNAP_IGNORE_MAX    1024 /* bytes of all paths that mirrored answers may differ in */

enum snap_trial_flag {
	SNAP_TRIAL_JUDGE = 1,      /* evidence is counted, and the proof trips the trial */
	SNAP_TRIAL_RESCUE = 2,     /* what fails on the new release is answered by the old one */
	SNAP_TRIAL_STICKY = 4,     /* a signed cookie keeps a client on the arm that it drew */
	SNAP_TRIAL_REPLAYABLE = 8, /* only requests that could be repeated are drawn at all */
	SNAP_TRIAL_MATCH = 16,     /* match rules and preview routes reach the new release */
};

enum snap_match_kind { SNAP_MATCH_NONE, SNAP_MATCH_HEADER, SNAP_MATCH_COOKIE, SNAP_MATCH_QUERY };

/* Requests that always see the new release; they are no evidence. An empty value: any. */
struct snap_match {
	uint32_t kind;
	char name[60], value[128];
};

/*
 * One value of w, as every request that is drawn under it carries it until it is counted.
 * While an app has a trial the weights of its endpoints do not count: requests go to ready
 * endpoints of new_release with probability weight_ppm, to those of old_release otherwise,
 * to no others.
 *
 * Counters (meter.h) are never set back: `cell` names the counters of this epoch and the
 * bases say what stood there when it began.
 */
struct snap_trial {
	uint32_t app; /* id; 0: the slot is unused */
	uint32_t old_release, new_release;
	uint32_t weight_ppm; /* share of the new release */
	uint32_t epoch;      /* 1… within the rollout */
	uint32_t cell;       /* of meter_trial_cell and of each worker's meter_trial_count */
	uint32_t flags;      /* enum snap_trial_flag */
	uint32_t mirror_ppm; /* share of what the old release answers that is asked again of
	                      * the new
	                      */
	uint64_t rollout;    /* never the same twice; meter.h: the trip */
	uint64_t base_word[JUDGE_METRICS], base_new, base_old;
	uint64_t base_users[9]; /* for control alone: forced, rescued, seen, … */
	/* Slower than this is an exceedance; 0: not judged. Of the old and of the new
	 * release. */
	uint64_t slow_old_ns[SNAP_TRIAL_LEVELS], slow_new_ns[SNAP_TRIAL_LEVELS];
	uint64_t rule_p95_ns;                          /* abort_when.p95, both releases */
	uint64_t rule_ratio_old_ns, rule_ratio_new_ns; /* abort_when.p95_vs_stable */
	uint32_t warm_requests, warm_ms; /* of a new replica, until one is over: no latency */
	uint32_t sticky_s;               /* life of the cookie */
	uint32_t match_count;
	uint8_t sticky_key[16]; /* of the cookie's signature; of this rollout only */
	struct snap_match match[SNAP_TRIAL_MATCHES];
	struct judge_lens lens;
	uint32_t ignore_n;
	char ignore[SNAP_IGNORE_MAX]; /* wire/jsonpath.h, a line each, ignore_n bytes
	                                 together */
};

struct snap_trial_slot {
	_Atomic uint32_t seq; /* odd while control writes */
	uint32_t pad;
	struct snap_trial trial;
};

struct snap_table {
	uint32_t magic, layout;
	_Atomic uint64_t generation; /* +1 after every change of any slot */
	_Atomic uint64_t id; /* of this memory, by its first control; 0: none has been here yet */
	struct snap_slot slot[SNAP_ENDPOINTS];
	struct snap_trial_slot trial[SNAP_TRIALS];
};

void snap_table_init(struct snap_table *t);
struct snap_table *snap_table_open(void *mapping, size_t size); /* NULL: not one of this layout */
/* The one writer (control). */
void snap_table_set(struct snap_table *t, uint32_t slot, const struct snap_endpoint *ep);
/* A consistent copy; false after 1000 tries (a writer died half way: treat as
 * SNAP_EP_FREE). */
bool snap_table_get(const struct snap_table *t, uint32_t slot, struct snap_endpoint *ret_ep);
/* After a writer's death: makes odd slots even again as SNAP_EP_FREE, trials as unused: the
 * old release has all requests. Control, at start. */
void snap_table_repair(struct snap_table *t);

/* The one writer (control). */
void snap_trial_set(struct snap_table *t, uint32_t slot, const struct snap_trial *trial);
/* A consistent copy with all indices in range; false after 1000 tries, or for one that no
 * honest control writes: keep what was known before, or else take it as unused. */
bool snap_trial_get(const struct snap_table *t, uint32_t slot, struct snap_trial *ret_trial);

#endif
