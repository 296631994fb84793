/* What the wiring shares. Nothing below main includes this. */
#ifndef MAIN_MAIN_PRIV_H
#define MAIN_MAIN_PRIV_H

#include "warden/warden.h"

/*
 * The control process: opens the store, takes the configuration (the plan's at first start, the
 * store's after a crash), runs fleet and API on one loop until the warden asks for the end.
 * Returns the exit status of the process.
 */
int control_main(const struct warden_child *child);

#endif
