/* `alerts` of the configuration to what is in force. */
#include "control/notify/conf_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "os/file.h"
#include "wire/re.h"
#include "wire/tzif.h"

#define PLAN_BYTES   ((size_t)16 << 20)
#define CHANNELS_MAX 512u
#define ROUTES_MAX   512u
#define WAIT_INHERIT UINT32_MAX /* the word of the schema: 0 is a wait as well */

struct making {
	const struct spec *s;
	struct notify_plan *p;
	struct notify_route *routes;
	struct notify_channel *channels;
	struct notify_receiver *receivers;
	struct hg_err *err;
	enum hg_rc rc;
	char path[128]; /* of what is being read, for places */
};

static bool no_memory(struct making *m)
{
	m->rc = hg_err_set(m->err, HG_E_NOMEM,
	        "the configuration of alerts needs more memory "
	        "than it may");
	return false;
}

static bool failed(struct making *m, enum hg_rc rc, const char *fmt, ...) HG_PRINTF(3, 4);
static bool failed(struct making *m, enum hg_rc rc, const char *fmt, ...)
{
	char text[256];
	va_list list;
	va_start(list, fmt);
	vsnprintf(text, sizeof text, fmt, list);
	va_end(list);
	m->rc = hg_err_set(m->err, rc, "%s", text);
	spec_alerts_place(m->s, m->path, m->err);
	return false;
}

/* The place is an item of a list, or a key, below what is being read. */
static void at_item(struct making *m, const char *key, uint32_t i)
{
	char path[sizeof m->path + 48];
	(void)snprintf(path, sizeof path, "%s%s%s.%u", m->path, m->path[0] ? "." : "", key, i);
	spec_alerts_place(m->s, path, m->err);
}

static void at_key(struct making *m, const char *key)
{
	char path[sizeof m->path + 48];
	(void)snprintf(path, sizeof path, "%s.%s", m->path, key);
	spec_alerts_place(m->s, path, m->err);
}

static void *take(struct making *m, size_t n, size_t size)
{
	void *p = hg_arena_array(&m->p->mem, n ? n : 1, size);
	if (!p) no_memory(m);
	return p;
}

static bool text(struct making *m, struct hg_str s, struct hg_str *ret)
{
	*ret = hg_arena_str(&m->p->mem, s);
	return ret->p || no_memory(m);
}

static bool keep_re(struct making *m, struct re *re)
{
	struct notify_plan *p = m->p;
	if (p->expression_count == p->expression_cap) {
		uint32_t cap = p->expression_cap ? p->expression_cap * 2 : 16;
		struct re **at = realloc(p->expressions, cap * sizeof(*at));
		if (!at) {
			re_free(re);
			return no_memory(m);
		}
		p->expressions = at;
		p->expression_cap = cap;
	}
	p->expressions[p->expression_count++] = re;
	return true;
}

static bool matchers(struct making *m, const char *key, const struct hg_str *from, uint32_t n,
        const struct label_matcher **ret)
{
	struct label_matcher *to = take(m, n, sizeof *to);
	struct hg_err why = {0};
	for (uint32_t i = 0; to && i < n; i++) {
		struct hg_str own;
		if (!text(m, from[i], &own)) return false;
		if (notify_matcher_parse(own, &m->p->mem, &to[i], &why) < 0) {
			(void)failed(m, HG_E_CONFIG_VALUE, "%.200s", why.message);
			hg_err_hint(m->err, "write NAME=\"VALUE\", !=, =~ or !~");
			at_item(m, key, i);
			return false;
		}
		if (to[i].op != LABEL_RE && to[i].op != LABEL_NRE) continue;
		if (re_compile(to[i].value, RE_LABEL, &to[i].re, &why) < 0) {
			(void)failed(m, HG_E_CONFIG_VALUE, "\"%.*s\": %.150s",
			        (int)HG_MIN(own.n, 60), own.p, why.message);
			at_item(m, key, i);
			return false;
		}
		if (!keep_re(m, to[i].re)) return false;
	}
	*ret = to;
	return to != NULL;
}

static bool texts(
        struct making *m, const struct hg_str *from, uint32_t n, const struct hg_str **ret)
{
	struct hg_str *to = take(m, n, sizeof *to);
	for (uint32_t i = 0; to && i < n; i++)
		if (!text(m, from[i], &to[i])) return false;
	*ret = to;
	return to != NULL;
}

/* ---- receivers ---- */

static bool channel(struct making *m, enum notify_kind kind, struct hg_str secret, struct hg_str to,
        const struct spec_receiver *from, uint32_t at)
{
	static const char *const names[] = {"slack", "pagerduty", "email", "webhook"};
	struct notify_conf *c = &m->p->conf;
	struct hg_buf b;
	if (c->channel_count == CHANNELS_MAX)
		return failed(
		        m, HG_E_CONFIG_LIMIT, "receivers have more than %u channels", CHANNELS_MAX);
	struct notify_channel *ch = &m->channels[c->channel_count];
	struct notify_way *way = &m->p->ways[c->channel_count++];
	hg_buf_init(&b, 4096);
	hg_buf_fmt(&b, "%.*s/%s%s%.*s", HG_STR_ARG(from->name), names[kind], to.n ? "/" : "",
	        HG_STR_ARG(to));
	*ch = (struct notify_channel){.kind = kind, .resolved = from->resolved, .receiver = at};
	struct hg_str url, ca, key;
	bool good = text(m, hg_buf_view(&b), &ch->key) && text(m, secret, &ch->secret) &&
	            text(m, to, &ch->to) && text(m, from->pagerduty_url, &url) &&
	            text(m, from->ca, &ca) && text(m, from->webhook_key, &key);
	hg_buf_free(&b);
	if (!good) return false;
	way->url = url.p;
	way->ca = ca.p;
	way->key = key.p;
	m->receivers[at].count++;
	return true;
}

/* A template of a receiver under the name "RECEIVER/title". */
static bool template(struct making *m, const struct spec_receiver *r, const char *what,
        struct hg_str source, struct hg_str *ret)
{
	char name[256];
	struct hg_err why = {0};
	snprintf(name, sizeof name, "%.200s/%s", r->name.p, what);
	if (!text(m, hg_str(name), ret)) return false;
	if (gotemplate_add(m->p->templates, *ret, what, source, NULL, &why) == HG_OK) return true;
	(void)failed(m, why.rc, "template `%s` of receiver \"%.60s\": %.200s", what, r->name.p,
	        why.message);
	hg_err_detail(m->err, "in line %u, column %u of the template", why.line, why.column);
	if (why.hint[0]) hg_err_hint(m->err, "%s", why.hint);
	at_key(m, what);
	return false;
}

static bool receiver(struct making *m, const struct spec_receiver *r, uint32_t at)
{
	struct notify_receiver *to = &m->receivers[at];
	struct hg_str title, body;
	uint32_t first = m->p->conf.channel_count;
	snprintf(m->path, sizeof m->path, "receivers.%.100s", r->name.p);
	*to = (struct notify_receiver){.first = first, .repeat_ms = r->repeat_ms};
	if (!text(m, r->name, &to->name) || !template(m, r, "title", r->title, &title) ||
	        !template(m, r, "text", r->text, &body))
		return false;
	bool good = (!r->slack.n || channel(m, NOTIFY_SLACK, r->slack, HG_STR(""), r, at)) &&
	            (!r->pagerduty.n ||
	                    channel(m, NOTIFY_PAGERDUTY, r->pagerduty, HG_STR(""), r, at)) &&
	            (!r->webhook.n || channel(m, NOTIFY_WEBHOOK, r->webhook, HG_STR(""), r, at));
	for (uint32_t i = 0; good && i < r->email_count; i++) {
		struct mail_address a;
		if (!m->p->mail.set)
			return failed(m, HG_E_CONFIG_MISSING,
			        "receiver \"%.60s\" has `email`, but there is no `alerts.mail`",
			        r->name.p);
		if (!mail_address_parse(r->email[i], &a)) {
			(void)failed(
			        m, HG_E_CONFIG_VALUE, "\"%.100s\" is no address", r->email[i].p);
			at_item(m, "email", i);
			return false;
		}
		good = channel(m, NOTIFY_EMAIL, HG_STR(""), a.addr, r, at);
	}
	if (good && !to->count)
		return failed(m, HG_E_CONFIG_MISSING,
		        "receiver \"%.60s\" has no slack, pagerduty, email or webhook", r->name.p);
	for (uint32_t i = first; good && i < m->p->conf.channel_count; i++) {
		m->p->ways[i].title = title;
		m->p->ways[i].text = body;
	}
	return good;
}

static bool mail(struct making *m, const struct spec_alert_mail *from)
{
	struct hg_str server, user, password, ca, address;
	if (!from->set) return true;
	snprintf(m->path, sizeof m->path, "mail");
	if (!text(m, from->server, &server) || !text(m, from->user, &user) ||
	        !text(m, from->password, &password) || !text(m, from->ca, &ca) ||
	        !text(m, from->from, &address))
		return false;
	m->p->mail.server = server.p;
	m->p->mail.user = user.p;
	m->p->mail.password = password.p;
	m->p->mail.ca = ca.p;
	m->p->mail.tls = from->tls == SPEC_ALERT_MAIL_TLS_OFF   ? SMTP_TLS_OFF
	                 : from->tls == SPEC_ALERT_MAIL_TLS_TRY ? SMTP_TLS_TRY
	                                                        : SMTP_TLS_REQUIRED;
	m->p->mail.set = true;
	if (!mail_address_parse(address, &m->p->mail.from)) {
		(void)failed(m, HG_E_CONFIG_VALUE, "\"%.100s\" is no address", address.p);
		at_key(m, "from");
		return false;
	}
	if (!user.n != !password.n)
		return failed(m, HG_E_CONFIG_MISSING,
		        "`alerts.mail` has only one of `user` and `password`");
	struct smtp_server test = {.url = server.p,
	        .user = user.p,
	        .password = user.n ? "x" : "",
	        .tls = m->p->mail.tls,
	        .ca = "",
	        .timeout_ms = 1000};
	struct hg_err why = {0};
	if (smtp_check(&test, &why) == HG_OK) return true;
	(void)failed(m, HG_E_CONFIG_VALUE, "`alerts.mail.server`: %.200s", why.message);
	at_key(m, "server");
	return false;
}

/* ---- times ---- */

static const char *const weekdays[] = {
        "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};
static const char *const months[] = {"", "january", "february", "march", "april", "may", "june",
        "july", "august", "september", "october", "november", "december"};

static bool number_of(struct hg_str s, const char *const *names, uint32_t n, int32_t *ret)
{
	uint64_t v;
	bool minus = s.n > 1 && s.p[0] == '-';
	for (uint32_t i = 0; i < n; i++)
		if (s.n && hg_str_eq_nocase(s, hg_str(names[i]))) return *ret = (int32_t)i, true;
	struct hg_str digits = {s.p + minus, s.n - minus};
	if (!hg_str_u64(digits, &v) || v > 9999) return false;
	*ret = minus ? -(int32_t)v : (int32_t)v;
	return true;
}

/* "hh:mm" in minutes. */
static bool minute_of(struct hg_str s, int32_t *ret)
{
	uint64_t h, min;
	struct hg_str hours = hg_str_cut(&s, ':');
	if (s.n != 2 || !hg_str_u64(hours, &h) || !hg_str_u64(s, &min) || h > 24 || min > 59 ||
	        (h == 24 && min))
		return false;
	*ret = (int32_t)(h * 60 + min);
	return true;
}

struct range {
	const char *key, *what;
	const char *const *names;
	uint32_t name_count;
	int32_t min, max;
};

/* Whether such days can be in one month, as Alertmanager has it: of the longest. */
static bool days_ordered(int32_t from, int32_t to)
{
	if (from < 0 && to > 0) return false;
	return (from < 0 ? 32 + from : from) <= (to < 0 ? 32 + to : to);
}

static bool spans(struct making *m, const struct hg_str *from, uint32_t n, const struct range *r,
        const struct notify_span **ret)
{
	struct notify_span *to = take(m, n, sizeof *to);
	for (uint32_t i = 0; to && i < n; i++) {
		struct hg_str rest = hg_str_trim(from[i]), first;
		bool good;
		if (!r->max) {
			first = hg_str_cut(&rest, '-');
			good = minute_of(hg_str_trim(first), &to[i].from) &&
			       minute_of(hg_str_trim(rest), &to[i].to) && to[i].from < to[i].to;
		} else {
			first = hg_str_cut(&rest, ':');
			if (!rest.n) rest = first;
			good = number_of(first, r->names, r->name_count, &to[i].from) &&
			       number_of(rest, r->names, r->name_count, &to[i].to) &&
			       to[i].from >= r->min && to[i].to <= r->max && to[i].from &&
			       to[i].to && days_ordered(to[i].from, to[i].to);
			/* Sunday is 0. */
			if (r->names == weekdays)
				good = number_of(first, r->names, 7, &to[i].from) &&
				       number_of(rest, r->names, 7, &to[i].to) && to[i].from >= 0 &&
				       to[i].to <= 6 && to[i].from <= to[i].to;
		}
		if (good) continue;
		(void)failed(m, HG_E_CONFIG_VALUE, "\"%.60s\" is no %s", from[i].p, r->what);
		at_item(m, r->key, i);
		return false;
	}
	*ret = to;
	return to != NULL;
}

static bool zone(struct making *m, struct hg_str name, const struct tzif **ret)
{
	char path[128];
	struct hg_buf b = {0};
	struct hg_err why = {0};
	*ret = NULL;
	if (!name.n || hg_str_eq(name, HG_STR("UTC"))) return true;
	if (!tzif_name_ok(name)) {
		(void)failed(m, HG_E_CONFIG_VALUE, "\"%.60s\" is no time zone", name.p);
		at_key(m, "zone");
		return false;
	}
	snprintf(path, sizeof path, "/usr/share/zoneinfo/%.*s", HG_STR_ARG(name));
	struct tzif *z = NULL;
	enum hg_rc rc = file_read(path, TZIF_MAX, &b, &why);
	if (rc == HG_OK) rc = tzif_parse(hg_buf_view(&b), &z);
	hg_buf_free(&b);
	if (rc < 0) {
		(void)failed(m, HG_E_CONFIG_VALUE, "there is no time zone \"%.60s\"", name.p);
		hg_err_hint(
		        m->err, "a name as Europe/Zurich; the package tzdata must be installed");
		at_key(m, "zone");
		return false;
	}
	m->p->zones[m->p->zone_count++] = z;
	*ret = z;
	return true;
}

static bool times(struct making *m)
{
	static const struct range minute = {"at", "time of the day", NULL, 0, 0, 0};
	static const struct range weekday = {"weekdays", "day of the week", weekdays, 7, 0, 6};
	static const struct range day = {"days", "day of the month", NULL, 0, -31, 31};
	static const struct range month = {"months", "month", months, 13, 1, 12};
	static const struct range year = {"years", "year", NULL, 0, 1970, 9999};
	const struct spec_alerts *a = &m->s->alerts;
	struct notify_times *to = take(m, a->time_count, sizeof *to);
	m->p->zones = take(m, a->time_count, sizeof(struct tzif *));
	if (!to || !m->p->zones) return false;
	for (uint32_t i = 0; i < a->time_count; i++) {
		const struct spec_alert_times *t = &a->times[i];
		struct notify_period *p = take(m, 1, sizeof *p);
		if (!p) return false;
		snprintf(m->path, sizeof m->path, "times.%.100s", t->name.p);
		*p = (struct notify_period){.minute_count = t->at_count,
		        .weekday_count = t->weekday_count,
		        .day_count = t->day_count,
		        .month_count = t->month_count,
		        .year_count = t->year_count};
		to[i] = (struct notify_times){.periods = p, .period_count = 1};
		if (!text(m, t->name, &to[i].name) || !zone(m, t->zone, &to[i].zone) ||
		        !spans(m, t->at, t->at_count, &minute, &p->minutes) ||
		        !spans(m, t->weekdays, t->weekday_count, &weekday, &p->weekdays) ||
		        !spans(m, t->days, t->day_count, &day, &p->days) ||
		        !spans(m, t->months, t->month_count, &month, &p->months) ||
		        !spans(m, t->years, t->year_count, &year, &p->years))
			return false;
	}
	m->p->conf.times = to;
	m->p->conf.times_count = a->time_count;
	return true;
}

/* ---- routes ---- */

static bool named(struct making *m, const char *key, const struct hg_str *from, uint32_t n,
        bool is_time, const uint32_t **ret)
{
	uint32_t *to = take(m, n, sizeof *to);
	const struct spec_alerts *a = &m->s->alerts;
	uint32_t count = is_time ? a->time_count : a->receiver_count;
	for (uint32_t i = 0; to && i < n; i++) {
		const char *near = NULL;
		to[i] = NOTIFY_NONE;
		for (uint32_t k = 0; k < count; k++) {
			struct hg_str name = is_time ? a->times[k].name : a->receivers[k].name;
			if (hg_str_eq(name, from[i])) to[i] = k;
			if (hg_str_distance(name, from[i]) <= 2) near = name.p;
		}
		if (to[i] != NOTIFY_NONE) continue;
		(void)failed(m, HG_E_CONFIG_REFERENCE, "there is no %s \"%.60s\"",
		        is_time ? "time" : "receiver", from[i].p);
		if (near) hg_err_hint(m->err, "did you mean \"%s\"?", near);
		at_item(m, key, i);
		return false;
	}
	*ret = to;
	return to != NULL;
}

/* A new route below `parent` (behind `*last`, its child so far), which it takes after. */
static struct notify_route *route_new(struct making *m, uint32_t parent, uint32_t *last)
{
	struct notify_conf *c = &m->p->conf;
	if (c->route_count == ROUTES_MAX) {
		(void)failed(m, HG_E_CONFIG_LIMIT, "there are more than %u routes", ROUTES_MAX);
		return NULL;
	}
	uint32_t at = c->route_count++;
	struct notify_route *r = &m->routes[at];
	*r = m->routes[parent];
	r->first = r->next = NOTIFY_NONE;
	r->mute_count = r->active_count = r->matcher_count = 0;
	r->go_on = false;
	if (*last == NOTIFY_NONE)
		m->routes[parent].first = at;
	else
		m->routes[*last].next = at;
	*last = at;
	return r;
}

/* The order in which Alertmanager writes matchers; which come first in the file says nothing. */
static int by_matcher(const void *a, const void *b)
{
	const struct label_matcher *x = *(const struct label_matcher *const *)a;
	const struct label_matcher *y = *(const struct label_matcher *const *)b;
	static const int rank[] = {[LABEL_EQ] = 0, [LABEL_NE] = 1, [LABEL_RE] = 2, [LABEL_NRE] = 3};
	int c = label_text_compare(x->name, y->name);
	if (!c) c = label_text_compare(x->value, y->value);
	return c ? c : rank[x->op] - rank[y->op];
}

/* As in Alertmanager, to the byte: PagerDuty's dedup_key is made of it. */
static bool route_key(struct making *m, const struct notify_route *parent, struct notify_route *r)
{
	struct hg_buf b;
	const struct label_matcher **sorted = take(m, r->matcher_count, sizeof(*sorted));
	if (!sorted) return false;
	for (uint32_t i = 0; i < r->matcher_count; i++)
		sorted[i] = &r->matchers[i];
	qsort(sorted, r->matcher_count, sizeof(*sorted), by_matcher);
	hg_buf_init(&b, 65536);
	hg_buf_str(&b, parent->key);
	hg_buf_cstr(&b, "/{");
	for (uint32_t i = 0; i < r->matcher_count; i++) {
		hg_buf_fmt(&b, "%s%.*s%s", i ? "," : "", HG_STR_ARG(sorted[i]->name),
		        notify_matcher_sign(sorted[i]->op));
		label_text_quote(&b, sorted[i]->value);
	}
	hg_buf_cstr(&b, "}");
	bool good = !b.failed && text(m, hg_buf_view(&b), &r->key);
	hg_buf_free(&b);
	return good;
}

static bool group_by(struct making *m, const struct hg_str *by, uint32_t n, struct notify_route *r)
{
	if (!n) return true;
	r->group_by_all = n == 1 && hg_str_eq(by[0], HG_STR("..."));
	r->group_by_count = n;
	return texts(m, by, n, &r->group_by);
}

/* What a branch and a leaf have alike. */
static bool route_fill(struct making *m, const struct spec_alert_leaf *from, uint32_t parent,
        struct notify_route *r)
{
	if (!matchers(m, "match", from->match, from->match_count, &r->matchers)) return false;
	r->matcher_count = from->match_count;
	if (!route_key(m, &m->routes[parent], r)) return false;
	if (from->to_count) {
		if (!named(m, "to", from->to, from->to_count, false, &r->receivers)) return false;
		r->receiver_count = from->to_count;
	}
	if (!group_by(m, from->group_by, from->group_by_count, r)) return false;
	if (from->wait_ms != WAIT_INHERIT) r->wait_ms = from->wait_ms;
	if (from->interval_ms) r->interval_ms = from->interval_ms;
	if (from->repeat_ms) r->repeat_ms = from->repeat_ms;
	r->go_on = from->continue_;
	if (!named(m, "mute", from->mute, from->mute_count, true, &r->mute) ||
	        !named(m, "active", from->active, from->active_count, true, &r->active))
		return false;
	r->mute_count = from->mute_count;
	r->active_count = from->active_count;
	return true;
}

static struct spec_alert_leaf leaf_of(const struct spec_alert_branch *b)
{
	return (struct spec_alert_leaf){.match = b->match,
	        .match_count = b->match_count,
	        .to = b->to,
	        .to_count = b->to_count,
	        .group_by = b->group_by,
	        .group_by_count = b->group_by_count,
	        .wait_ms = b->wait_ms,
	        .interval_ms = b->interval_ms,
	        .repeat_ms = b->repeat_ms,
	        .continue_ = b->continue_,
	        .mute = b->mute,
	        .mute_count = b->mute_count,
	        .active = b->active,
	        .active_count = b->active_count};
}

static bool branches(struct making *m, uint32_t *last)
{
	const struct spec_alert_route *from = &m->s->alerts.route;
	for (uint32_t i = 0; i < from->route_count; i++) {
		const struct spec_alert_branch *b = &from->routes[i];
		struct spec_alert_leaf as = leaf_of(b);
		snprintf(m->path, sizeof m->path, "route.routes.%u", i);
		struct notify_route *r = route_new(m, 0, last);
		if (!r || !route_fill(m, &as, 0, r)) return false;
		uint32_t parent = *last, below = NOTIFY_NONE;
		for (uint32_t k = 0; k < b->route_count; k++) {
			snprintf(m->path, sizeof m->path, "route.routes.%u.routes.%u", i, k);
			r = route_new(m, parent, &below);
			if (!r || !route_fill(m, &b->routes[k], parent, r)) return false;
		}
	}
	return true;
}

static bool severity(
        struct making *m, const char *name, const struct hg_str *to, uint32_t n, uint32_t *last)
{
	struct label_matcher *match = take(m, 1, sizeof *match);
	if (!n) return true;
	if (!match) return false;
	snprintf(m->path, sizeof m->path, "route");
	struct notify_route *r = route_new(m, 0, last);
	*match = (struct label_matcher){
	        .op = LABEL_EQ, .name = HG_STR("severity"), .value = hg_str(name)};
	if (!r || !named(m, name, to, n, false, &r->receivers)) return false;
	r->receiver_count = n;
	r->matchers = match;
	r->matcher_count = 1;
	return route_key(m, &m->routes[0], r);
}

static bool routes(struct making *m)
{
	const struct spec_alert_route *from = &m->s->alerts.route;
	uint32_t last = NOTIFY_NONE;
	struct notify_route *root = &m->routes[0];
	m->p->conf.route_count = 1;
	*root = (struct notify_route){.key = HG_STR("{}"),
	        .first = NOTIFY_NONE,
	        .next = NOTIFY_NONE,
	        .wait_ms = from->wait_ms,
	        .interval_ms = from->interval_ms ? from->interval_ms : 300000,
	        .repeat_ms = from->repeat_ms ? from->repeat_ms : 14400000,
	        .receiver_count = from->to_count};
	static const struct hg_str usual[] = {HG_STR("alertname"), HG_STR("app")};
	snprintf(m->path, sizeof m->path, "route");
	/* Defaults of lists are only words in the table. */
	if (!from->group_by_count) {
		root->group_by = usual;
		root->group_by_count = HG_COUNT(usual);
	}
	return named(m, "to", from->to, from->to_count, false, &root->receivers) &&
	       group_by(m, from->group_by, from->group_by_count, root) && branches(m, &last) &&
	       severity(m, "info", from->info, from->info_count, &last) &&
	       severity(m, "warning", from->warning, from->warning_count, &last) &&
	       severity(m, "critical", from->critical, from->critical_count, &last) &&
	       severity(m, "disaster", from->disaster, from->disaster_count, &last);
}

static bool inhibits(struct making *m)
{
	const struct spec_alerts *a = &m->s->alerts;
	struct notify_inhibit *to = take(m, a->inhibit_count, sizeof *to);
	for (uint32_t i = 0; to && i < a->inhibit_count; i++) {
		const struct spec_alert_inhibit *from = &a->inhibit[i];
		snprintf(m->path, sizeof m->path, "inhibit.%u", i);
		to[i] = (struct notify_inhibit){.source_count = from->source_count,
		        .target_count = from->target_count,
		        .equal_count = from->equal_count};
		if (!matchers(m, "source", from->source, from->source_count, &to[i].source) ||
		        !matchers(m, "target", from->target, from->target_count, &to[i].target) ||
		        !texts(m, from->equal, from->equal_count, &to[i].equal))
			return false;
	}
	m->p->conf.inhibits = to;
	m->p->conf.inhibit_count = a->inhibit_count;
	return to != NULL;
}

static bool plan_fill(struct making *m)
{
	const struct spec_alerts *a = &m->s->alerts;
	struct notify_plan *p = m->p;
	struct hg_str url;
	m->routes = take(m, ROUTES_MAX, sizeof *m->routes);
	m->channels = take(m, CHANNELS_MAX, sizeof *m->channels);
	m->receivers = take(m, a->receiver_count, sizeof *m->receivers);
	p->ways = take(m, CHANNELS_MAX, sizeof *p->ways);
	if (!m->routes || !m->channels || !m->receivers || !p->ways) return false;
	p->conf.routes = m->routes;
	p->conf.channels = m->channels;
	p->conf.receivers = m->receivers;
	p->conf.receiver_count = a->receiver_count;
	p->settle_ms = a->set ? a->settle_ms : 60000;
	if (!text(m, a->url, &url) || !mail(m, &a->mail)) return false;
	p->external_url = url.p;
	for (uint32_t i = 0; i < a->receiver_count; i++)
		if (!receiver(m, &a->receivers[i], i)) return false;
	return times(m) && routes(m) && inhibits(m);
}

void notify_plan_free(struct notify_plan *p)
{
	if (!p) return;
	for (uint32_t i = 0; i < p->zone_count; i++)
		tzif_free(p->zones[i]);
	for (uint32_t i = 0; i < p->expression_count; i++)
		re_free(p->expressions[i]);
	free(p->expressions);
	gotemplate_free(p->templates);
	hg_arena_fini(&p->mem);
	free(p);
}

const struct notify_conf *notify_plan_conf(const struct notify_plan *p)
{
	return &p->conf;
}

enum hg_rc notify_check(const struct spec *s, struct notify_plan **ret_plan, struct hg_err *err)
{
	struct notify_plan *p = calloc(1, sizeof *p);
	struct making m = {.s = s, .p = p, .err = err, .rc = HG_E_NOMEM};
	if (!p) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	hg_arena_init(&p->mem, "alerts", PLAN_BYTES);
	if (gotemplate_new(&p->templates) == HG_OK && plan_fill(&m)) {
		*ret_plan = p;
		return HG_OK;
	}
	notify_plan_free(p);
	return m.rc;
}
