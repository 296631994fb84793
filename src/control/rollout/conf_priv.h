/* One app's way of releasing, as the configuration has it, and as a rollout that runs keeps it. */
#ifndef CONTROL_ROLLOUT_CONF_PRIV_H
#define CONTROL_ROLLOUT_CONF_PRIV_H

#include "control/rollout/decide.h"
#include "spec/snapshot.h"

#include <jansson.h>

#define RO_COMMAND_MAX 1024u
#define RO_NAME_MAX    64u
#define RO_EXPECT_MAX  128u

struct spec_app;

struct ro_gate_conf {
	char run[RO_COMMAND_MAX];  /* "" unless it is a command */
	char http[RO_COMMAND_MAX]; /* a URL with {release} and so on; "" unless it is a service */
	char method[8], expect[RO_EXPECT_MAX];
	char headers[RO_COMMAND_MAX]; /* "Name: value\n" each */
	uint32_t retries;
	char when[16]; /* as written: "10%", "before" */
	uint32_t timeout_ms;
};

struct ro_conf {
	char app[RO_NAME_MAX];
	struct ro_rules rules; /* rules.gate[i].text is the index into gate */
	struct ro_gate_conf gate[RO_GATES_MAX];
	uint32_t sticky_s;
	struct ro_latency latency;
	uint32_t match_count;
	struct snap_match match[SNAP_TRIAL_MATCHES];
	uint32_t ignore_n;
	char ignore[SNAP_IGNORE_MAX]; /* as in snap_trial */
};

/* HG_E_TOO_LARGE for a text that is too long. */
HG_MUST enum hg_rc ro_conf_read(
        const struct spec_app *s, struct ro_conf *ret_conf, struct hg_err *err);
/* What is not in ro_rules, for the store and back; NULL without memory, false on damage. */
json_t *ro_conf_json(const struct ro_conf *c);
bool ro_conf_load(const json_t *j, struct ro_conf *ret_conf);

#endif
