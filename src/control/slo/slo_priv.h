/* Inside of the room: what it has in memory. */
#ifndef CONTROL_SLO_SLO_PRIV_H
#define CONTROL_SLO_SLO_PRIV_H

#include "control/slo/decide_priv.h"

#define SLO_MAGIC   0x510b0d6eu
#define SLO_LOOK_MS 5000u
#define SLO_TELL_MS 60000u
#define SLO_BASE_N  64u /* bytes */
#define SLO_SPAN    24u /* of a text such as "1h" */

/* What of the meter is in the history already. */
struct slo_base {
	uint64_t memory_id; /* of which shared memory; 0: of none yet */
	uint64_t mark;      /* of which way of counting */
	uint64_t minute;    /* until then */
	uint64_t serial;    /* the newest row has the highest */
	struct slo_counts counts;
};

struct slo_app {
	struct slo_conf conf;
	uint32_t id;
	bool loaded;          /* its history was read */
	uint64_t kept_minute; /* when its row was last written */
	struct slo_base base;
	struct slo_history history;
	struct slo_state state;
	struct slo_counts read; /* of the present look */
	struct slo_seen seen[SLO_KINDS];
	struct slo_state before;                     /* it: `state` is not in the store yet */
	struct slo_state noticed;                    /* what people were told */
	uint64_t told_ms[SLO_KINDS][SLO_SEVERITIES]; /* … and when */
	struct slo_event said[SLO_EVENTS];           /* … to be said */
	uint32_t said_n;
};

struct slo {
	uint32_t magic;
	struct slo_options o;
	struct slo_app *apps;
	uint32_t count;
	uint64_t *owner; /* of each lane, a hash of the app's name; 0: not seen yet */
	struct loop_timer timer;
	uint64_t saved_minute; /* the last one in which rows were written */
	bool failing;          /* the store refused the last rows */
};

struct slo_plan {
	struct slo_app *apps;
	uint32_t count;
};

static inline uint64_t slo_minute_now(const struct slo *s)
{
	return s->o.wall_ms() / 60000u;
}

/* conf.c */
HG_MUST enum hg_rc slo_conf_read(const struct spec *spec, struct slo_plan *p, struct hg_err *err);
/* "1h", "30d", "90m" */
void slo_span_text(uint64_t minutes, char to[SLO_SPAN]);
/* "71.0 % of WHAT is left", and of an overspent one "238.5 % of WHAT is spent". */
void slo_left_text(double left, const char *what, char *to, size_t cap);

/* keep.c: the store's half */
void slo_base_write(const struct slo_base *b, uint8_t to[SLO_BASE_N]);
HG_MUST bool slo_base_read(struct hg_str bytes, struct slo_base *ret_base);
/* Reads an app's hours; HG_OK sets `loaded`. */
HG_MUST enum hg_rc slo_app_load(struct slo *s, struct slo_app *a, struct hg_err *err);
/* Writes the open hour of the app, within a transaction of the caller or by itself. */
HG_MUST enum hg_rc slo_app_save(struct slo *s, struct slo_app *a, struct hg_err *err);
/* All that has changed and what is to be said, as one transaction. False: nothing was written. */
bool slo_save(struct slo *s);
/* Who fires, from the last life of control. */
void slo_alerts_load(struct slo *s);

/* slo.c: the windows that end now. */
void slo_app_observe(const struct slo *s, struct slo_app *a);
/* tell.c: the journal, and who is to hear of it. */
HG_MUST enum hg_rc slo_journal(
        struct slo *s, const struct slo_app *a, const struct slo_event *e, struct hg_err *err);
void slo_notice(struct slo *s, struct slo_app *a, const struct slo_event *e);
/* What still fires, for those who would take silence for an end. */
void slo_notice_again(struct slo *s, struct slo_app *a);
const char *slo_kind_name(enum slo_kind k);
const char *slo_severity_name(enum slo_severity v);

#endif
