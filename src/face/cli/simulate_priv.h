/* simulate: its results as text and as a document. */
#ifndef FACE_CLI_SIMULATE_PRIV_H
#define FACE_CLI_SIMULATE_PRIV_H

#include "control/simulate/simulate.h"
#include "rollout_priv.h"
#include "spec/spec.h"

struct cli_simulation {
	const struct sim_options *o;
	const struct ro_rules *rules;
	const struct sim_result *result;
	const struct sim_summary *summary; /* of many runs; NULL: `result` of one */
};

/* 0 promoted, 4 rolled back, 5 waiting. */
int cli_simulation_exit(enum sim_end end);
/* What most runs end with; of equals the better one. */
enum sim_end cli_simulation_usual(const struct sim_summary *s);
void cli_simulation_text(const struct cli *c, const struct cli_simulation *s, struct hg_buf *to);
/* "headgate.simulation/1", docs/reference/simulation-json.md. NULL without memory. */
json_t *cli_simulation_json(const struct cli *c, const struct cli_simulation *s, int status);

#endif
