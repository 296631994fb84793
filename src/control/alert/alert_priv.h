/* Inside of the room: an answer of observe's, and what follows from it. */
#ifndef CONTROL_ALERT_ALERT_PRIV_H
#define CONTROL_ALERT_ALERT_PRIV_H

#include "control/alert/alert.h"
#include "control/notify/notify.h"

struct json_t;

/* An alert as observe has it; what it names lives as long as the news. */
struct news_alert {
	struct notify_input in;
	uint64_t print; /* notify_fingerprint */
	bool fires;     /* or is over */
	bool refused;   /* by those who tell people */
};

/* observe/rules/rules.h, rules_news_json has the form. */
struct news {
	struct hg_arena mem;
	struct json_t *doc;
	struct hg_str epoch;
	uint64_t at;
	struct news_alert *alerts;
	uint32_t count;
	/* Of all that fire, are over or wait, sorted. */
	uint64_t *there;
	uint32_t there_n;
	bool complete;
	const struct json_t *incomplete; /* names of alerts */
};

/* Reads an answer. False: it is none, or there is no memory; nothing is to be freed. */
HG_MUST bool news_read(struct hg_str body, uint64_t now_ms, struct news *ret_news);
void news_free(struct news *n);
/* Whether this alert was observe's, fired until now, and observe knows that it does not any more.
 */
bool news_misses(const struct news *n, const struct notify_alert *a, uint64_t now_ms);

/* An alert that fires, and since when. */
struct told {
	uint64_t print, starts_ms;
};

/* In a storm of alerts each answer has thousands of them. */
struct told_set {
	struct told *at; /* sorted, but while they are added */
	uint32_t n;
};

/* Room for n; false without memory. */
HG_MUST bool told_room(struct told_set *s, uint32_t n);
void told_sort(struct told_set *s);
bool told_has(const struct told_set *s, struct told one);

#endif
