/* down: ends what the data folder names, and nothing else. */
#include "up_priv.h"
#include "client_priv.h"
#include "os/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DOWN_DEFAULT_MS 120000
#define ROLE_TERM_MS    10000

static uint64_t start_time_of(int pid)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0) close(fd);
	if (n <= 0) return 0;
	text[n] = 0;
	/* The name in parentheses may hold anything; fields are counted from its end. */
	const char *at = strrchr(text, ')');
	if (!at) return 0;
	struct hg_str rest = hg_str(at + 1);
	struct hg_str field = {0};
	for (int i = 2; i <= 22; i++)
		field = hg_str_cut(&rest, ' ');
	uint64_t v = 0;
	return hg_str_u64(field, &v) ? v : 0;
}

int cli_pidfd(int pid, uint64_t start_time)
{
	int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (fd < 0) return -1;
	/* Opened first, compared then: the number cannot be given to another process any more. */
	if (start_time_of(pid) == start_time && start_time) return fd;
	close(fd);
	return -1;
}

bool cli_pidfd_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) == 0;
}

bool cli_pidfd_ended(int pidfd, int wait_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	return poll(&p, 1, wait_ms) > 0;
}

/* "web 2/3, api 1/1" of what still runs; false when control does not say. */
static bool remaining(const struct cli *c, struct hg_buf *to)
{
	json_t *status = NULL, *app, *r;
	size_t i, k;
	hg_buf_reset(to);
	if (cli_call(c, "GET", "/v1/status", NULL, 500, &status, NULL) < 0) return false;
	json_array_foreach(cli_list(status, "apps"), i, app)
	{
		int live = 0;
		json_array_foreach(cli_list(app, "replicas"), k, r) live += cli_int(r, "pid") > 0;
		if (live) hg_buf_fmt(to, "%s%s %d", to->n ? ", " : "", cli_text(app, "name"), live);
	}
	json_decref(status);
	return true;
}

/* Waits for the warden's end and tells what is left, when that changes. */
static bool wait_gone(const struct cli *c, int pidfd, uint64_t until_ms)
{
	struct hg_buf now, told;
	bool gone = false;
	hg_buf_init(&now, 65536);
	hg_buf_init(&told, 65536);
	while (!gone && clock_mono_ms() < until_ms) {
		gone = cli_pidfd_ended(pidfd, 200);
		if (gone || !remaining(c, &now) || !now.n) continue;
		if (hg_str_eq(hg_buf_view(&now), hg_buf_view(&told))) continue;
		cli_say("%s still running: %s", cli_mark(c, CLI_WAIT), hg_buf_text(&now));
		hg_buf_reset(&told);
		hg_buf_str(&told, hg_buf_view(&now));
	}
	hg_buf_free(&now);
	hg_buf_free(&told);
	return gone;
}

/* Ends one verified process: SIGTERM, then SIGKILL. False: it could not be ended. */
static bool end_one(const struct cli *c, const char *what, int pid, uint64_t start_time)
{
	int fd = cli_pidfd(pid, start_time);
	if (fd < 0) return true; /* gone already, or never ours */
	cli_say("%s ending %s (pid %d)", cli_mark(c, CLI_WAIT), what, pid);
	bool good = cli_pidfd_signal(fd, SIGTERM);
	if (good && !cli_pidfd_ended(fd, ROLE_TERM_MS))
		good = cli_pidfd_signal(fd, SIGKILL) && cli_pidfd_ended(fd, ROLE_TERM_MS);
	close(fd);
	return good;
}

struct orphan {
	int pid;
	uint64_t start_time;
	char name[96];
};

/* "started BOOT ID PID START NAME …": what the warden notes in run/replicas. */
static bool orphan_parse(struct hg_str line, struct hg_str boot, struct orphan *ret_o)
{
	struct hg_str field[6];
	uint64_t pid, start;
	for (size_t i = 0; i < HG_COUNT(field); i++)
		field[i] = hg_str_cut(&line, ' ');
	if (!hg_str_eq(field[1], boot) || !hg_str_u64(field[3], &pid) ||
	        !hg_str_u64(field[4], &start) || pid <= 1 || pid > INT32_MAX || !start)
		return false;
	if (start_time_of((int)pid) != start) return false;
	*ret_o = (struct orphan){.pid = (int)pid, .start_time = start};
	return hg_str_copy(field[5], ret_o->name, sizeof ret_o->name);
}

/* Replicas of a dead warden that still live, by boot id, pid and start time. */
static uint32_t orphans_find(const struct cli *c, struct orphan *list, uint32_t max)
{
	char path[4200], line[1024], boot[64] = "";
	uint32_t n = 0;
	FILE *b = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (b && fgets(boot, sizeof boot, b)) boot[strcspn(boot, "\n")] = 0;
	if (b) fclose(b);
	snprintf(path, sizeof path, "%s/run/replicas", c->data_dir);
	FILE *f = fopen(path, "re");
	while (f && n < max && fgets(line, sizeof line, f)) {
		struct orphan o;
		bool known = false;
		if (!orphan_parse(hg_str_trim(hg_str(line)), hg_str(boot), &o)) continue;
		for (uint32_t i = 0; i < n && !known; i++)
			known = list[i].pid == o.pid;
		if (!known) list[n++] = o;
	}
	if (f) fclose(f);
	return n;
}

static const char *role_name(enum wd_role role)
{
	switch (role) {
	case WD_ROLE_CONTROL: return "control";
	case WD_ROLE_OBSERVE: return "observe";
	case WD_ROLE_EDGE: return "edge worker";
	default: return "warden";
	}
}

/* Without a warden: edges first (nobody is sent anywhere any more), then replicas, then the rest.
 */
static int down_orphaned(const struct cli *c, const struct warden_info *w)
{
	static const enum wd_role order[] = {WD_ROLE_EDGE, WD_ROLE_CONTROL, WD_ROLE_OBSERVE};
	enum { MAX = 1024 };
	struct orphan *list = calloc(MAX, sizeof *list);
	struct hg_err err = {0};
	bool good = list != NULL;
	cli_say("%s the warden is dead; ending what it left", cli_mark(c, CLI_WARN));
	uint32_t n = list ? orphans_find(c, list, MAX) : 0;
	for (size_t k = 0; k < HG_COUNT(order); k++) {
		for (uint32_t i = 0; i < w->role_count && i < HG_COUNT(w->roles); i++)
			if (w->roles[i].role == order[k])
				good &= end_one(c, role_name(order[k]), w->roles[i].pid,
				        w->roles[i].start_time);
		for (uint32_t i = 0; order[k] == WD_ROLE_CONTROL && i < n; i++)
			good &= end_one(c, list[i].name, list[i].pid, list[i].start_time);
	}
	free(list);
	if (good) {
		cli_say("%s stopped", cli_mark(c, CLI_GOOD));
		cli_next(c, "headgate up");
		return 0;
	}
	hg_err_set(&err, HG_E_STILL_RUNNING, "not every process on \"%s\" could be ended",
	        c->data_dir);
	hg_err_hint(&err, "Run it as the user who ran headgate up.");
	return cli_fail(&err);
}

int cli_do_down(struct cli *c)
{
	struct warden_info w;
	struct hg_err err = {0};
	uint64_t ms =
	        cli_has(&c->args, CLI_F_TIMEOUT) ? c->args.number[CLI_F_TIMEOUT] : DOWN_DEFAULT_MS;
	enum hg_rc rc = warden_find(c->data_dir, &w, &err);
	if (rc == HG_E_NOT_FOUND) {
		cli_say("nothing runs on %s", c->data_dir);
		cli_next(c, "headgate up");
		return 0;
	}
	if (rc < 0) return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_DRY_RUN)) {
		cli_say("would stop Headgate on %s (pid %d) and everything it started", c->data_dir,
		        w.pid);
		return 0;
	}
	if (!w.warden_alive) return down_orphaned(c, &w);
	int fd = cli_pidfd(w.pid, w.start_time);
	if (fd < 0) return down_orphaned(c, &w);
	if (!cli_pidfd_signal(fd, SIGTERM)) {
		hg_err_set(&err, HG_E_DENIED, "user %u may not stop the Headgate on \"%s\": %m",
		        (unsigned)getuid(), c->data_dir);
		close(fd);
		return cli_fail(&err);
	}
	bool gone = wait_gone(c, fd, clock_mono_ms() + ms);
	close(fd);
	if (!gone) {
		hg_err_set(&err, HG_E_TIMEOUT, "Headgate (pid %d) still runs after %llu s", w.pid,
		        (unsigned long long)ms / 1000);
		hg_err_hint(&err, "It goes on stopping; a second headgate down stops it faster.");
		return cli_fail(&err);
	}
	cli_say("%s stopped", cli_mark(c, CLI_GOOD));
	cli_next(c, "headgate up");
	return 0;
}
