/*
 * Who is told of which alert, and when: Alertmanager's rules, without a clock and without I/O.
 *
 * Alerts go in (notify_put), time goes on (notify_tick), sends come out (notify_due), results go in
 * (notify_result). A tree of routes gives each alert to one or more receivers; alerts of one route
 * with the same group labels are one group; a group waits `wait`, and is then looked at every
 * `interval`. What is silenced, inhibited or in a muted time counts as not there. The notification
 * log, one entry for each group and channel, says what was told last: it is told again when an
 * alert is new, one was resolved, or `repeat` is over.
 *
 * One object is one thread's. Times are Unix milliseconds and never run backwards for the callee:
 * an earlier one counts as the last, unless notify_clock_set said so. Memory: NOTIFY_*_MAX.
 */
#ifndef CONTROL_NOTIFY_DECIDE_H
#define CONTROL_NOTIFY_DECIDE_H

#include "base/arena.h"
#include "base/err.h"
#include "observe/tsdb/labels.h"

#define NOTIFY_ALERTS_MAX     10000u
#define NOTIFY_GROUPS_MAX     2000u
#define NOTIFY_SILENCES_MAX   1000u
#define NOTIFY_LOG_MAX        8000u
#define NOTIFY_LABEL_BYTES    16384u     /* of one alert: labels and annotations, each */
#define NOTIFY_KEPT_MS        60000u     /* how much later an alert ends than the store knows */
#define NOTIFY_RESOLVE_MS     300000u    /* an alert without an end that nobody repeats */
#define NOTIFY_KEEP_MS        432000000u /* silences that ended: 120 h */
#define NOTIFY_ID_SIZE        37u
#define NOTIFY_ERROR_SIZE     160u
#define NOTIFY_TIMEOUT_MIN_MS 10000u   /* a flush is tried at least that long */
#define NOTIFY_ASKED_MAX_MS   3600000u /* the longest Retry-After that is kept */
#define NOTIFY_NONE           UINT32_MAX

/* ---- configuration; built by notify_conf_new or by hand, and never changed ---- */

struct tzif;

struct notify_span {
	int32_t from, to; /* both are in it; days of a month may be negative: from its end */
};

/* Empty lists take every time. */
struct notify_period {
	const struct notify_span *minutes;  /* of the day; `to` is not in it */
	const struct notify_span *weekdays; /* Sunday is 0 */
	const struct notify_span *days, *months, *years;
	uint32_t minute_count, weekday_count, day_count, month_count, year_count;
};

struct notify_times {
	struct hg_str name;
	const struct notify_period *periods;
	uint32_t period_count;
	const struct tzif *zone; /* NULL: UTC */
};

struct notify_route {
	struct hg_str key; /* "{}/{severity=\"critical\"}", names it in the log */
	const struct label_matcher *matchers;
	uint32_t matcher_count;
	uint32_t first, next;      /* child, sibling; NOTIFY_NONE */
	bool go_on;                /* the siblings are asked too */
	const uint32_t *receivers; /* none: nobody is told */
	uint32_t receiver_count;
	const struct hg_str *group_by;
	uint32_t group_by_count;
	bool group_by_all; /* "...": each alert is a group of its own */
	uint64_t wait_ms, interval_ms, repeat_ms;
	const uint32_t *mute, *active; /* indexes of times */
	uint32_t mute_count, active_count;
};

enum notify_kind { NOTIFY_SLACK, NOTIFY_PAGERDUTY, NOTIFY_EMAIL, NOTIFY_WEBHOOK };

struct notify_channel {
	enum notify_kind kind;
	struct hg_str key;    /* "team/slack/0", names it in the log */
	struct hg_str secret; /* name of the secret with URL or key; e-mail: "" */
	struct hg_str to;     /* e-mail: the address */
	bool resolved;        /* wants to know of it */
	uint32_t receiver;
};

struct notify_receiver {
	struct hg_str name;
	uint32_t first, count; /* of channels */
	uint64_t repeat_ms;    /* 0: the route's */
};

struct notify_inhibit {
	const struct label_matcher *source, *target;
	uint32_t source_count, target_count;
	const struct hg_str *equal;
	uint32_t equal_count;
};

struct notify_conf {
	const struct notify_route *routes; /* the first is the root */
	const struct notify_receiver *receivers;
	const struct notify_channel *channels;
	const struct notify_inhibit *inhibits;
	const struct notify_times *times;
	uint32_t route_count, receiver_count, channel_count, inhibit_count, times_count;
	uint64_t resolve_ms; /* 0: NOTIFY_RESOLVE_MS */
};

/* Routes that take the alert, at most `max`; the root takes what no other does. Their number. */
uint32_t notify_route_match(
        const struct notify_conf *c, struct labels ls, uint32_t *ret_routes, uint32_t max);
/* Whether `now` lies in it. */
bool notify_times_contain(const struct notify_times *t, uint64_t now_ms);

/* ---- alerts ---- */

struct notify_alert {
	uint64_t fingerprint; /* Prometheus' of the labels */
	struct labels labels, annotations;
	struct hg_str generator;
	uint64_t starts_ms, ends_ms, updated_ms;
	bool timeout;    /* nobody gave an end: it ends when nobody repeats it */
	bool rule;       /* of a rule, by observe */
	uint32_t groups; /* that hold it */
};

static inline bool notify_alert_resolved(const struct notify_alert *a, uint64_t now_ms)
{
	return a->ends_ms <= now_ms;
}
uint64_t notify_fingerprint(struct labels ls);

/* As somebody tells it; 0: not said. */
struct notify_input {
	struct labels labels, annotations;
	struct hg_str generator;
	uint64_t starts_ms, ends_ms;
	bool rule; /* of a rule: who evaluates them knows when it is over */
};

/* ---- silences ---- */

struct notify_silence {
	char id[NOTIFY_ID_SIZE];
	struct label_matcher *matchers; /* owned, with their expressions */
	uint32_t matcher_count;
	uint64_t starts_ms, ends_ms, updated_ms;
	struct hg_str created_by, comment;
};

enum notify_silence_state { NOTIFY_PENDING, NOTIFY_ACTIVE, NOTIFY_EXPIRED };

static inline enum notify_silence_state notify_silence_state(
        const struct notify_silence *s, uint64_t now_ms)
{
	return s->ends_ms <= now_ms    ? NOTIFY_EXPIRED
	       : s->starts_ms > now_ms ? NOTIFY_PENDING
	                               : NOTIFY_ACTIVE;
}

/* ---- the notification log ---- */

/* What a channel was told last of a group, and what it is being told. */
struct notify_entry {
	struct hg_str group, channel; /* keys */
	uint64_t sent_ms;             /* 0: never */
	uint64_t expires_ms;
	uint64_t *firing, *resolved; /* fingerprints, sorted */
	uint32_t firing_count, resolved_count;
	/* Under way, from before it is sent until its result is known: after a crash it is sent
	 * again with the same id. "": nothing is. */
	char id[NOTIFY_ID_SIZE];
	uint64_t try_ms;
	uint64_t *try_firing, *try_resolved;
	uint32_t try_firing_count, try_resolved_count;
	uint32_t attempts;
	char error[NOTIFY_ERROR_SIZE]; /* of the last attempt; "": it went well, or none was made */
};

/* ---- groups and sends ---- */

enum notify_why {
	NOTIFY_WHY_WAITING,   /* it was not looked at yet */
	NOTIFY_WHY_SENDING,   /* somebody is being told, and no attempt has failed */
	NOTIFY_WHY_SENT,      /* somebody was told */
	NOTIFY_WHY_TOLD,      /* everybody knows already */
	NOTIFY_WHY_SILENCED,  /* all of it is */
	NOTIFY_WHY_INHIBITED, /* likewise, or some by this and some by that */
	NOTIFY_WHY_TIME,      /* a muted time, or outside of the active ones */
	NOTIFY_WHY_NOBODY,    /* the route names no receiver, or it has no channel */
	NOTIFY_WHY_RESOLVED,  /* it was over before anybody was told */
	NOTIFY_WHY_FAILED     /* the last attempt at a channel went wrong; others follow */
};
const char *notify_why_text(enum notify_why w);

struct notify_group {
	struct hg_str key;
	uint32_t route;
	struct labels labels;
	struct notify_alert **alerts; /* sorted by fingerprint */
	uint32_t alert_count, alert_cap;
	uint64_t next_ms; /* when it is looked at */
	bool looked;      /* once at least */
	uint32_t busy;    /* sends under way */
	bool failed;      /* one of them, since the last look */
	enum notify_why why;
};

struct notify_send {
	char id[NOTIFY_ID_SIZE]; /* the same in every attempt */
	struct notify_group *group;
	uint32_t channel;
	const struct notify_alert **alerts; /* firing first; those that the channel wants */
	uint32_t firing_count, count;
	uint64_t now_ms;   /* of the look: whether an alert was resolved is by this time */
	uint64_t next_ms;  /* of the next attempt */
	uint64_t until_ms; /* given up then, and looked at again with the group */
	uint32_t attempts; /* begun */
	bool under_way;
	struct notify_entry *entry;
	struct notify_send *next; /* of the state's list */
};

enum notify_result {
	NOTIFY_DELIVERED,
	NOTIFY_RETRY, /* silence, 5xx, 429: may go better */
	NOTIFY_FINAL  /* 4xx and the like: will not */
};

struct notify_state;

/* `seed`: for ids. HG_E_NOMEM. */
HG_MUST enum hg_rc notify_state_new(uint64_t seed, struct notify_state **ret_state);
void notify_state_free(struct notify_state *s);
/*
 * Another configuration: all alerts are grouped anew; the log makes that nobody is told again.
 * Sends under way end without result. The conf must live as long as it is in force. HG_E_NOMEM.
 */
HG_MUST enum hg_rc notify_conf_use(
        struct notify_state *s, const struct notify_conf *c, uint64_t now_ms, struct hg_err *err);
/*
 * After a restart: nothing is looked at before `until_ms`, so that what inhibits can arrive first;
 * alerts that had not ended when they were last heard of do not end by themselves for another
 * NOTIFY_RESOLVE_MS: nobody could repeat them.
 */
void notify_hold(struct notify_state *s, uint64_t until_ms);
/*
 * The clock was set, by so much (or the machine slept): what is waited for stays as far away as it
 * was, and nothing that nobody could repeat meanwhile is over for that. Silences, muted times and
 * ends that somebody named are times of the clock and stay. Call it before the state hears of a
 * time by the new clock.
 */
void notify_clock_set(struct notify_state *s, int64_t by_ms);

/*
 * Takes an alert, or news of one. HG_E_ALERT_BODY: no labels, starts after its end, too large;
 * HG_E_ALERT_LIMIT, HG_E_NOMEM. *ret_alert (may be NULL) is valid until the next call.
 */
HG_MUST enum hg_rc notify_put(struct notify_state *s, const struct notify_input *in,
        uint64_t now_ms, const struct notify_alert **ret_alert, struct hg_err *err);
/* One of the store; before notify_conf_use. */
HG_MUST enum hg_rc notify_restore(
        struct notify_state *s, const struct notify_input *in, uint64_t updated_ms, bool timeout);
/* An entry of the store, copied; before notify_conf_use. HG_E_NOMEM. */
HG_MUST enum hg_rc notify_log_restore(struct notify_state *s, const struct notify_entry *e);

/* Looks at the groups whose time has come, and forgets what is over. */
void notify_tick(struct notify_state *s, uint64_t now_ms);
/* The next attempt that is due, or NULL; it counts as begun. */
struct notify_send *notify_due(struct notify_state *s, uint64_t now_ms);
/* How the attempt went; `retry_after_ms` 0: not said; `why` it failed is copied. The send may be
 * gone afterwards. */
void notify_result(struct notify_state *s, struct notify_send *send, enum notify_result r,
        uint64_t retry_after_ms, const char *why, uint64_t now_ms);
/* When notify_tick or notify_due has something to do; UINT64_MAX: never by itself. */
uint64_t notify_next(const struct notify_state *s);

/*
 * Adds a silence, or changes the one with `in->id` ("": a new one): an active one whose matchers
 * change is ended and replaced. Matchers and texts are copied. HG_E_ALERT_BODY, HG_E_NOT_FOUND,
 * HG_E_ALERT_LIMIT, HG_E_NOMEM.
 */
HG_MUST enum hg_rc notify_silence_set(struct notify_state *s, const struct notify_silence *in,
        uint64_t now_ms, const struct notify_silence **ret_silence, struct hg_err *err);
/* As it is, of the store. */
HG_MUST enum hg_rc notify_silence_restore(
        struct notify_state *s, const struct notify_silence *in, struct hg_err *err);
/* Ends it now. HG_E_NOT_FOUND; HG_E_ALERT_BODY: it has ended already. */
HG_MUST enum hg_rc notify_silence_expire(struct notify_state *s, struct hg_str id, uint64_t now_ms,
        const struct notify_silence **ret_silence, struct hg_err *err);

/* ---- what there is; pointers are valid until the next change ---- */

uint32_t notify_alert_count(const struct notify_state *s);
const struct notify_alert *notify_alert_at(const struct notify_state *s, uint32_t i);
uint32_t notify_group_count(const struct notify_state *s);
const struct notify_group *notify_group_at(const struct notify_state *s, uint32_t i);
/* What has come of the group for one receiver, as of the last attempt. *ret_channel: the one that
 * failed, whose entry has the reason in `error`; NULL: none did. */
enum notify_why notify_group_why(const struct notify_state *s, const struct notify_group *g,
        uint32_t receiver, const struct notify_entry **ret_failed);
/* When what could not be told is tried again, `failed` being the group's of notify_group_why: the
 * message, or once it was given up the group's next look. 0: an attempt is under way. */
uint64_t notify_again_ms(const struct notify_state *s, const struct notify_group *g,
        const struct notify_entry *failed);
uint32_t notify_silence_count(const struct notify_state *s);
const struct notify_silence *notify_silence_at(const struct notify_state *s, uint32_t i);
const struct notify_silence *notify_silence_find(const struct notify_state *s, struct hg_str id);
uint32_t notify_entry_count(const struct notify_state *s);
const struct notify_entry *notify_entry_at(const struct notify_state *s, uint32_t i);
/* The alert that inhibits this one, and the silence that takes it; NULL: none. */
const struct notify_alert *notify_inhibited_by(
        struct notify_state *s, struct labels ls, uint64_t now_ms);
const struct notify_silence *notify_silenced_by(
        const struct notify_state *s, struct labels ls, uint64_t now_ms, uint32_t *at);

/* What has to be made durable since the last time: called with each and cleared. */
enum notify_change {
	NOTIFY_ALERT_SET,
	NOTIFY_ALERT_GONE,
	NOTIFY_ENTRY_SET,
	NOTIFY_ENTRY_GONE,
	NOTIFY_SILENCE_SET,
	NOTIFY_SILENCE_GONE
};
struct notify_changed {
	enum notify_change what;
	const struct notify_alert *alert;     /* of ALERT_SET */
	const struct notify_entry *entry;     /* of ENTRY_SET; ENTRY_GONE: only its keys */
	const struct notify_silence *silence; /* of SILENCE_SET; SILENCE_GONE: only its id */
	uint64_t fingerprint;                 /* of ALERT_GONE */
};
typedef enum hg_rc (*notify_changed_fn)(void *arg, const struct notify_changed *c);
/* Stops at the first failure and returns it: what was not written is offered again. */
HG_MUST enum hg_rc notify_changes(struct notify_state *s, notify_changed_fn fn, void *arg);

#endif
