/* Traffic profiles: what people write, and how much is asked for when. */
#include "control/simulate/simulate.h"
#include "control/simulate/text_priv.h"

#include <math.h>

#define THINK_DEFAULT_MS 1000

struct words {
	struct sim_text text;
	struct hg_str rest; /* of this stage */
	struct hg_str end;  /* where it ends, for "… is missing" */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == '=';
}

/* The next word; empty at the end. */
static struct hg_str word(struct words *w)
{
	struct hg_str *s = &w->rest;
	while (s->n && is_blank(s->p[0]))
		s->p++, s->n--;
	size_t n = 0;
	while (n < s->n && !is_blank(s->p[n]))
		n++;
	struct hg_str got = {s->p, n};
	s->p += n;
	s->n -= n;
	return got;
}

static struct hg_str peek(const struct words *w)
{
	struct words ahead = *w;
	return word(&ahead);
}

static bool is(struct hg_str s, const char *name)
{
	return hg_str_eq(s, hg_str(name));
}

static bool is_users(struct hg_str s)
{
	return is(s, "users") || is(s, "user");
}

/* "1000/s", "100 users", "users 100", or a bare number that means what was meant before. */
static enum hg_rc load(struct words *w, const struct sim_stage *before, struct sim_stage *s)
{
	struct hg_str at = word(w), number = at;
	if (at.n == 0) return sim_text_fail(&w->text, w->end, "a number is missing here");
	bool first = is_users(at);
	if (first) at = number = word(w);
	bool rate = hg_str_ends(number, HG_STR("/s"));
	if (rate) number.n -= 2;
	if ((first && rate) || !sim_text_number(number, &s->to)) {
		sim_text_fail(&w->text, at.n ? at : w->end,
		        at.n ? "\"%.*s\" is no number of %s" : "%.*sa number of %s is missing here",
		        (int)HG_MIN(at.n, 40u), at.n ? at.p : "",
		        first ? "users" : "requests or users");
		hg_err_hint(w->text.err,
		        "1000/s, 100 users think 1s, or ramp 2m to 100 users think 1s");
		return HG_E_USAGE;
	}
	bool counted = first || is_users(peek(w));
	if (!first && counted && !rate) (void)word(w);
	if (rate && counted)
		return sim_text_fail(&w->text, at, "requests a second or users, not both");
	if (!rate && !counted && !before && s->to > 0) {
		sim_text_fail(&w->text, at, "\"%.*s\" of what?", HG_STR_ARG(at));
		hg_err_hint(w->text.err, "%.*s/s for requests a second, or %.*s users",
		        HG_STR_ARG(at), HG_STR_ARG(at));
		return HG_E_USAGE;
	}
	s->users = counted || (!rate && before && before->users);
	if (s->to > (s->users ? SIM_USERS_MAX : SIM_RATE_MAX))
		return sim_text_fail(&w->text, at, "at most %.0f %s",
		        s->users ? SIM_USERS_MAX : SIM_RATE_MAX,
		        s->users ? "users" : "requests a second");
	s->think_ms = s->users ? before && before->users ? before->think_ms : THINK_DEFAULT_MS : 0;
	return HG_OK;
}

/* What may follow a load. */
static enum hg_rc load_more(struct words *w, struct sim_stage *s, double *unsafe)
{
	uint64_t ms;
	for (;;) {
		struct hg_str name = word(w), value;
		if (name.n == 0) return HG_OK;
		if (is(name, "think") && s->users) {
			value = word(w);
			if (!sim_text_span(value, &ms) || ms == 0)
				return sim_text_fail(&w->text, value.n ? value : w->end,
				        "think takes a time above 0, as 500ms, 1s or 30s");
			s->think_ms = (double)ms;
		} else if (is(name, "think")) {
			return sim_text_fail(
			        &w->text, name, "only users think, not requests a second");
		} else if (is(name, "unsafe")) {
			value = word(w);
			if (!sim_text_share(value, unsafe))
				return sim_text_fail(&w->text, value.n ? value : w->end,
				        "unsafe takes a share, as 20%%");
		} else {
			sim_text_fail(&w->text, name, "\"%.*s\" is not understood here",
			        (int)HG_MIN(name.n, 40u), name.p);
			hg_err_hint(w->text.err,
			        "think TIME or unsafe SHARE%%; stages are separated by ;");
			return HG_E_USAGE;
		}
	}
}

static enum hg_rc span(struct words *w, const char *what, uint64_t *ret_ms)
{
	struct hg_str at = word(w);
	if (sim_text_span(at, ret_ms)) return HG_OK;
	return sim_text_fail(&w->text, at.n ? at : w->end,
	        "%s takes a time of at most 30d, as 30s, 5m or 1h", what);
}

static enum hg_rc stage(
        struct words *w, const struct sim_stage *before, struct sim_stage *s, double *unsafe)
{
	struct hg_str first = peek(w);
	enum hg_rc rc = HG_OK;
	if (is(first, "hold")) {
		(void)word(w);
		if (!before) return sim_text_fail(&w->text, first, "there is nothing to hold yet");
		*s = *before;
		rc = span(w, "hold", &s->ms);
	} else if (is(first, "ramp")) {
		(void)word(w);
		rc = span(w, "ramp", &s->ms);
		if (rc < 0) return rc;
		struct hg_str to = word(w);
		if (!is(to, "to"))
			return sim_text_fail(&w->text, to.n ? to : w->end,
			        "ramp TIME to LOAD: \"to\" is missing");
		rc = load(w, before, s);
		if (rc == HG_OK && before && before->users != s->users && before->to > 0 &&
		        s->to > 0)
			return sim_text_fail(&w->text, first,
			        "a ramp goes from users to users or from requests to requests");
	} else {
		rc = load(w, before, s);
	}
	return rc < 0 ? rc : load_more(w, s, unsafe);
}

enum hg_rc sim_traffic_parse(
        struct hg_str text, const char *name, struct sim_traffic *ret_traffic, struct hg_err *err)
{
	struct sim_traffic t = {0};
	struct words w = {.text = {name, text, err}};
	struct hg_str rest = text;
	if (text.n > 4096) return hg_err_set(err, HG_E_USAGE, "%s is longer than 4096 bytes", name);
	if (hg_str_trim(text).n == 0)
		return sim_text_fail(&w.text, text, "the profile is empty; as 1000/s or 100 users");
	while (rest.n) {
		struct sim_stage s = {0};
		w.rest = hg_str_cut(&rest, ';');
		w.end = (struct hg_str){w.rest.p + w.rest.n, 0};
		if (peek(&w).n == 0) continue;
		if (t.count == SIM_STAGES_MAX)
			return sim_text_fail(
			        &w.text, w.rest, "more than %u stages", SIM_STAGES_MAX);
		enum hg_rc rc = stage(&w, t.count ? &t.stage[t.count - 1] : NULL, &s, &t.unsafe);
		if (rc < 0) return rc;
		t.stage[t.count++] = s;
	}
	if (t.count == 0) return sim_text_fail(&w.text, text, "the profile has no stage");
	*ret_traffic = t;
	return HG_OK;
}

struct sim_stage sim_traffic_at(const struct sim_traffic *t, uint64_t ms)
{
	struct sim_stage last = {0};
	for (uint32_t i = 0; i < t->count; i++) {
		struct sim_stage s = t->stage[i];
		if (ms >= s.ms) {
			ms -= s.ms;
			last = s;
			continue;
		}
		/* Down to nothing of the other kind is down to nothing. */
		struct sim_stage now = s.to > 0 || !(last.to > 0) ? s : last;
		now.to = last.to + (s.to - last.to) * (double)ms / (double)s.ms;
		return now;
	}
	return last;
}

uint64_t sim_traffic_next(const struct sim_traffic *t, uint64_t ms)
{
	uint64_t at = 0;
	for (uint32_t i = 0; i < t->count; i++) {
		at += t->stage[i].ms;
		if (at > ms) return at;
	}
	return UINT64_MAX;
}
