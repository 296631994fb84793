/*
 * The observe process: what remembers. It owns the loop, the pipes that the warden hands over, the
 * log store, traces, the metrics store and the rooms that live by it, and the listener of
 * DATA/run/observe.sock. It may be killed at any instruction: the warden starts another one and
 * hands it the same pipes, what control wants of it and the newest snapshot; logs go on where the
 * last block ended, metrics where the last commit did.
 *
 * When the metrics store cannot be opened, logs and traces go on; why is on the log, in /metrics
 * (headgate_tsdb_state) and in the answers of whoever needs it, and it is tried again every 10 s.
 */
#ifndef OBSERVE_HOST_HOST_H
#define OBSERVE_HOST_HOST_H

struct warden_child;

/*
 * Called by the warden in the forked child; returns its exit status. Takes WD_LOG_OPEN, WD_LOG_END,
 * WD_LOG_STOP, WD_OBSERVE_CONF and WD_OBSERVE_SNAPSHOT from child->warden_fd and answers on
 * child->observe_fd: GET /v1/logs (docs/logs.md), PUT /v1/logs/retention, PUT /v1/traces/export,
 * /metrics, /healthz.
 */
int observe_main(const struct warden_child *child);

#endif
