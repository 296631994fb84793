/*
 * Waiting for a rollout: live on a terminal, line by line elsewhere. It asks for the whole document
 * again and again instead of following a stream: every answer is complete, so a control that is
 * killed and replaced in between costs nothing but the time it is away.
 */
#include "rollout_priv.h"
#include "os/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define PATIENCE_MS   45000
#define LIVE_MS       200  /* between two questions; also between two drawings */
#define PLAIN_MS      250  /* … while something has just happened */
#define PLAIN_IDLE_MS 1000 /* … and while nothing does */
#define ASK_MS        2000 /* for one answer: keys are not read meanwhile */
#define LOGS_MS       1500 /* lines may still be on their way into the store */

struct wait {
	struct cli *c;
	const struct cli_wait *want;
	uint64_t id;
	json_t *doc; /* the last one; NULL before the first */
	bool json, live, keys, why;
	bool away;            /* control did not answer the last time */
	uint64_t answered_ms; /* when it last did */
	uint64_t changed_ms;  /* when the document was last another one */
	uint64_t until_ms;    /* 0: no end */
	char key[256], note[160];
	int drawn;           /* lines on the screen that are ours */
	struct hg_buf shown; /* … and what they say */
	int signals;
	struct termios was;
	sigset_t mask;
};

enum { GO_ON = -1, DETACHED = 130, TIMED_OUT = 5, DEGRADED = 7 };

/* ---- terminal and signals ---- */

static void watch_start(struct wait *w)
{
	sigset_t set;
	struct termios raw;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &w->mask);
	w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	w->keys = w->live && isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &w->was) == 0;
	if (w->keys) {
		raw = w->was;
		raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	if (w->live) cli_out("\033[?25l");
}

static void watch_end(struct wait *w)
{
	if (w->live) cli_out("\033[?25h");
	fflush(stdout);
	if (w->keys) tcsetattr(STDIN_FILENO, TCSANOW, &w->was);
	if (w->signals >= 0) close(w->signals);
	sigprocmask(SIG_SETMASK, &w->mask, NULL);
}

/* ---- drawing ---- */

static void erase(struct wait *w)
{
	/* One made narrower meanwhile has wrapped it. */
	if (w->drawn) cli_out("\033[%dA\r\033[J", cli_rows_of(w->c, hg_buf_view(&w->shown)));
	w->drawn = 0;
}

static void hints(const struct wait *w, struct hg_buf *to)
{
	const struct cli *c = w->c;
	hg_buf_cstr(to, cli_dim(c));
	if (w->keys)
		hg_buf_cstr(to, " p promote   a abort   w why   q detach (rollout goes on)");
	else
		hg_buf_cstr(to, " Ctrl-C detaches; the rollout goes on");
	hg_buf_fmt(to, "%s\n", cli_off(c));
}

static void draw(struct wait *w, bool last)
{
	struct cli *c = w->c;
	struct hg_buf page, shown;
	cli_size(c);
	int rows = c->rows >= 4 ? c->rows - 1 : 1000;
	hg_buf_init(&page, 1u << 20);
	hg_buf_init(&shown, 1u << 20);
	cli_rollout_page(c, w->doc, clock_wall_ms(), &page);
	if (w->why && !last) {
		hg_buf_byte(&page, '\n');
		cli_rollout_why(c, w->doc, &page);
	}
	if (w->away && !last)
		hg_buf_fmt(&page, " %s control is being replaced; the rollout goes on\n",
		        cli_mark(c, CLI_WARN));
	if (w->note[0] && !last) hg_buf_fmt(&page, " %s %s\n", cli_mark(c, CLI_WARN), w->note);
	if (!last) hints(w, &page);
	int lines = cli_clip(&shown, hg_buf_view(&page), (size_t)c->columns, last ? 1000 : rows);
	bool same = w->drawn == lines && hg_str_eq(hg_buf_view(&shown), hg_buf_view(&w->shown));
	if (last || !same) {
		erase(w);
		cli_out("%s", hg_buf_text(&shown));
		fflush(stdout);
		w->drawn = last ? 0 : lines;
		hg_buf_reset(&w->shown);
		hg_buf_str(&w->shown, hg_buf_view(&shown));
	}
	hg_buf_free(&page);
	hg_buf_free(&shown);
}

/* Progress for who has no terminal; beside --json it is a message. */
static void plain(const struct wait *w, struct hg_buf *text)
{
	if (w->json) {
		fputs(hg_buf_text(text), stderr);
	} else {
		cli_out("%s", hg_buf_text(text));
		fflush(stdout);
	}
}

static void each_change(struct wait *w, bool first)
{
	struct hg_buf text;
	char key[256];
	cli_rollout_key(w->doc, key);
	bool same = !strcmp(key, w->key);
	snprintf(w->key, sizeof w->key, "%s", key);
	if (same && !first) return;
	hg_buf_init(&text, 1u << 20);
	if (first) cli_rollout_header(w->c, w->doc, &text);
	cli_rollout_line(w->c, w->doc, &text);
	plain(w, &text);
	hg_buf_free(&text);
}

static void show(struct wait *w, bool first, bool changed)
{
	if (w->live) {
		draw(w, false);
	} else if (w->json && w->want->each) {
		/* The last one is printed with its exit code. */
		if (changed && cli_rollout_exit(w->doc, w->want->to_end) < 0) {
			(void)cli_print_json(w->doc, true);
			fflush(stdout);
		}
	} else if (changed) {
		each_change(w, first);
	}
}

/* ---- asking ---- */

static bool passes(enum hg_rc rc)
{
	return rc == HG_E_CONTROL_SILENT || rc == HG_E_NOT_RUNNING || rc == HG_E_AGAIN ||
	       rc == HG_E_TIMEOUT || rc == HG_E_CLOSED || rc == HG_E_INTERNAL;
}

/* GO_ON, or the exit status of a failure that does not pass. */
static int ask(struct wait *w)
{
	struct hg_err err = {0};
	json_t *doc = NULL;
	char path[64];
	uint64_t patience = w->want->patience_ms ? w->want->patience_ms : PATIENCE_MS;
	snprintf(path, sizeof path, "/v1/rollouts/%llu", (unsigned long long)w->id);
	enum hg_rc rc = cli_call(w->c, "GET", path, NULL, ASK_MS, &doc, &err);
	uint64_t now = clock_mono_ms();
	if (rc == HG_OK) {
		bool first = !w->doc, changed = first || !json_equal(doc, w->doc);
		json_decref(w->doc);
		w->doc = doc;
		w->answered_ms = now;
		if (changed) w->changed_ms = now;
		if (w->away && !w->live) cli_say("control answers again");
		w->away = false;
		show(w, first, changed);
		return GO_ON;
	}
	if (passes(rc) && now - w->answered_ms < patience) {
		if (!w->away && !w->live) cli_say("control is away; waiting for it");
		w->away = true;
		if (w->live && w->doc) draw(w, false);
		return GO_ON;
	}
	erase(w);
	int status = cli_fail(&err);
	if (!passes(rc)) return status;
	cli_say("rollout %llu was not followed to its end", (unsigned long long)w->id);
	return DEGRADED;
}

/* ---- keys ---- */

static void steer(struct wait *w, const char *verb)
{
	struct hg_err err = {0};
	char path[96];
	snprintf(path, sizeof path, "/v1/rollouts/%llu/%s", (unsigned long long)w->id, verb);
	if (cli_call(w->c, "POST", path, NULL, ASK_MS, NULL, &err) < 0)
		snprintf(w->note, sizeof w->note, "%s: %.120s", verb, err.message);
	else
		snprintf(w->note, sizeof w->note, "%s: asked for", verb);
}

static int key_take(struct wait *w, char key)
{
	switch (key) {
	case 'q':
	case 'Q':
	case 3: /* Ctrl-C */
	case 4: return DETACHED;
	case 'p': steer(w, "promote"); break;
	case 'a': steer(w, "abort"); break;
	case 'w': w->why = !w->why; break;
	default: break;
	}
	return GO_ON;
}

/* Sleeps until it is time to ask again, or until a key or signal. */
static int pause_for(struct wait *w, uint64_t ms)
{
	uint64_t until = clock_mono_ms() + ms;
	if (w->until_ms) until = HG_MIN(until, w->until_ms);
	for (;;) {
		struct pollfd p[2] = {{.fd = w->signals, .events = POLLIN},
		        {.fd = w->keys ? STDIN_FILENO : -1, .events = POLLIN}};
		uint64_t now = clock_mono_ms();
		if (now >= until) return GO_ON;
		if (poll(p, 2, (int)(until - now)) <= 0) continue;
		struct signalfd_siginfo info;
		if (p[0].revents && read(w->signals, &info, sizeof info) == (ssize_t)sizeof info)
			return DETACHED;
		char key;
		if (!p[1].revents) continue;
		if (read(STDIN_FILENO, &key, 1) != 1) { /* the terminal is gone */
			w->keys = false;
			continue;
		}
		int status = key_take(w, key);
		if (status >= 0) return status;
		if (w->doc) draw(w, false);
	}
}

static uint64_t interval(const struct wait *w)
{
	if (w->live) return LIVE_MS;
	return clock_mono_ms() - w->changed_ms > 10000 ? PLAIN_IDLE_MS : PLAIN_MS;
}

/* ---- the end ---- */

static bool back_by_person(const json_t *doc)
{
	return !strcmp(cli_text(doc, "outcome"), "rolled_back") &&
	       !strcmp(cli_text(doc, "cause"), "person");
}

static int over(struct wait *w)
{
	int status = cli_rollout_exit(w->doc, w->want->to_end);
	return w->want->back && status == 4 && back_by_person(w->doc) ? 0 : status;
}

static void finish(struct wait *w, int status)
{
	struct hg_buf text;
	if (w->json) {
		json_object_set_new(w->doc, "exit", json_integer(status));
		(void)cli_print_json(w->doc, w->want->each);
		return;
	}
	if (w->live) draw(w, true);
	fflush(stdout);
	json_t *logs = cli_rollout_logs(w->c, w->doc, LOGS_MS);
	hg_buf_init(&text, 1u << 20);
	hg_buf_byte(&text, '\n');
	cli_rollout_end(w->c, w->doc, logs, status, &text);
	cli_out("%s", hg_buf_text(&text));
	hg_buf_free(&text);
	json_decref(logs);
}

/* Left before the end: the last document, and how to come back. */
static void leave(struct wait *w, int status)
{
	bool person = !strcmp(cli_text(w->doc, "state"), "waiting");
	unsigned long long id = (unsigned long long)w->id;
	erase(w);
	if (w->live && w->doc) draw(w, true);
	if (w->json && w->doc) {
		json_object_set_new(w->doc, "exit", json_integer(status));
		(void)cli_print_json(w->doc, w->want->each);
	}
	if (status == DETACHED)
		cli_say("detached; rollout %llu goes on", id);
	else if (person)
		cli_say("%s rollout %llu waits for a person", cli_mark(w->c, CLI_WARN), id);
	else
		cli_say("%s rollout %llu is not over yet; it goes on", cli_mark(w->c, CLI_WAIT),
		        id);
	if (person)
		cli_next(w->c, "headgate promote %llu", id);
	else
		cli_next(w->c, "headgate rollouts show %llu --watch", id);
}

int cli_rollout_wait(struct cli *c, uint64_t id, const struct cli_wait *want)
{
	struct wait w = {.c = c,
	        .want = want,
	        .id = id,
	        .json = cli_has(&c->args, CLI_F_JSON),
	        .answered_ms = clock_mono_ms()};
	int status;
	hg_buf_init(&w.shown, 1u << 20);
	w.live = c->out_tty && !w.json;
	w.changed_ms = w.answered_ms;
	if (cli_has(&c->args, CLI_F_TIMEOUT))
		w.until_ms = w.answered_ms + HG_MAX(c->args.number[CLI_F_TIMEOUT], 1u);
	watch_start(&w);
	for (;;) {
		status = ask(&w);
		if (status >= 0) {
			watch_end(&w);
			break;
		}
		status = w.doc ? over(&w) : GO_ON;
		if (status >= 0) {
			watch_end(&w);
			finish(&w, status);
			break;
		}
		status = w.until_ms && clock_mono_ms() >= w.until_ms ? TIMED_OUT
		                                                     : pause_for(&w, interval(&w));
		if (status >= 0) {
			watch_end(&w);
			leave(&w, status);
			break;
		}
	}
	json_decref(w.doc);
	hg_buf_free(&w.shown);
	return status;
}
