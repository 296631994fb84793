/* The state of the pure half. */
#ifndef CONTROL_NOTIFY_DECIDE_PRIV_H
#define CONTROL_NOTIFY_DECIDE_PRIV_H

#include "base/rand.h"
#include "control/notify/decide.h"

/* Each has what must be written of it. Alerts that are gone are remembered until that is done. */
struct notify_alert_slot {
	struct notify_alert a;
	uint64_t kept_ends_ms; /* as the store has it */
	bool dirty;
};

struct notify_entry_slot {
	struct notify_entry e;
	bool dirty, gone;
	bool busy;              /* a send of it is under way */
	uint64_t not_before_ms; /* the receiver asked for it (Retry-After); 0: it did not */
};

struct notify_silence_slot {
	struct notify_silence s;
	bool dirty, gone;
};

struct notify_state {
	const struct notify_conf *conf;
	struct hg_rand rand;
	uint64_t now_ms, hold_ms;
	struct notify_alert_slot **alerts; /* sorted by fingerprint */
	uint32_t alert_count, alert_cap;
	uint64_t *gone; /* fingerprints of alerts that the store still has */
	uint32_t gone_count, gone_cap;
	struct notify_group **groups; /* sorted by route and key */
	uint32_t group_count, group_cap;
	struct notify_entry_slot **log; /* sorted by group and channel */
	uint32_t log_count, log_cap;
	struct notify_silence_slot **silences;
	uint32_t silence_count, silence_cap;
	struct notify_send *sends;
	/* Alerts that fire and are a source of an inhibition, rule after rule; made anew when
	 * something has changed. */
	const struct notify_alert **sources;
	uint32_t *source_from; /* of rule i; one more than there are rules */
	uint32_t source_cap;
	uint64_t sources_ms; /* for which time */
	bool sources_valid;
};

/* Room for one more pointer; false without memory. */
HG_MUST bool notify_room(void *array, uint32_t n, uint32_t *cap, size_t size);
void notify_id_make(struct notify_state *s, char ret_id[NOTIFY_ID_SIZE]);
HG_MUST bool notify_text_copy(struct hg_str s, struct hg_str *ret);

/* group.c */
HG_MUST enum hg_rc notify_group_alert(struct notify_state *s, struct notify_alert *a);
void notify_groups_free(struct notify_state *s);
void notify_alert_forget(struct notify_state *s, struct notify_alert *a);

/* log.c */
struct notify_entry_slot *notify_log_find(
        const struct notify_state *s, struct hg_str group, struct hg_str channel);
struct notify_entry_slot *notify_log_open(
        struct notify_state *s, struct hg_str group, struct hg_str channel);
void notify_log_free(struct notify_entry_slot *e);
/* Every one of `a` is in `b`; both sorted. */
bool notify_subset(const uint64_t *a, uint32_t n, const uint64_t *b, uint32_t m);

/* clock.c: what claims to come from the future is of now. */
void notify_clock_clamp(struct notify_state *s, uint64_t now_ms);

/* told.c */
void notify_error_set(struct notify_entry *e, const char *why);

/* silence.c */
void notify_silence_free(struct notify_silence_slot *s);

#endif
