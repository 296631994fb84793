/*
 * The warden: the parent of everything, the only process with privileges. It binds the listening
 * sockets, creates the shared memory, forks the role processes and the replicas, sandboxes, reaps
 * and restarts roles at once. It speaks no network protocol and parses no outside input; its only
 * input after start is `struct wd_msg` from its children (proto.h) and signals.
 *
 * Files under DATA that outlive it: run/warden (pid, start time, boot id and the role processes,
 * rewritten on every change), run/lock (flock held while it or a role process lives),
 * run/<app>.<release>.<replica>.<incarnation>/{out,err,tmp/}, run/replicas (what was started and
 * ended, appended), run/uids (user of each app), run/admin (address of the admin listener).
 *
 * Started as root, the role processes and replicas run as users of their own (numbers below; they
 * need no entry in /etc/passwd): a replica's private directory belongs to group WARDEN_UID_EDGE so
 * that edge, control and observe may connect to its socket. As a plain user all are that user.
 */
#ifndef WARDEN_WARDEN_H
#define WARDEN_WARDEN_H

#include "base/err.h"
#include "os/sock.h"
#include "warden/proto.h"

#define WARDEN_LISTENERS_MAX 16
#define WARDEN_WORKERS_MAX   32
#define WARDEN_REPLICAS_MAX  4096

#define WARDEN_UID_EDGE     59900u
#define WARDEN_UID_CONTROL  59901u
#define WARDEN_UID_OBSERVE  59902u
#define WARDEN_UID_APPS     59910u /* + n, from the names of DATA and app */
#define WARDEN_UID_APPS_END 61184u /* systemd's dynamic users begin here */

/* What a role process finds when its main function is called, in the forked child. */
struct warden_child {
	enum wd_role role;
	uint32_t worker; /* edge: 0…worker_count-1 */
	uint32_t worker_count;
	uint32_t incarnation;                 /* 1 at first start; > 1: it is a replacement */
	int warden_fd;                        /* SEQPACKET pair to the warden */
	int listen_fds[WARDEN_LISTENERS_MAX]; /* edge: inherited, shared by all workers */
	uint32_t listen_count, listen_tls;    /* a bit each: speaks TLS */
	int admin_fd;                         /* control: admin TCP listener, -1 if none */
	int control_fd;                       /* control: listener of DATA/control.sock */
	int observe_fd;                       /* observe: listener of DATA/run/observe.sock */
	int span_fd; /* SEQPACKET: edge: spans go in there, observe: and come out; 0 or less: none
	              */
	void *meter; /* mapped; edge: writable own slab, control and observe: read */
	size_t meter_size;
	void *table; /* endpoint table; control: writable, edge and observe: read-only */
	size_t table_size;
	void *rates; /* rate table; edge: writable, others: NULL */
	size_t rates_size;
	void *board; /* control: writable, observe: read-only, edge: NULL */
	size_t board_size;
	int plan_fd; /* control: memfd with the configuration `up` was given */
	const char *data_dir;
};

struct warden_plan {
	const char *data_dir; /* absolute */
	struct sock_addr listen[WARDEN_LISTENERS_MAX];
	uint32_t listen_count, listen_tls; /* a bit each: passed on to the edge */
	struct sock_addr admin;            /* len 0: none */
	bool admin_port_any; /* the default port is taken: use a free one, written to run/admin */
	uint32_t workers;    /* edge workers, ≥ 1 */
	int plan_fd;         /* handed to control unread */
	uint32_t grace_ms;   /* for the whole shutdown */
	/*
	 * The shared memory. The warden knows its size only: the rooms that own the layouts format
	 * it (fresh, zeroed), and put the gauges of a dead worker back to zero. NULL: nothing to
	 * do.
	 */
	size_t meter_size, table_size, rates_size, board_size;
	void (*meter_format)(void *meter, size_t size, uint32_t workers);
	void (*meter_worker_dead)(void *meter, size_t size, uint32_t worker);
	void (*table_format)(void *table, size_t size);
	void (*rates_format)(void *rates, size_t size);
	void (*board_format)(void *board, size_t size);
	int (*control_main)(const struct warden_child *);
	int (*observe_main)(const struct warden_child *);
	int (*edge_main)(const struct warden_child *);
};

/*
 * Runs until everything is stopped by SIGTERM, SIGINT or SIGHUP (a second one: faster), or control
 * died WARDEN_CONTROL_TRIES times before it ever sent WD_READY; returns the exit status of the
 * process. `ready_fd` (or -1): one zero byte is written once listeners are bound and the role
 * processes run; on failure the text of the error instead. It is closed in both cases.
 */
#define WARDEN_CONTROL_TRIES 5
int warden_run(const struct warden_plan *plan, int ready_fd);

/* The process that holds DATA, read back from run/warden and checked against boot id and start
 * time. HG_E_NOT_FOUND when none lives. */
struct warden_info {
	int pid;
	uint64_t start_time;
	uint32_t role_count;
	struct {
		enum wd_role role;
		int pid;
		uint64_t start_time;
	} roles[64];
	bool warden_alive; /* false: the warden died, roles live on */
};
HG_MUST enum hg_rc warden_find(
        const char *data_dir, struct warden_info *ret_info, struct hg_err *err);

#endif
