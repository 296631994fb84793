/* What the wiring shares. Nothing below main includes this. */
#ifndef MAIN_MAIN_PRIV_H
#define MAIN_MAIN_PRIV_H

#include "base/buf.h"
#include "base/log.h"
#include "os/loop.h"
#include "warden/warden.h"

struct alert_rules;
struct api;
struct board;
struct fleet;
struct spec;

/*
 * The control process: opens the store, takes the configuration (the plan's at first start, the
 * store's after a crash), runs fleet and API on one loop until the warden asks for the end.
 * Returns the exit status of the process.
 */
int control_main(const struct warden_child *child);

/*
 * What control hands to observe: what is to be done (observe/collect/conf.h), whenever the
 * configuration changes, and every few seconds the metrics that it alone knows, on the board.
 */
struct telemetry {
	struct loop *loop;
	struct hg_log *log;
	const struct warden_child *child;
	struct fleet *fleet;
	struct api *api;
	struct board *board; /* NULL: none */
	struct loop_timer board_timer, conf_timer;
	struct hg_buf page, conf; /* conf: what has to be sent */
	bool due;                 /* the warden has not taken it yet */
};

void telemetry_init(struct telemetry *t, struct loop *loop, struct hg_log *log,
        const struct warden_child *child, struct fleet *fleet);
/* From now on the board is written. */
void telemetry_start(struct telemetry *t, struct api *api);
/* After fleet_apply: it knows the apps' numbers. */
void telemetry_apply(struct telemetry *t, const struct spec *s, const struct alert_rules *rules);
void telemetry_fini(struct telemetry *t);

#endif
