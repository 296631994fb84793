/* Routes, receivers and times by hand, and what is sent as text. */
#ifndef TESTS_NOTIFY_ROUTES_H
#define TESTS_NOTIFY_ROUTES_H

#include "world.h"

#define M(label, what, text)                                             \
	{                                                                \
		.op = what, .name = HG_STR(label), .value = HG_STR(text) \
	}

static const struct label_matcher critical[] = {M("severity", LABEL_EQ, "critical")};
static const struct label_matcher warning[] = {M("severity", LABEL_EQ, "warning")};
static const struct label_matcher db[] = {M("team", LABEL_EQ, "db")};
static const struct label_matcher not_dev[] = {M("env", LABEL_NE, "dev")};
static const struct hg_str by_name[] = {HG_STR("alertname")};
static const struct hg_str by_app[] = {HG_STR("app")};
static const uint32_t zero[] = {0}, one[] = {1}, both[] = {0, 1};
static const struct notify_span night[] = {{22 * 60, 24 * 60}}, weekend[] = {{0, 0}, {6, 6}};
static const struct notify_period at_night[] = {{.minutes = night, .minute_count = 1}};
static const struct notify_period at_weekend[] = {{.weekdays = weekend, .weekday_count = 2}};
static const struct notify_times times[] = {
        {HG_STR("night"), at_night, 1, NULL}, {HG_STR("weekend"), at_weekend, 1, NULL}};
static const struct notify_channel channels[] = {
        {NOTIFY_WEBHOOK, HG_STR("team/webhook"), HG_STR("X"), HG_STR(""), true, 0},
        {NOTIFY_EMAIL, HG_STR("mail/email"), HG_STR(""), HG_STR("a@b"), false, 1}};
static const struct notify_receiver receivers[] = {
        {HG_STR("team"), 0, 1, 0}, {HG_STR("mail"), 1, 1, 0}};
static const struct notify_inhibit inhibits[] = {{critical, warning, 1, 1, by_app, 1}};

#define ROUTE(k, child, sibling, ...)                                                       \
	{                                                                                   \
		.key = HG_STR(k), .first = (child), .next = (sibling), .group_by = by_name, \
		.group_by_count = 1, .interval_ms = 5 * MIN_MS, .repeat_ms = 60 * MIN_MS,   \
		__VA_ARGS__                                                                 \
	}
#define ALONE(...) ROUTE("{}", NOTIFY_NONE, NOTIFY_NONE, __VA_ARGS__)
#define WAITS      .wait_ms = 30000
/* One route to the first receiver, looked at every `every`. */
#define EVERY(every, again)                                                       \
	{                                                                         \
		.key = HG_STR("{}"), .first = NOTIFY_NONE, .next = NOTIFY_NONE,   \
		.group_by = by_name, .group_by_count = 1, .interval_ms = (every), \
		.repeat_ms = (again), .receivers = zero, .receiver_count = 1      \
	}

static const struct notify_route plain[] = {ALONE(WAITS, .receivers = zero, .receiver_count = 1)};

static inline struct notify_conf conf_of(const struct notify_route *routes, uint32_t n)
{
	return (struct notify_conf){.routes = routes,
	        .route_count = n,
	        .receivers = receivers,
	        .receiver_count = 2,
	        .channels = channels,
	        .channel_count = 2,
	        .times = times,
	        .times_count = 2};
}

/* Sends of this moment as text, all delivered. */
static inline void sent_now(struct notify_state *s, uint64_t now, struct hg_buf *to)
{
	struct notify_send *send;
	while ((send = notify_due(s, now))) {
		for (uint32_t i = 0; i < send->count; i++) {
			struct hg_str app = labels_get(send->alerts[i]->labels, HG_STR("app"));
			hg_buf_fmt(
			        to, "%c%.*s", i < send->firing_count ? '+' : '-', HG_STR_ARG(app));
		}
		notify_result(s, send, NOTIFY_DELIVERED, 0, NULL, now);
	}
}

#endif
