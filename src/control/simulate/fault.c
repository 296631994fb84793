/* What goes wrong, as people write it. */
#include "control/simulate/simulate.h"
#include "control/simulate/text_priv.h"

#define SLOW_MS_DEFAULT       2000
#define SLOW_START_MS_DEFAULT 60000
#define CONTROL_BACK_MS       1000

/* What a kind takes. */
enum { SHARE = 1, TIME = 2, FACTOR = 4, COUNT = 8 };

static const struct {
	const char *name, *text;
	int takes;
} kinds[SIM_FAULT_KINDS] = {
        [SIM_FAULT_ERRORS] = {"errors", "the new release answers 500", SHARE},
        [SIM_FAULT_SLOW] = {"slow", "it answers TIME later (2s), or takes N times as long",
                SHARE | TIME | FACTOR},
        [SIM_FAULT_HANG] = {"hang", "it never answers", SHARE},
        [SIM_FAULT_CLOSE] = {"close", "it closes the connection without an answer", SHARE},
        [SIM_FAULT_CRASH] = {"crash", "its process aborts at a request, after N of them",
                SHARE | COUNT},
        [SIM_FAULT_UNHEALTHY] = {"unhealthy", "its readiness probe fails", 0},
        [SIM_FAULT_NEVER_READY] = {"never-ready", "its replicas do not get ready", 0},
        [SIM_FAULT_SLOW_START] = {"slow-start", "they get ready up to TIME later (1m)", TIME},
        [SIM_FAULT_GATE] = {"gate-fails", "every gate command fails", 0},
        [SIM_FAULT_OUTAGE] = {"outage", "both releases answer 500", SHARE},
        [SIM_FAULT_OLD_UNHEALTHY] = {"old-unhealthy", "no replica of the old release is ready", 0},
        [SIM_FAULT_QUIET] = {"quiet", "there are no requests", 0},
        [SIM_FAULT_CONTROL_DIES] = {"control-dies", "control is killed; back at TILL, or in 1s", 0},
};

const char *sim_fault_name(enum sim_fault_kind kind)
{
	return (unsigned)kind < SIM_FAULT_KINDS ? kinds[kind].name : "unknown";
}

const char *sim_fault_text(enum sim_fault_kind kind)
{
	return (unsigned)kind < SIM_FAULT_KINDS ? kinds[kind].text : "";
}

static enum hg_rc kind_fail(const struct sim_text *t, struct hg_str name)
{
	char list[320];
	struct hg_out o = hg_out_over(list, sizeof list - 1);
	const char *near = NULL;
	uint32_t least = 3;
	for (unsigned i = 0; i < SIM_FAULT_KINDS; i++) {
		uint32_t d = hg_str_distance(name, hg_str(kinds[i].name));
		if (d < least) least = d, near = kinds[i].name;
		hg_out_fmt(&o, "%s%s", i ? " " : "", kinds[i].name);
	}
	list[o.n] = 0;
	if (hg_str_starts(name, HG_STR("crash-after"))) near = "crash#200";
	sim_text_fail(t, name, "there is no fault \"%.*s\"", (int)HG_MIN(name.n, 40u), name.p);
	if (near)
		hg_err_hint(t->err, "did you mean \"%s\"?", near);
	else
		hg_err_hint(t->err, "one of: %s", list);
	return HG_E_USAGE;
}

/* "15m" or "15m..20m", behind the +. */
static enum hg_rc window(const struct sim_text *t, struct hg_str s, struct sim_fault *f)
{
	struct hg_str from = s, till = {0};
	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] != '.' || s.p[i + 1] != '.') continue;
		from.n = i;
		till = (struct hg_str){s.p + i + 2, s.n - i - 2};
		break;
	}
	if (!sim_text_span(from, &f->from_ms))
		return sim_text_fail(t, s, "+ takes a time, as +15m, or +15m..20m");
	if (!till.p) return HG_OK;
	if (!sim_text_span(till, &f->till_ms) || f->till_ms <= f->from_ms)
		return sim_text_fail(t, till, "the end has to be a time after the beginning");
	return HG_OK;
}

static enum hg_rc part(const struct sim_text *t, struct hg_str s, struct sim_fault *f)
{
	int takes = kinds[f->kind].takes;
	struct hg_str tail = {s.p + 1, s.n ? s.n - 1 : 0}, number = {s.p, tail.n};
	uint64_t n;
	if (s.n && s.p[0] == '+') return window(t, tail, f);
	if (s.n && s.p[0] == '#' && takes & COUNT) {
		if (hg_str_u64(tail, &n) && n <= 1000000000000u) {
			f->requests = n;
			return HG_OK;
		}
		return sim_text_fail(t, s, "# takes a number of requests, as #200");
	}
	if (takes & SHARE && sim_text_share(s, &f->share)) return HG_OK;
	if (takes & TIME && sim_text_span(s, &f->ms)) {
		f->factor = 0;
		return HG_OK;
	}
	if (takes & FACTOR && hg_str_ends(s, HG_STR("x")) && sim_text_number(number, &f->factor) &&
	        f->factor >= 1 && f->factor <= 1e6) {
		f->ms = 0;
		return HG_OK;
	}
	sim_text_fail(t, s, "\"%.*s\" is nothing that %s takes", (int)HG_MIN(s.n, 40u), s.p,
	        kinds[f->kind].name);
	hg_err_hint(t->err, "%s%s%s%s%s[+FROM[..TILL]]", kinds[f->kind].name,
	        takes & SHARE ? "[:SHARE%]" : "",
	        takes & FACTOR ? "[:TIME|:Nx]"
	        : takes & TIME ? "[:TIME]"
	                       : "",
	        takes & COUNT ? "[#N]" : "", "");
	return HG_E_USAGE;
}

/* Up to the next ':' (which is dropped), '+' or '#'. */
static struct hg_str cut(struct hg_str *rest)
{
	size_t n = rest->n ? 1 : 0;
	while (n < rest->n && !strchr(":+#", rest->p[n]))
		n++;
	struct hg_str got = {rest->p, n};
	bool colon = n < rest->n && rest->p[n] == ':';
	rest->p += n + colon;
	rest->n -= n + colon;
	return got;
}

enum hg_rc sim_fault_parse(
        struct hg_str text, const char *name, struct sim_fault *ret_fault, struct hg_err *err)
{
	struct sim_text t = {name, text, err};
	struct sim_fault f = {.share = 1, .till_ms = UINT64_MAX};
	struct hg_str rest = text;
	if (text.n > 256) return hg_err_set(err, HG_E_USAGE, "%s is longer than 256 bytes", name);
	struct hg_str kind = cut(&rest);
	unsigned k = 0;
	while (k < SIM_FAULT_KINDS && !hg_str_eq(kind, hg_str(kinds[k].name)))
		k++;
	if (k == SIM_FAULT_KINDS) return kind_fail(&t, kind);
	f.kind = (enum sim_fault_kind)k;
	if (f.kind == SIM_FAULT_SLOW) f.ms = SLOW_MS_DEFAULT;
	if (f.kind == SIM_FAULT_SLOW_START) f.ms = SLOW_START_MS_DEFAULT;
	while (rest.n) {
		enum hg_rc rc = part(&t, cut(&rest), &f);
		if (rc < 0) return rc;
	}
	if (f.kind == SIM_FAULT_CONTROL_DIES && f.till_ms == UINT64_MAX)
		f.till_ms = f.from_ms + CONTROL_BACK_MS;
	*ret_fault = f;
	return HG_OK;
}

enum hg_rc sim_baseline_parse(
        struct hg_str text, const char *name, struct sim_baseline *ret_baseline, struct hg_err *err)
{
	struct sim_text t = {name, text, err};
	struct sim_baseline b = *ret_baseline;
	struct hg_str rest = text;
	uint64_t median, p95;
	if (text.n == 0)
		return sim_text_fail(&t, text, "a share, a time, or both, as 0.1%%:20ms/80ms");
	while (rest.n) {
		struct hg_str at = hg_str_cut(&rest, ':'), tail = at;
		if (sim_text_share(at, &b.errors)) continue;
		struct hg_str head = hg_str_cut(&tail, '/');
		if (!sim_text_span(head, &median) || median == 0)
			return sim_text_fail(&t, at,
			        "a share of failures or a time above 0, as 0.1%%:20ms/80ms");
		/* As wide as most services are. */
		p95 = 4 * median;
		if (head.n < at.n && (!sim_text_span(tail, &p95) || p95 < median))
			return sim_text_fail(&t, tail.n ? tail : at,
			        "the 95th percentile has to be a time of at least the median");
		b.median_ms = (double)median;
		b.p95_ms = (double)p95;
	}
	*ret_baseline = b;
	return HG_OK;
}
