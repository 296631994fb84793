/* What is told: Alertmanager's data for templates, and the bodies that receivers want. */
#include "control/notify/notify_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "os/jws.h"
#include "wire/date.h"
#include "wire/json.h"

#define DATA_BYTES    ((size_t)64 << 20) /* 10,000 alerts */
#define SHOWN_LEAST   8u                 /* so many are listed whenever one can be */
#define TITLE_RUNES   1024u
#define PAGERDUTY_MAX 512000u

static const struct notify_channel *channel_of(const struct notify_message *m)
{
	return &m->plan->conf.channels[m->channel];
}

static bool all_over(const struct notify_message *m)
{
	return m->firing == 0;
}

/* ---- data for templates ---- */

static struct gt_value map_of(struct hg_arena *mem, struct labels ls)
{
	struct gt_member *at = hg_arena_array(mem, ls.n + 1, sizeof *at);
	if (!at) return (struct gt_value){0};
	for (uint32_t i = 0; i < ls.n; i++)
		at[i] = (struct gt_member){ls.at[i].name, gt_str(ls.at[i].value)};
	return gt_map(at, ls.n, GT_TEXTS);
}

/* What all alerts have alike. */
static struct labels common(struct hg_arena *mem, const struct notify_message *m, bool annotations)
{
	if (!m->count) return (struct labels){0};
	struct labels first = annotations ? m->alerts[0]->annotations : m->alerts[0]->labels;
	struct label *to = hg_arena_array(mem, first.n + 1, sizeof *to);
	uint32_t n = 0;
	for (uint32_t i = 0; to && i < first.n; i++) {
		bool same = true;
		for (uint32_t k = 1; same && k < m->count; k++) {
			struct labels other =
			        annotations ? m->alerts[k]->annotations : m->alerts[k]->labels;
			same = hg_str_eq(labels_get(other, first.at[i].name), first.at[i].value);
		}
		if (same) to[n++] = first.at[i];
	}
	return (struct labels){to, n};
}

static struct gt_value alert_value(struct hg_arena *mem, const struct notify_alert *a, bool firing)
{
	struct gt_member *at = hg_arena_array(mem, 7, sizeof *at);
	char *print = hg_arena_take(mem, 17);
	if (!at || !print) return (struct gt_value){0};
	snprintf(print, 17, "%016llx", (unsigned long long)a->fingerprint);
	at[0] = (struct gt_member){HG_STR("Annotations"), map_of(mem, a->annotations)};
	at[1] = (struct gt_member){HG_STR("EndsAt"), gt_time(firing ? 0 : a->ends_ms)};
	at[2] = (struct gt_member){HG_STR("Fingerprint"), gt_str(hg_str(print))};
	at[3] = (struct gt_member){HG_STR("GeneratorURL"), gt_str(a->generator)};
	at[4] = (struct gt_member){HG_STR("Labels"), map_of(mem, a->labels)};
	at[5] = (struct gt_member){HG_STR("StartsAt"), gt_time(a->starts_ms)};
	at[6] = (struct gt_member){
	        HG_STR("Status"), gt_str(firing ? HG_STR("firing") : HG_STR("resolved"))};
	return gt_map(at, 7, GT_OBJECT);
}

static struct gt_value data_of(struct hg_arena *mem, const struct notify_message *m)
{
	struct gt_member *at = hg_arena_array(mem, 9, sizeof *at);
	struct gt_value *list = hg_arena_array(mem, m->shown + 1, sizeof *list);
	if (!at || !list) return (struct gt_value){0};
	for (uint32_t i = 0; i < m->shown; i++)
		list[i] = alert_value(mem, m->alerts[i], i < m->firing);
	const struct notify_conf *c = &m->plan->conf;
	at[0] = (struct gt_member){HG_STR("Alerts"), gt_list(list, m->shown, GT_ALERTS)};
	at[1] = (struct gt_member){HG_STR("CommonAnnotations"), map_of(mem, common(mem, m, true))};
	at[2] = (struct gt_member){HG_STR("CommonLabels"), map_of(mem, common(mem, m, false))};
	at[3] = (struct gt_member){HG_STR("ExternalURL"), gt_str(hg_str(m->plan->external_url))};
	at[4] = (struct gt_member){HG_STR("GroupKey"), gt_str(m->group)};
	at[5] = (struct gt_member){HG_STR("GroupLabels"), map_of(mem, m->group_labels)};
	at[6] = (struct gt_member){
	        HG_STR("Receiver"), gt_str(c->receivers[channel_of(m)->receiver].name)};
	at[7] = (struct gt_member){
	        HG_STR("Status"), gt_str(all_over(m) ? HG_STR("resolved") : HG_STR("firing"))};
	at[8] = (struct gt_member){HG_STR("TruncatedAlerts"), gt_int(m->count - m->shown)};
	return gt_map(at, 9, GT_OBJECT);
}

/* Without a template: nothing in it can fail. */
static void plain(const struct notify_message *m, bool title, struct hg_buf *to)
{
	hg_buf_fmt(to, "[%s:%u] %.*s", all_over(m) ? "RESOLVED" : "FIRING",
	        all_over(m) ? m->count : m->firing, HG_STR_ARG(m->group));
	for (uint32_t i = 0; i < m->shown && !title; i++) {
		hg_buf_fmt(to, "\n%s ", i < m->firing ? "firing" : "resolved");
		labels_print(to, m->alerts[i]->labels);
	}
}

static enum hg_rc run_once(
        const struct notify_message *m, struct hg_str name, struct hg_buf *to, struct hg_err *err)
{
	struct hg_arena mem;
	struct gotemplate_env env = {
	        .now_ms = m->now_ms, .external_url = hg_str(m->plan->external_url)};
	hg_buf_reset(to);
	hg_arena_init(&mem, "notification", DATA_BYTES);
	struct gt_value dot = data_of(&mem, m);
	enum hg_rc rc =
	        dot.kind == GT_MAP
	                ? gotemplate_run(m->plan->templates, name, &dot, NULL, &env, &mem, to, err)
	                : hg_err_set(err, HG_E_TOO_LARGE, "the alerts are too large");
	hg_arena_fini(&mem);
	return rc;
}

static bool fewer(struct notify_message *m)
{
	if (m->shown <= SHOWN_LEAST) return false;
	m->shown /= 2;
	return true;
}

/* In a storm what is said of each alert may be more than a message takes: then fewer are listed,
 * so that people are told at all. */
static void run(struct notify_message *m, struct hg_str name, bool title, struct hg_buf *to)
{
	struct hg_err first = {0}, err = {0};
	m->shown = m->count;
	enum hg_rc rc = run_once(m, name, to, &first);
	while (rc < 0 && fewer(m))
		rc = run_once(m, name, to, &err);
	if (rc < 0) {
		(void)hg_str_copy(
		        hg_str(first.message), m->template_error, sizeof m->template_error);
		m->shown = m->count;
		do {
			hg_buf_reset(to);
			plain(m, title, to);
		} while (to->failed && fewer(m));
	}
	if (m->shown < m->count && !title) hg_buf_fmt(to, "\nand %u more", m->count - m->shown);
}

/* At most so many code points, the last one "…". */
static struct hg_str cut(struct hg_str s, size_t runes, char *tail)
{
	size_t n = 0, i = 0, before = 0;
	for (; i < s.n; i++) {
		if ((s.p[i] & 0xc0) == 0x80) continue;
		if (++n == runes) before = i;
		if (n > runes) break;
	}
	*tail = n > runes;
	return n > runes ? (struct hg_str){s.p, before} : s;
}

struct texts {
	struct hg_buf title, body, short_title;
};

static void texts_make(struct notify_message *m, struct texts *t)
{
	const struct notify_way *way = &m->plan->ways[m->channel];
	char more;
	hg_buf_init(&t->title, NOTIFY_BODY_MAX / 4);
	hg_buf_init(&t->body, NOTIFY_BODY_MAX / 4);
	hg_buf_init(&t->short_title, 65536);
	run(m, way->title, true, &t->title);
	run(m, way->text, false, &t->body);
	hg_buf_str(&t->short_title, cut(hg_buf_view(&t->title), TITLE_RUNES, &more));
	if (more) hg_buf_cstr(&t->short_title, "\xe2\x80\xa6");
}

static void texts_free(struct texts *t)
{
	hg_buf_free(&t->title);
	hg_buf_free(&t->body);
	hg_buf_free(&t->short_title);
}

/* ---- bodies ---- */

static void member(struct json_out *j, const char *key, struct hg_str value)
{
	json_out_key(j, key);
	json_out_str(j, value);
}

static void labels_json(struct json_out *j, const char *key, struct labels ls)
{
	json_out_key(j, key);
	json_out_object(j);
	for (uint32_t i = 0; i < ls.n; i++) {
		char name[1024];
		if (!hg_str_copy(ls.at[i].name, name, sizeof name)) continue;
		member(j, name, ls.at[i].value);
	}
	json_out_end(j);
}

static void slack(struct notify_message *m, const struct texts *t, struct json_out *j)
{
	json_out_object(j);
	json_out_key(j, "attachments");
	json_out_array(j);
	json_out_object(j);
	member(j, "title", hg_buf_view(&t->short_title));
	if (m->plan->external_url[0]) member(j, "title_link", hg_str(m->plan->external_url));
	member(j, "text", hg_buf_view(&t->body));
	member(j, "fallback", hg_buf_view(&t->short_title));
	member(j, "color", all_over(m) ? HG_STR("good") : HG_STR("danger"));
	json_out_key(j, "mrkdwn_in");
	json_out_array(j);
	json_out_cstr(j, "fallback");
	json_out_cstr(j, "pretext");
	json_out_cstr(j, "text");
	json_out_end(j);
	json_out_end(j);
	json_out_end(j);
	json_out_end(j);
}

static struct hg_str pager_severity(struct labels common_labels)
{
	struct hg_str s = labels_get(common_labels, HG_STR("severity"));
	if (hg_str_eq(s, HG_STR("warning")) || hg_str_eq(s, HG_STR("info"))) return s;
	if (hg_str_eq(s, HG_STR("critical")) || hg_str_eq(s, HG_STR("disaster")))
		return HG_STR("critical");
	return HG_STR("error");
}

static void pager_key(struct hg_str group, char to[static 65])
{
	unsigned char digest[JWS_DIGEST];
	to[0] = 0;
	if (jws_sha256(group, digest) < 0) return;
	for (int i = 0; i < 32; i++)
		snprintf(to + 2 * (size_t)i, 3, "%02x", digest[i]);
}

static void pagerduty(struct notify_message *m, const struct texts *t, struct hg_str key,
        bool details, struct json_out *j)
{
	struct hg_arena mem;
	char dedup[65];
	hg_arena_init(&mem, "labels", DATA_BYTES);
	pager_key(m->group, dedup);
	struct hg_str title = hg_buf_view(&t->short_title);
	json_out_object(j);
	member(j, "routing_key", key);
	member(j, "dedup_key", hg_str(dedup));
	member(j, "event_action", all_over(m) ? HG_STR("resolve") : HG_STR("trigger"));
	member(j, "client", HG_STR("Headgate"));
	if (m->plan->external_url[0]) member(j, "client_url", hg_str(m->plan->external_url));
	json_out_key(j, "payload");
	json_out_object(j);
	member(j, "summary", title.n ? title : HG_STR("alert"));
	member(j, "source",
	        m->plan->external_url[0] ? hg_str(m->plan->external_url) : HG_STR("Headgate"));
	member(j, "severity", pager_severity(common(&mem, m, false)));
	if (details) {
		json_out_key(j, "custom_details");
		json_out_object(j);
		member(j, "text", hg_buf_view(&t->body));
		json_out_key(j, "num_firing");
		json_out_u64(j, m->firing);
		json_out_key(j, "num_resolved");
		json_out_u64(j, m->count - m->firing);
		json_out_end(j);
	}
	json_out_end(j);
	json_out_end(j);
	hg_arena_fini(&mem);
}

static void webhook_alert(struct json_out *j, const struct notify_alert *a, bool firing)
{
	char at[DATE_RFC3339_SIZE], print[17];
	json_out_object(j);
	member(j, "status", firing ? HG_STR("firing") : HG_STR("resolved"));
	labels_json(j, "labels", a->labels);
	labels_json(j, "annotations", a->annotations);
	date_rfc3339(a->starts_ms, at);
	member(j, "startsAt", hg_str(at));
	date_rfc3339(a->ends_ms, at);
	member(j, "endsAt", firing ? HG_STR("0001-01-01T00:00:00Z") : hg_str(at));
	member(j, "generatorURL", a->generator);
	snprintf(print, sizeof print, "%016llx", (unsigned long long)a->fingerprint);
	member(j, "fingerprint", hg_str(print));
	json_out_end(j);
}

static void webhook(struct notify_message *m, struct json_out *j)
{
	struct hg_arena mem;
	hg_arena_init(&mem, "labels", DATA_BYTES);
	json_out_object(j);
	member(j, "receiver", m->plan->conf.receivers[channel_of(m)->receiver].name);
	member(j, "status", all_over(m) ? HG_STR("resolved") : HG_STR("firing"));
	json_out_key(j, "alerts");
	json_out_array(j);
	for (uint32_t i = 0; i < m->shown; i++)
		webhook_alert(j, m->alerts[i], i < m->firing);
	json_out_end(j);
	labels_json(j, "groupLabels", m->group_labels);
	labels_json(j, "commonLabels", common(&mem, m, false));
	labels_json(j, "commonAnnotations", common(&mem, m, true));
	member(j, "externalURL", hg_str(m->plan->external_url));
	member(j, "version", HG_STR("4"));
	member(j, "groupKey", m->group);
	json_out_key(j, "truncatedAlerts");
	json_out_u64(j, m->count - m->shown);
	json_out_end(j);
	hg_arena_fini(&mem);
}

bool notify_body(struct notify_message *m, struct hg_str key, struct hg_buf *to)
{
	struct json_out j;
	struct texts t;
	enum notify_kind kind = channel_of(m)->kind;
	json_out_init(&j, to);
	if (kind == NOTIFY_WEBHOOK) {
		m->shown = m->count;
		webhook(m, &j);
		while (!json_out_ok(&j) && fewer(m)) {
			hg_buf_reset(to);
			json_out_init(&j, to);
			webhook(m, &j);
		}
		return json_out_ok(&j);
	}
	texts_make(m, &t);
	if (kind == NOTIFY_SLACK)
		slack(m, &t, &j);
	else
		pagerduty(m, &t, key, true, &j);
	if (kind == NOTIFY_PAGERDUTY && (to->failed || to->n > PAGERDUTY_MAX)) {
		hg_buf_reset(to);
		json_out_init(&j, to);
		pagerduty(m, &t, key, false, &j);
	}
	texts_free(&t);
	return json_out_ok(&j);
}

bool notify_mail(struct notify_message *m, struct hg_buf *to)
{
	struct texts t;
	texts_make(m, &t);
	struct mail mail = {.from = m->plan->mail.from,
	        .to = {.addr = channel_of(m)->to},
	        .subject = hg_buf_view(&t.short_title),
	        .body = hg_buf_view(&t.body),
	        .id = hg_str(m->id),
	        .unix_s = m->now_ms / 1000};
	mail_write(to, &mail);
	texts_free(&t);
	return !to->failed;
}
