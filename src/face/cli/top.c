/* top: what happens at the edge just now, by app, route and replica. Two looks make a rate. */
#include "client_priv.h"
#include "meter/meter.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ROUTES_SHOWN   20
#define REPLICAS_SHOWN 40

/* One line: what was counted between two looks. */
struct line {
	const char *app, *name, *state;
	int release, replica, in_flight;
	bool fresh; /* not there at the first look */
	double rate, errors, refused, cpu, bytes;
	uint64_t requests, bucket[METER_BUCKETS];
};

static void cell(struct hg_buf *to, const char *text, size_t width)
{
	cli_pad(to, text, width);
	hg_buf_byte(to, ' ');
}

static uint64_t grown(const json_t *was, const json_t *is, const char *key)
{
	uint64_t to = (uint64_t)cli_int(is, key);
	uint64_t from = was ? (uint64_t)cli_int(was, key) : 0;
	return to >= from ? to - from : to;
}

static bool same(const json_t *a, const json_t *b)
{
	static const char *const numbers[] = {"release", "replica", "incarnation"};
	for (size_t i = 0; i < HG_COUNT(numbers); i++)
		if (cli_int(a, numbers[i]) != cli_int(b, numbers[i])) return false;
	return !strcmp(cli_text(a, "app"), cli_text(b, "app")) &&
	       !strcmp(cli_text(a, "route"), cli_text(b, "route"));
}

/* The row of the first look; lists hardly change, so it is nearly always at the same place. */
static const json_t *before(const json_t *list, size_t at, const json_t *row)
{
	const json_t *there = json_array_get(list, at), *r;
	size_t i;
	if (there && same(there, row)) return there;
	json_array_foreach(list, i, r)
	{
		if (same(r, row)) return r;
	}
	return NULL;
}

static void line_add(struct line *l, const json_t *was, const json_t *row, double seconds)
{
	const json_t *b = cli_list(row, "buckets"), *a = was ? cli_list(was, "buckets") : NULL;
	uint64_t n = grown(was, row, "requests");
	l->requests += n;
	l->rate += (double)n / seconds;
	l->errors += (double)grown(was, row, "errors");
	l->refused += (double)grown(was, row, "refused");
	l->bytes += (double)grown(was, row, "bytes_out") / seconds;
	for (size_t i = 0; i < METER_BUCKETS; i++) {
		uint64_t to = (uint64_t)json_integer_value(json_array_get(b, i));
		uint64_t from = (uint64_t)json_integer_value(json_array_get(a, i));
		l->bucket[i] += to >= from ? to - from : to;
	}
}

static int busier(const void *x, const void *y)
{
	const struct line *a = x, *b = y;
	int d = (a->rate < b->rate) - (a->rate > b->rate);
	if (d == 0) d = strcmp(a->app, b->app);
	if (d == 0 && a->name && b->name) d = strcmp(a->name, b->name);
	return d ? d : (a->replica > b->replica) - (a->replica < b->replica);
}

/* Routes of all releases together, the busiest first. */
static size_t routes_of(const json_t *was, const json_t *is, double seconds, struct line *to)
{
	size_t n = 0, i;
	const json_t *r, *old = cli_list(was, "routes");
	json_array_foreach(cli_list(is, "routes"), i, r)
	{
		size_t k = 0;
		const char *app = cli_text(r, "app"), *name = cli_text(r, "route");
		while (k < n && (strcmp(to[k].name, name) != 0 || strcmp(to[k].app, app) != 0))
			k++;
		if (k == n) to[n++] = (struct line){.app = app, .name = name};
		line_add(&to[k], before(old, i, r), r, seconds);
	}
	if (n) qsort(to, n, sizeof *to, busier);
	return n;
}

static size_t replicas_of(const json_t *was, const json_t *is, double seconds, struct line *to)
{
	size_t n = 0, i;
	const json_t *r, *old = cli_list(was, "replicas");
	json_array_foreach(cli_list(is, "replicas"), i, r)
	{
		const json_t *first = before(old, i, r);
		to[n] = (struct line){.app = cli_text(r, "app"),
		        .state = cli_text(r, "state"),
		        .release = (int)cli_int(r, "release"),
		        .replica = (int)cli_int(r, "replica"),
		        .in_flight = (int)cli_int(r, "in_flight"),
		        .cpu = cli_num(r, "cpu")};
		/* Its counters began with whoever had the place before it. */
		if (first) line_add(&to[n], first, r, seconds);
		n++;
	}
	if (n) qsort(to, n, sizeof *to, busier);
	return n;
}

static void numbers(const struct cli *c, const struct line *l, struct hg_buf *to)
{
	static const double quantiles[] = {0.5, 0.95, 0.99};
	char t[CLI_TEXT_MAX];
	cell(to, cli_human_rate(l->rate, t), 7);
	cell(to, l->requests ? cli_human_ratio(l->errors / (double)l->requests, t) : cli_dash(c),
	        8);
	for (size_t i = 0; i < HG_COUNT(quantiles); i++) {
		double s = meter_quantile(l->bucket, quantiles[i]);
		cell(to, s < 0 ? cli_dash(c) : cli_human_seconds(s, t), 8);
	}
}

static void more(size_t n, size_t shown, const char *what, struct hg_buf *to)
{
	if (n > shown) hg_buf_fmt(to, "… %zu more %s with less traffic\n", n - shown, what);
}

static void routes_table(const struct cli *c, const struct line *l, size_t n, struct hg_buf *to)
{
	char t[CLI_TEXT_MAX];
	hg_buf_fmt(to,
	        "\n%sROUTE                          RATE/S  ERRORS   P50      P95      P99      "
	        "OUT/S%s\n",
	        cli_bold(c), cli_off(c));
	for (size_t i = 0; i < HG_MIN(n, (size_t)ROUTES_SHOWN); i++) {
		cell(to, l[i].name, c->plain ? HG_MAX((size_t)30, strlen(l[i].name)) : 30);
		numbers(c, &l[i], to);
		hg_buf_fmt(to, "%s\n", cli_human_bytes((uint64_t)l[i].bytes, t));
	}
	more(n, ROUTES_SHOWN, "routes", to);
}

static void replicas_table(const struct cli *c, const struct line *l, size_t n, struct hg_buf *to)
{
	char t[96];
	hg_buf_fmt(to,
	        "\n%sREPLICA                        RATE/S  ERRORS   P50      P95      P99      "
	        "NOW  CPU   STATE%s\n",
	        cli_bold(c), cli_off(c));
	for (size_t i = 0; i < HG_MIN(n, (size_t)REPLICAS_SHOWN); i++) {
		snprintf(t, sizeof t, "%.60s/%d release %d", l[i].app, l[i].replica, l[i].release);
		cell(to, t, 30);
		numbers(c, &l[i], to);
		snprintf(t, sizeof t, "%d", l[i].in_flight);
		cell(to, t, 4);
		snprintf(t, sizeof t, "%.2f", HG_MAX(l[i].cpu, 0));
		cell(to, t, 5);
		hg_buf_fmt(to, "%s\n", l[i].state);
	}
	more(n, REPLICAS_SHOWN, "replicas", to);
}

/* `was` and `is`: two looks; without the first there are no rates yet, and the tables are left out.
 */
static void page(const struct cli *c, const json_t *status, const json_t *was, const json_t *is,
        struct hg_buf *to)
{
	double seconds =
	        (double)(cli_int(is, "mono_ms") - (was ? cli_int(was, "mono_ms") : 0)) / 1e3;
	size_t room = json_array_size(cli_list(is, "routes")) +
	              json_array_size(cli_list(is, "replicas")) + 1;
	hg_buf_fmt(to, "headgate %s   %s   %lld connections   %s\n\n", cli_text(status, "version"),
	        cli_text(status, "state"), (long long)cli_int(is, "connections"),
	        cli_text(status, "data"));
	cli_apps_table(c, status, to);
	struct line *l = was && seconds > 0 ? calloc(room, sizeof *l) : NULL;
	if (!l) return;
	size_t n = routes_of(was, is, seconds, l);
	routes_table(c, l, n, to);
	n = replicas_of(was, is, seconds, l);
	replicas_table(c, l, n, to);
	free(l);
}

/* ---- looking ---- */

static bool key_or_second(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;
	if (poll(&p, 1, 1000) <= 0) return false;
	/* A terminal that is gone ends it as well. */
	return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3 || key == 4;
}

struct look {
	json_t *was, *is, *status;
};

static int look(struct cli *c, struct look *l, struct hg_err *err)
{
	json_decref(l->was);
	json_decref(l->status);
	l->was = l->is;
	l->is = l->status = NULL;
	if (cli_call(c, "GET", "/v1/traffic", NULL, CLI_READ_MS, &l->is, err) < 0) return -1;
	return cli_call(c, "GET", "/v1/status", NULL, CLI_READ_MS, &l->status, err) < 0 ? -1 : 0;
}

static void look_end(struct look *l)
{
	json_decref(l->was);
	json_decref(l->is);
	json_decref(l->status);
}

/* Measures for a second and writes once. */
static int once(struct cli *c, struct hg_err *err)
{
	struct look l = {0};
	struct hg_buf text;
	hg_buf_init(&text, 16u << 20);
	int rc = look(c, &l, err);
	if (rc == 0) nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	if (rc == 0) rc = look(c, &l, err);
	if (rc == 0 && cli_has(&c->args, CLI_F_JSON)) {
		json_object_set(l.status, "traffic", l.is);
		json_object_set(l.status, "traffic_before", l.was);
		char *dump = json_dumps(l.status, JSON_INDENT(2));
		hg_buf_fmt(&text, "%s\n", dump ? dump : "{}");
		free(dump);
	} else if (rc == 0) {
		cli_rollouts_add(c, l.status);
		page(c, l.status, l.was, l.is, &text);
	}
	if (rc == 0) cli_out("%s", hg_buf_text(&text));
	hg_buf_free(&text);
	look_end(&l);
	return rc;
}

static int live(struct cli *c, struct hg_err *err)
{
	struct look l = {0};
	struct hg_buf text, fitted;
	int rc;
	hg_buf_init(&text, 16u << 20);
	hg_buf_init(&fitted, 16u << 20);
	do {
		rc = look(c, &l, err);
		if (rc < 0) break;
		hg_buf_reset(&text);
		hg_buf_reset(&fitted);
		cli_rollouts_add(c, l.status);
		page(c, l.status, l.was, l.is, &text);
		cli_size(c);
		(void)cli_fit(c, hg_buf_view(&text), c->rows > 3 ? c->rows - 2 : 0, &fitted);
		cli_out("\033[H\033[J%s\n%sq quit%s", hg_buf_text(&fitted), cli_dim(c), cli_off(c));
		fflush(stdout);
	} while (!key_or_second());
	hg_buf_free(&text);
	hg_buf_free(&fitted);
	look_end(&l);
	return rc;
}

int cli_do_top(struct cli *c)
{
	struct hg_err err = {0};
	struct termios was, raw;
	bool screen = c->out_tty && isatty(STDIN_FILENO) && !cli_has(&c->args, CLI_F_JSON) &&
	              tcgetattr(STDIN_FILENO, &was) == 0;
	int rc;
	if (cli_has(&c->args, CLI_F_CONSUMERS)) return cli_do_consumers(c);
	if (screen) {
		raw = was;
		raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		cli_out("\033[?1049h\033[?25l");
		rc = live(c, &err);
		cli_out("\033[?25h\033[?1049l");
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
	} else {
		rc = once(c, &err);
	}
	if (rc < 0) return cli_fail(&err);
	if (!cli_has(&c->args, CLI_F_JSON)) cli_next(c, "headgate status APP");
	return 0;
}
