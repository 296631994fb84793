/*
 * Pure: what the counts of an app mean for its objectives, and what is to be said about it.
 * decide(state, observation, now), as everywhere; the doer is slo.c.
 */
#ifndef CONTROL_SLO_DECIDE_PRIV_H
#define CONTROL_SLO_DECIDE_PRIV_H

#include "control/slo/history_priv.h"
#include "control/slo/slo.h"
#include "meter/meter.h"

#define SLO_CLEAR_MS   60000u /* an alert ends when its rule did not hold for so long */
#define SLO_RUNBOOK    512u
#define SLO_NAME_MAX   64u
#define SLO_EVENTS     (SLO_KINDS * SLO_SEVERITIES + 1u)
#define SLO_SPREAD_MIN (24u * 60) /* minutes that one look fills at most */

struct slo_objective {
	bool set;
	uint32_t objective_ppm;
	uint64_t period_min;
	struct burn_rule rule[BURN_RULES];
};

enum slo_code { SLO_CODE_NEITHER, SLO_CODE_GOOD, SLO_CODE_BAD };

struct slo_conf {
	char app[SLO_NAME_MAX];
	char runbook[SLO_RUNBOOK];
	struct slo_objective of[SLO_KINDS];
	uint64_t fast_ns;          /* 0: no latency objective */
	uint8_t code[METER_CODES]; /* enum slo_code, by place of the meter */
	uint32_t freeze_ppm;       /* 0: never */
	uint32_t min_failures;
};

struct slo_alert_state {
	bool firing;
	uint8_t rule;      /* that holds */
	uint64_t since_ms; /* Unix time */
	uint64_t clear_ms; /* since when it does not hold; 0: it does */
};

struct slo_state {
	struct slo_alert_state alert[SLO_KINDS][SLO_SEVERITIES];
	bool frozen;
};

/* The windows of one objective. */
struct slo_seen {
	struct burn_counts period, in_long[BURN_RULES], in_short[BURN_RULES];
};

enum slo_event_kind { SLO_EV_BURN, SLO_EV_BURN_OVER, SLO_EV_FROZEN, SLO_EV_THAWED };

struct slo_event {
	enum slo_event_kind kind;
	enum slo_kind of;
	enum slo_severity severity;
	uint8_t rule;
};

/* "2xx 3xx 404": is the status at this place of the meter among them? */
bool slo_codes_have(struct hg_str codes, unsigned at_code);
/* The part of a lane that counts: by status, and by time. */
void slo_counts_of(const struct slo_conf *c, const uint64_t code[METER_CODES],
        const struct meter_lane_sum *sum, struct slo_counts *add_to);
/* Tells what is counted from another way of counting. */
uint64_t slo_conf_mark(const struct slo_conf *c);

struct burn_counts slo_events(const struct slo_counts *c, enum slo_kind kind);
/* All windows of the objective that end with this minute. */
void slo_observe(const struct slo_objective *o, const struct slo_history *h, enum slo_kind kind,
        uint64_t minute, struct slo_seen *ret_seen);
/* What changed since the last look; how many events. `now_ms`: Unix time. */
uint32_t slo_decide(const struct slo_conf *c, const struct slo_seen seen[SLO_KINDS],
        uint64_t now_ms, struct slo_state *s, struct slo_event out[SLO_EVENTS]);
/* Does this objective freeze deployments? */
bool slo_freezes(const struct slo_conf *c, enum slo_kind kind, const struct slo_seen *seen);
/* Are they frozen, and by which? */
bool slo_frozen(
        const struct slo_conf *c, const struct slo_seen seen[SLO_KINDS], enum slo_kind *ret_by);
/* Minutes of history the app needs. */
uint64_t slo_keeps_min(const struct slo_conf *c);

#endif
