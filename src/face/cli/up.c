/* up: hands a checked configuration to a new warden, then watches until it is ready or ended. */
#include "up_priv.h"
#include "client_priv.h"
#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DETACH_DEFAULT_MS 120000
#define TURN_MS           200
#define LOOK_SHARE        6 /* a look takes no more than one part of so many of the time */
#define LOOK_MOST_MS      1000
#define SEEN_MAX          64
#define NEEDS_DEEP        32u /* links of a chain whose grace periods are added up */

struct seen {
	char app[64];
	int64_t replica, at_ms;
};

struct up {
	struct cli *c;
	const struct cli_config *k;
	pid_t child;
	int pidfd, signals;
	uint64_t started_wall_ms, last_event;
	bool detach, live, was_ready;
	int stops;  /* how often the user asked for the end */
	bool drawn; /* `shown` is on the screen */
	struct seen seen[SEEN_MAX];
	uint32_t seen_count;
	struct hg_buf page, shown; /* being made, and on the screen */
	char events[5][160];       /* the latest, for the live view */
	uint32_t event_count;
};

void cli_url(const struct spec_address *a, char to[160])
{
	char host[80];
	bool any = !a->host.n || hg_str_eq(a->host, HG_STR("0.0.0.0")) ||
	           hg_str_eq(a->host, HG_STR("::"));
	bool six = !any && hg_str_find(a->host, ':') < a->host.n && a->host.p[0] != '[';
	snprintf(host, sizeof host, "%s%.*s%s", six ? "[" : "",
	        any ? 9 : (int)HG_MIN(a->host.n, 70), any ? "localhost" : a->host.p,
	        six ? "]" : "");
	if (a->port == 80)
		snprintf(to, 160, "http://%s", host);
	else
		snprintf(to, 160, "http://%s:%u", host, a->port);
}

static enum hg_rc address(
        const struct spec_address *a, struct sock_addr *ret_addr, struct hg_err *err)
{
	if (sock_addr_parse(a->text, ret_addr)) return HG_OK;
	return hg_err_set(
	        err, HG_E_INVALID, "\"%.*s\" is not an address to listen on", HG_STR_ARG(a->text));
}

/* Room for every replica to end in its own time, one after the other's drain: an app is stopped
 * after those that need it. */
static uint32_t whole_grace(const struct spec *s)
{
	uint64_t longest = 0, *sum = calloc(s->app_count + 1, sizeof *sum);
	/* Longest paths without an order: each round adds a link; the check found no cycle. */
	for (uint32_t round = 0; sum && round < HG_MIN(s->app_count, NEEDS_DEEP); round++) {
		bool same = true;
		for (uint32_t i = 0; i < s->app_count; i++) {
			uint64_t below = 0;
			for (uint32_t k = 0; k < s->apps[i].need_count; k++) {
				const struct spec_app *need = spec_app_find(s, s->apps[i].needs[k]);
				if (need) below = HG_MAX(below, sum[need - s->apps]);
			}
			below += s->apps[i].shutdown.grace_ms;
			same = same && sum[i] == below;
			sum[i] = below;
			longest = HG_MAX(longest, below);
		}
		if (same) break;
	}
	free(sum);
	return (uint32_t)HG_MIN(longest + 15000, (uint64_t)3600000);
}

static enum hg_rc plan_make(
        const struct cli *c, const struct cli_config *k, struct warden_plan *p, struct hg_err *err)
{
	const struct spec *s = k->spec;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	*p = (struct warden_plan){.data_dir = c->data_dir,
	        .workers = s->edge.workers ? s->edge.workers : (uint32_t)HG_MAX(cpus, 1),
	        .grace_ms = whole_grace(s),
	        .plan_fd = -1};
	p->workers = HG_MIN(p->workers, (uint32_t)WARDEN_WORKERS_MAX);
	enum hg_rc rc = address(&s->edge.listen.http, &p->listen[0], err);
	p->listen_count = 1;
	if (rc == HG_OK && s->edge.listen.https.set) {
		p->listen_tls = 1u << p->listen_count;
		rc = address(&s->edge.listen.https, &p->listen[p->listen_count++], err);
	}
	if (rc == HG_OK) rc = address(&s->admin.listen, &p->admin, err);
	p->admin_port_any = !s->admin.listen.set;
	return rc;
}

static enum hg_rc plan_document(const struct cli_config *k, int *ret_fd, struct hg_err *err)
{
	json_t *j = cli_config_json(k, false);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!text) return hg_err_set(err, HG_E_INVALID, "the configuration is not valid UTF-8");
	/* Not close-on-exec: whoever becomes the warden may exec first. */
	int fd = memfd_create("headgate-plan", 0);
	size_t n = strlen(text);
	bool good = fd >= 0 && write(fd, text, n) == (ssize_t)n;
	free(text);
	if (!good) {
		hg_err_set(err, HG_E_IO, "could not make the plan for the warden: %m");
		if (fd >= 0) close(fd);
		return HG_E_IO;
	}
	*ret_fd = fd;
	return HG_OK;
}

/* The data folder and run/ in it, with a log for what is said before the log store listens. */
static enum hg_rc folders_make(const struct cli *c, int *ret_log, struct hg_err *err)
{
	char path[4200];
	/* As the warden wants them: its role processes pass through when it is root. */
	mode_t mode = geteuid() == 0 ? 0711 : 0700;
	if (mkdir(c->data_dir, mode) < 0 && errno != EEXIST) {
		hg_err_set(err, HG_E_IO, "could not make the data folder \"%s\": %m", c->data_dir);
		hg_err_hint(err, "Choose another with --data DIR.");
		return HG_E_IO;
	}
	snprintf(path, sizeof path, "%s/run", c->data_dir);
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return hg_err_set(err, HG_E_IO, "could not make \"%s\": %m", path);
	snprintf(path, sizeof path, "%s/run/headgate.log", c->data_dir);
	*ret_log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return *ret_log < 0 ? hg_err_set(err, HG_E_IO, "could not open \"%s\": %m", path) : HG_OK;
}

static HG_NORETURN void child_run(const struct up *u, struct warden_plan *p, int log, int ready)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR);
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_DFL);
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	/* Only the plan and the ready pipe go on, as 3 and 4. */
	int plan = fcntl(p->plan_fd, F_DUPFD, 16), pipe_end = fcntl(ready, F_DUPFD, 16);
	dup2(plan, 3);
	dup2(pipe_end, 4);
	close_range(5, ~0u, 0);
	p->plan_fd = 3;
	exit(u->c->deps->start_warden(p, 4)); /* nothing was buffered when we were forked */
}

/* The text of a failure, or success at the first zero byte. */
static enum hg_rc ready_read(struct up *u, int fd, struct hg_err *err)
{
	char text[1024];
	size_t n = 0;
	for (;;) {
		ssize_t got = read(fd, text + n, sizeof text - 1 - n);
		if (got < 0 && errno == EINTR) continue;
		if (got > 0 && text[n] == 0) return HG_OK;
		if (got > 0) n += (size_t)got;
		if (got <= 0 || n == sizeof text - 1) break;
	}
	text[n] = 0;
	struct hg_str why = hg_str_trim(hg_str(text));
	hg_err_set(err, HG_E_START_FAILED, "Headgate could not start: %.*s",
	        why.n ? (int)HG_MIN(why.n, 250) : 20, why.n ? why.p : "the warden ended");
	hg_err_hint(err, "More is in %s/run/headgate.log", u->c->data_dir);
	return HG_E_START_FAILED;
}

static enum hg_rc warden_start(struct up *u, struct hg_err *err)
{
	struct warden_plan p;
	int log = -1, ready[2] = {-1, -1};
	enum hg_rc rc = plan_make(u->c, u->k, &p, err);
	if (rc == HG_OK) rc = folders_make(u->c, &log, err);
	if (rc == HG_OK) rc = plan_document(u->k, &p.plan_fd, err);
	if (rc == HG_OK && pipe2(ready, O_CLOEXEC) < 0)
		rc = hg_err_set(err, HG_E_IO, "could not make a pipe: %m");
	if (rc < 0) goto out;
	fflush(NULL);
	u->child = fork();
	if (u->child == 0) child_run(u, &p, log, ready[1]);
	if (u->child < 0) {
		rc = hg_err_set(err, HG_E_IO, "could not fork: %m");
		goto out;
	}
	close(ready[1]);
	ready[1] = -1;
	u->pidfd = (int)syscall(SYS_pidfd_open, u->child, 0);
	rc = ready_read(u, ready[0], err);
	if (rc < 0) waitpid(u->child, NULL, 0);
out:
	for (int i = 0; i < 2; i++)
		if (ready[i] >= 0) close(ready[i]);
	if (p.plan_fd >= 0) close(p.plan_fd);
	if (log >= 0) close(log);
	return rc;
}

/* ---- what is shown ---- */

static void event_text(const struct cli *c, const json_t *e, struct hg_buf *to)
{
	const char *key;
	json_t *value;
	time_t seconds = (time_t)(cli_int(e, "ts_ms") / 1000);
	struct tm tm;
	localtime_r(&seconds, &tm);
	hg_buf_fmt(to, "%02d:%02d:%02d  ", tm.tm_hour, tm.tm_min, tm.tm_sec);
	hg_buf_cstr(to, cli_text(e, "kind"));
	if (cli_text(e, "app")[0]) hg_buf_fmt(to, "  %s", cli_text(e, "app"));
	if (cli_int(e, "release")) hg_buf_fmt(to, ".%d", (int)cli_int(e, "release"));
	if (cli_int(e, "replica")) hg_buf_fmt(to, ".%d", (int)cli_int(e, "replica"));
	json_object_foreach(json_object_get(e, "evidence"), key, value)
	{
		/* Whole objects are for programs: /v1/events has them. */
		const char *said = json_string_value(value);
		if (json_is_object(value) || json_is_array(value) || (said && !*said)) continue;
		char *v = json_is_string(value) ? NULL
		                                : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		hg_buf_fmt(to, "  %s=", key);
		cli_clean(to, hg_str(v ? v : json_string_value(value)));
		free(v);
	}
	(void)c;
}

static void event_show(struct up *u, const json_t *e)
{
	struct hg_buf line;
	hg_buf_init(&line, 65536);
	event_text(u->c, e, &line);
	if (u->live) {
		uint32_t at = u->event_count++ % HG_COUNT(u->events);
		snprintf(u->events[at], sizeof u->events[at], "%s", hg_buf_text(&line));
	} else {
		cli_say("%s", hg_buf_text(&line));
	}
	hg_buf_free(&line);
}

static void events_read(struct up *u)
{
	char path[96];
	json_t *j = NULL, *e;
	size_t i;
	if (u->last_event)
		snprintf(path, sizeof path, "/v1/events?after=%llu&limit=500",
		        (unsigned long long)u->last_event);
	else
		snprintf(path, sizeof path, "/v1/events?limit=500");
	if (cli_call(u->c, "GET", path, NULL, 1000, &j, NULL) < 0) return;
	json_array_foreach(cli_list(j, "events"), i, e)
	{
		u->last_event = (uint64_t)cli_int(e, "id");
		if ((uint64_t)cli_int(e, "ts_ms") >= u->started_wall_ms) event_show(u, e);
	}
	json_decref(j);
}

static bool tail_line(void *arg, struct hg_str text)
{
	json_t *j = json_loadb(text.p, text.n, 0, NULL);
	struct hg_buf line;
	(void)arg;
	hg_buf_init(&line, 1u << 20);
	cli_clean(&line, hg_str(cli_text(j, "text")));
	cli_say("    %s", hg_buf_text(&line));
	hg_buf_free(&line);
	json_decref(j);
	return true;
}

/* A replica ended before it was ever ready: its exit and its last words, once. */
static void death_report(struct up *u, const json_t *app, const json_t *r)
{
	const json_t *end = json_object_get(r, "exit");
	int64_t at = cli_int(end, "at_ms"), number = cli_int(r, "replica");
	const char *name = cli_text(app, "name");
	char path[256];
	for (uint32_t i = 0; i < u->seen_count; i++)
		if (u->seen[i].replica == number && !strcmp(u->seen[i].app, name) &&
		        (u->seen[i].at_ms == at || u->detach))
			return; /* once a replica: the later deaths only repeat it */
	if (u->seen_count == SEEN_MAX) return;
	struct seen *s = &u->seen[u->seen_count++];
	*s = (struct seen){.replica = number, .at_ms = at};
	snprintf(s->app, sizeof s->app, "%s", name);
	if (u->live) return; /* the table says it */
	cli_say("%s %s replica %d ended while starting: %s", cli_mark(u->c, CLI_BAD), name,
	        (int)number, cli_text(end, "text"));
	snprintf(path, sizeof path, "/v1/logs?app=%s&replica=%d&limit=20", name, (int)number);
	/* Its lines may still be on their way into the store. */
	poll(NULL, 0, 150);
	if (cli_log_tail(u->c, path, tail_line, NULL, NULL) < 0)
		cli_say("    (the log store does not answer yet: headgate logs %s)", name);
}

/* True when an app will not become ready without a human. */
static bool deaths_check(struct up *u, const json_t *status)
{
	const json_t *app, *r;
	size_t i, k;
	bool hopeless = false;
	json_array_foreach(cli_list(status, "apps"), i, app)
	{
		hopeless |= !strcmp(cli_text(app, "phase"), "crashloop");
		json_array_foreach(cli_list(app, "replicas"), k, r)
		{
			const json_t *end = json_object_get(r, "exit");
			bool mine = (uint64_t)cli_int(end, "at_ms") >= u->started_wall_ms;
			if (end && mine && strcmp(cli_text(r, "state"), "ready") != 0)
				death_report(u, app, r);
		}
	}
	return hopeless;
}

/* To the beginning of what is on the screen; one made narrower meanwhile has wrapped it. */
static void go_up(const struct up *u)
{
	if (u->drawn) cli_out("\033[%dA", cli_rows_of(u->c, hg_buf_view(&u->shown)));
}

static void erase(struct up *u)
{
	go_up(u);
	if (u->drawn) cli_out("\033[J");
	u->drawn = false;
}

static void draw(struct up *u, const json_t *status)
{
	struct cli *c = u->c;
	char url[160];
	struct hg_buf page;
	cli_size(c);
	hg_buf_reset(&u->page);
	hg_buf_init(&page, 4u << 20);
	cli_url(&u->k->spec->edge.listen.http, url);
	hg_buf_fmt(&page, "%sheadgate %s%s  %s  %s\n", cli_bold(c), HG_VERSION, cli_off(c), url,
	        cli_text(status, "state"));
	(void)cli_apps_table(c, status, &page);
	uint32_t n = (uint32_t)HG_COUNT(u->events);
	uint32_t first = u->event_count > n ? u->event_count - n : 0;
	for (uint32_t i = first; i < u->event_count; i++)
		hg_buf_fmt(&page, "%s%s%s\n", cli_dim(c), u->events[i % n], cli_off(c));
	hg_buf_fmt(&page, "%s\n",
	        u->stops ? "stopping; Ctrl-C again stops faster" : "Ctrl-C stops everything");
	(void)cli_fit(c, hg_buf_view(&page), c->rows > 1 ? c->rows - 1 : 0, &u->page);
	hg_buf_free(&page);
	if (u->drawn && hg_str_eq(hg_buf_view(&u->page), hg_buf_view(&u->shown))) return;
	go_up(u);
	/* Over the old lines: a screen that is cleared first flickers, or goes into the history. */
	for (struct hg_str rest = hg_buf_view(&u->page); rest.n;) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		cli_out("%.*s\033[K\n", HG_STR_ARG(line));
	}
	cli_out("\033[J");
	fflush(stdout);
	u->drawn = true;
	hg_buf_reset(&u->shown);
	hg_buf_str(&u->shown, hg_buf_view(&u->page));
}

/* What was asked for and cannot be had here: said once, the rest is in `status` and `doctor`. */
static void limits_said(const struct up *u, const json_t *app)
{
	const json_t *l = json_object_get(json_array_get(cli_list(app, "replicas"), 0), "limits");
	bool watched = !strcmp(cli_text(l, "memory_keeper"), "watch");
	bool free_cpu = cli_num(l, "cpu") > 0 && !cli_text(l, "cpu_keeper")[0];
	if (!watched && !free_cpu) return;
	cli_say("%s %s: no cgroup is ours here: %s%s%s; headgate doctor says how to get one",
	        cli_mark(u->c, CLI_WARN), cli_text(app, "name"),
	        watched ? "its memory limit is watched once a second" : "",
	        watched && free_cpu ? ", " : "", free_cpu ? "its CPU limit is not kept" : "");
}

static void ready_lines(struct up *u, const json_t *status)
{
	char url[160];
	const json_t *app;
	size_t i;
	const char *admin = cli_text(json_object_get(status, "listeners"), "admin");
	cli_url(&u->k->spec->edge.listen.http, url);
	cli_out("%s ready\n", cli_mark(u->c, CLI_GOOD));
	cli_out("  edge   %s\n", url);
	if (admin[0]) cli_out("  admin  http://%s\n", admin);
	fflush(stdout);
	json_array_foreach(cli_list(status, "apps"), i, app) limits_said(u, app);
}

/* ---- following ---- */

static void stop_asked(struct up *u)
{
	struct signalfd_siginfo info;
	while (read(u->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		/* Another one each time: the same one twice is one to a warden that has not come to
		 * it. */
		if (!cli_pidfd_signal(u->pidfd, u->stops++ % 2 == 0 ? SIGTERM : SIGINT)) continue;
		if (u->live) continue;
		cli_say(u->stops == 1 ? "stopping; Ctrl-C again stops faster" : "stopping faster");
	}
}

/* Why control could not start: the last such line of the warden's log, if there is one. */
static void say_why(const struct up *u)
{
	char path[PATH_MAX], line[4096];
	json_t *last = NULL;
	if (snprintf(path, sizeof path, "%s/run/headgate.log", u->c->data_dir) >= (int)sizeof path)
		return;
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		if (!strstr(line, "\"control.failed\"")) continue;
		json_decref(last);
		last = json_loads(line, 0, NULL);
	}
	if (f) fclose(f);
	const char *code = json_string_value(json_object_get(last, "code"));
	const char *why = json_string_value(json_object_get(last, "message"));
	if (code && why) cli_say("headgate: error %s: %s", code, why);
	json_decref(last);
}

static void next_up(const struct up *u)
{
	if (u->k->file[0] == '(') /* there is no file */
		cli_next(u->c, "headgate run -- COMMAND, or headgate init to keep it in a file");
	else
		cli_next(u->c, "headgate up -f %s", u->k->file);
}

static int ended(struct up *u)
{
	int status = 0;
	if (u->live) erase(u);
	if (u->child > 0 && waitpid(u->child, &status, 0) == u->child && WIFEXITED(status))
		status = WEXITSTATUS(status);
	else
		status = u->stops ? 0 : 7;
	if (status == 0) {
		cli_say("%s stopped", cli_mark(u->c, CLI_GOOD));
		next_up(u);
	} else {
		say_why(u);
		cli_say("%s Headgate ended with status %d; the reason is in %s/run/headgate.log",
		        cli_mark(u->c, CLI_BAD), status, u->c->data_dir);
		next_up(u);
	}
	return status;
}

static int not_ready(struct up *u, uint64_t timeout_ms, const json_t *status)
{
	struct hg_err err = {0};
	const json_t *app;
	size_t i;
	bool died = u->seen_count > 0;
	hg_err_set(&err, died ? HG_E_REPLICA_DIED : HG_E_NOT_READY, "not every app is ready%s",
	        died ? ": a replica ended while starting" : "");
	if (!died) hg_err_detail(&err, "waited %llu s", (unsigned long long)timeout_ms / 1000);
	hg_err_hint(&err,
	        "They go on trying: headgate status, headgate logs; headgate down stops all.");
	json_array_foreach(cli_list(status, "apps"), i, app)
	{
		if (!strcmp(cli_text(app, "phase"), "running")) continue;
		cli_say("%s %s %d/%d ready, %s%s%s",
		        cli_mark(u->c, cli_phase_mark(cli_text(app, "phase"))),
		        cli_text(app, "name"), (int)cli_int(app, "ready"),
		        (int)cli_int(app, "desired"), cli_text(app, "phase"),
		        cli_text(app, "reason")[0] ? ": " : "", cli_text(app, "reason"));
	}
	return cli_fail(&err);
}

/* One look. Returns an exit status to end with, or -1. */
static int turn(struct up *u, uint64_t began_ms, uint64_t timeout_ms)
{
	json_t *status = NULL;
	int result = -1;
	bool known = cli_call(u->c, "GET", "/v1/status", NULL, 2000, &status, NULL) == HG_OK;
	if (!u->detach && known) events_read(u);
	/* Once ready, the events tell of ends; before that, they are why it does not become ready.
	 */
	bool hopeless = known && !u->stops && !u->was_ready && deaths_check(u, status);
	bool settled = known && json_is_true(json_object_get(status, "settled"));
	if (u->live && known) draw(u, status);
	if (settled && !u->was_ready && !u->stops) {
		u->was_ready = true;
		if (!u->live) ready_lines(u, status);
		if (u->detach) {
			cli_next(u->c, "headgate status");
			result = 0;
		}
	}
	if (u->detach && result < 0 && (hopeless || clock_mono_ms() - began_ms >= timeout_ms))
		result = not_ready(u, timeout_ms, status);
	json_decref(status);
	return result;
}

static int follow(struct up *u)
{
	uint64_t began = clock_mono_ms();
	uint64_t timeout = cli_has(&u->c->args, CLI_F_TIMEOUT) ? u->c->args.number[CLI_F_TIMEOUT]
	                                                       : DETACH_DEFAULT_MS;
	int wait = 20; /* short at first: most things are ready in a moment */
	for (;;) {
		struct pollfd p[2] = {
		        {.fd = u->signals, .events = POLLIN}, {.fd = u->pidfd, .events = POLLIN}};
		(void)poll(p, 2, wait);
		wait = HG_MIN(wait * 2, TURN_MS);
		if (p[0].revents & POLLIN) stop_asked(u);
		if (p[1].revents) return ended(u);
		if (u->detach && u->stops) {
			/* Asked to end while waiting: see it through. */
			u->detach = false;
		}
		uint64_t before = clock_mono_ms();
		int result = turn(u, began, timeout);
		if (result >= 0) return result;
		/* With a thousand apps a look is work for control, which has better to do. */
		uint64_t took = clock_mono_ms() - before;
		wait = HG_MAX(wait, (int)HG_MIN(took * LOOK_SHARE, (uint64_t)LOOK_MOST_MS));
	}
}

static int start_and_follow(struct up *u)
{
	struct hg_err err = {0};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	u->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	u->started_wall_ms = clock_wall_ms();
	hg_buf_init(&u->page, 4u << 20);
	hg_buf_init(&u->shown, 4u << 20);
	int status = warden_start(u, &err) < 0 ? cli_fail(&err) : follow(u);
	hg_buf_free(&u->page);
	hg_buf_free(&u->shown);
	if (u->signals >= 0) close(u->signals);
	if (u->pidfd >= 0) close(u->pidfd);
	return status;
}

int cli_up(struct cli *c, const struct cli_config *k)
{
	struct warden_info w;
	struct hg_err err = {0};
	bool dry = cli_has(&c->args, CLI_F_DRY_RUN);
	enum hg_rc rc = warden_find(c->data_dir, &w, &err);
	if (rc == HG_OK && w.warden_alive) {
		cli_say("Headgate runs already on %s: reloading", c->data_dir);
		return cli_config_send(c, k, dry);
	}
	if (rc == HG_OK) {
		hg_err_set(&err, HG_E_STILL_RUNNING,
		        "the warden on \"%s\" is dead, its processes live on", c->data_dir);
		hg_err_hint(&err, "headgate down stops them; then headgate up.");
		return cli_fail(&err);
	}
	if (rc != HG_E_NOT_FOUND) return cli_fail(&err);
	if (dry) {
		char url[160];
		cli_url(&k->spec->edge.listen.http, url);
		for (uint32_t i = 0; i < k->spec->app_count; i++)
			cli_out("+ %.*s: %u replicas\n", HG_STR_ARG(k->spec->apps[i].name),
			        k->spec->apps[i].replicas);
		cli_out("+ edge %s\n", url);
		cli_say("dry run, nothing was started");
		cli_next(c, "headgate up -f %s", k->file);
		return 0;
	}
	struct up *u = calloc(1, sizeof *u);
	if (!u) return 1;
	u->c = c;
	u->k = k;
	u->pidfd = u->signals = -1;
	u->detach = cli_has(&c->args, CLI_F_DETACH);
	u->live = c->out_tty && !u->detach;
	int status = start_and_follow(u);
	free(u);
	return status;
}

int cli_do_up(struct cli *c)
{
	struct cli_config k;
	int status = cli_config_load(c, &k, NULL, NULL, true);
	if (!status) status = cli_up(c, &k);
	cli_config_fini(&k);
	return status;
}
