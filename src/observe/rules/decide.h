/*
 * What becomes of an alerting rule's alerts: Prometheus' state machine, without a clock, a store or
 * templates. The samples of an evaluation go in with the labels and annotations that the rule gives
 * them; the alerts change: pending, firing (after `for`), kept firing (`keep_firing_for`), resolved
 * (kept 15 minutes, so that whoever is told has time to hear of it).
 *
 * Times are Unix milliseconds. An object belongs to one thread. It owns copies of its labels.
 */
#ifndef OBSERVE_RULES_DECIDE_H
#define OBSERVE_RULES_DECIDE_H

#include "base/err.h"
#include "observe/tsdb/labels.h"

#define RULES_KEEP_RESOLVED_MS 900000  /* of an alert that is over */
#define RULES_OUTAGE_MAX_MS    3600000 /* longer ago than this nothing is taken up again */
#define RULES_GRACE_MS         600000  /* after an outage nothing that waits fires before */
#define RULES_SHORT_OUTAGE     4       /* evaluations missed that are no outage at all */
#define RULES_ALERTS_MAX       10000u  /* of a rule */

enum rules_state { RULES_INACTIVE, RULES_PENDING, RULES_FIRING };
/* "inactive", "pending", "firing". */
const char *rules_state_name(enum rules_state s);

struct rules_alert {
	struct labels labels, annotations; /* labels first, for labels_place */
	double value;
	enum rules_state state;
	int64_t active_ms;                            /* since then its expression has had it */
	int64_t fired_ms, resolved_ms, keep_since_ms; /* 0: not */
	uint64_t changed; /* of the evaluation in which it began or ceased to fire */
	bool seen;        /* inner */
};

/* Sorted by labels. {0} is empty. */
struct rules_alerts {
	struct rules_alert *at;
	uint32_t n, cap;
};

/* What the store knows of an alert from before a restart. */
struct rules_before {
	bool known;
	int64_t active_ms; /* it was active since */
	int64_t last_ms;   /* and was evaluated last */
	bool firing;       /* it fired then */
};

struct rules_sample {
	struct labels labels, annotations; /* borrowed; annotations may have empty values */
	double value;
	struct rules_before before;
};

struct rules_ask {
	int64_t now_ms;
	int64_t for_ms, keep_firing_ms, interval_ms;
	uint32_t limit;  /* of alerts that are pending or fire; 0: none */
	uint64_t change; /* what `changed` becomes */
	bool restoring;  /* `before` of new alerts counts */
	const struct rules_sample *samples;
	uint32_t n;
};

/*
 * HG_E_RULES_DUPLICATE: two samples have the same labels; nothing has changed. HG_E_RULES_LIMIT: as
 * in Prometheus, all alerts of the rule are forgotten. HG_E_NOMEM: nothing has changed.
 */
HG_MUST enum hg_rc rules_decide(
        struct rules_alerts *alerts, const struct rules_ask *ask, struct hg_err *err);
void rules_alerts_free(struct rules_alerts *alerts);
/*
 * Whether a rule that was evaluated without an error this long after the process started knows all
 * that fires of it. Before `settle_ms` samples may be missing that only this process did not take;
 * what `keep_firing_for` held at the last end is held as long once more, as its begin is not known.
 */
bool rules_knows(int64_t after_start_ms, int64_t settle_ms, int64_t keep_firing_ms);
/* Since when an alert that is taken up again counts as active. */
int64_t rules_active_since(const struct rules_before *b, const struct rules_ask *ask);

#endif
