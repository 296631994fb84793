/* What goes out: everything once, in the face of receivers that mean well and of others. */
#include "../../test.h"

#include "observe/remote/remote.c"
#include "observe/remote/target.c"

#include "world.h"

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct remote_target_conf conf_of(struct world *w)
{
	return (struct remote_target_conf){.name = HG_STR("one"),
	        .url = hg_str(w->url),
	        .batch_samples = 100,
	        .batch_ms = 1,
	        .timeout_ms = 30000};
}

static void apply(struct world *w, const struct remote_target_conf *c)
{
	struct remote_conf conf = {.targets = c, .target_n = 1};
	struct hg_err err = {0};
	if (remote_apply(w->sender, &conf, &err) != HG_OK) fail_msg("%s", err.message);
}

static struct remote_status status(struct world *w)
{
	struct remote_status s;
	size_t at = 0;
	assert_true(remote_status_next(w->sender, &at, &s));
	return s;
}

/* Turns the loop until everything up to `t` has passed. */
static void passes(struct world *w, int64_t t)
{
	for (int i = 0; i < 20000; i++) {
		if (status(w).position_ms >= t) return;
		assert_int_equal(loop_turn(w->loop, 50), HG_OK);
	}
	fail_msg(
	        "it stands at %lld, %s", (long long)(status(w).position_ms - START), status(w).why);
}

/* n series get a sample each, and the clock goes there. */
static void samples(struct world *w, uint32_t n, int64_t t)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(
		        tsdb_append(w->from, series(w->from, "m", i), t, (double)(i + t % 977)),
		        HG_OK);
	clock_ms = t + 1000;
}

static void what_comes_is_sent_once(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	apply(w, &c);
	uint64_t sent = 0;
	for (int k = 1; k <= 5; k++) {
		samples(w, 250, START + k * 5000);
		sent += 250;
		passes(w, START + k * 5000);
		assert_true(same(w));
	}
	struct remote_status s = status(w);
	assert_int_equal(s.samples, sent);
	assert_int_equal(s.dropped + s.retries, 0);
	assert_int_equal(w->requests, 15); /* three of each round */
	world_free(w);
}

static void nothing_older_than_the_target_is_sent(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	samples(w, 10, START - 5000);
	clock_ms = START;
	apply(w, &c);
	samples(w, 10, START + 5000);
	passes(w, START + 5000);
	assert_int_equal(status(w).samples, 10);
	world_free(w);
}

static void late_samples_are_sent_too(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	apply(w, &c);
	samples(w, 10, START + 60000);
	passes(w, START + 60000);
	/* An exporter's own times lag behind: the span has passed. */
	assert_int_equal(tsdb_append(w->from, series(w->from, "lag", 1), START + 30000, 1), HG_OK);
	samples(w, 10, START + 65000);
	passes(w, START + 65000);
	assert_true(same(w));
	world_free(w);
}

static void markers_and_odd_numbers_come_bit_by_bit(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	const double odd[] = {tsdb_stale(), NAN, INFINITY, -0.0, 5e-324};
	(void)state;
	apply(w, &c);
	for (uint32_t i = 0; i < HG_COUNT(odd); i++)
		assert_int_equal(
		        tsdb_append(w->from, series(w->from, "m", i), START + 5000, odd[i]), HG_OK);
	clock_ms = START + 6000;
	passes(w, START + 5000);
	assert_true(same(w));
	world_free(w);
}

static void labels_are_added_and_rules_applied(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	struct hg_str source[] = {HG_STR("i")};
	struct relabel_conf rule[] = {
	        {.action = RELABEL_DROP, .source = source, .source_n = 1, .regex = HG_STR("00001")},
	        {.action = RELABEL_LABELDROP, .regex = HG_STR("i")}};
	struct label external[] = {
	        {HG_STR("i"), HG_STR("not this")}, {HG_STR("site"), HG_STR("s")}};
	struct remote_conf conf = {
	        .targets = &c, .target_n = 1, .external = external, .external_n = 2};
	struct hg_err err = {0};
	(void)state;
	c.relabel = rule;
	c.relabel_n = 2;
	assert_int_equal(remote_apply(w->sender, &conf, &err), HG_OK);
	samples(w, 2, START + 5000);
	passes(w, START + 5000);
	char *text = everything(w->to);
	assert_string_equal(text, "m{site=\"s\"} 5000:408ce80000000000\n");
	free(text);
	world_free(w);
}

static void what_fails_is_sent_again(void **state)
{
	static const unsigned say[] = {500, 503, 429};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(say); i++) {
		struct world *w = world_new();
		struct remote_target_conf c = conf_of(w);
		apply(w, &c);
		w->say = say[i];
		w->times = 4;
		samples(w, 250, START + 5000);
		passes(w, START + 5000);
		assert_true(same(w));
		struct remote_status s = status(w);
		assert_int_equal(s.samples, 250);
		assert_int_equal(s.retries, 4);
		assert_int_equal(s.dropped, 0);
		assert_false(s.failing);
		assert_int_equal(w->requests, 3 + 4);
		world_free(w);
	}
}

static void a_receiver_that_wants_a_pause_gets_it(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	apply(w, &c);
	w->say = 429;
	w->times = 1;
	w->retry_after = "1";
	samples(w, 10, START + 5000);
	while (!status(w).retries)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	uint64_t at = loop_now_ms(w->loop);
	passes(w, START + 5000);
	assert_true(loop_now_ms(w->loop) - at >= 950);
	world_free(w);
}

static void what_is_refused_is_counted_and_left(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	apply(w, &c);
	w->say = 400;
	w->times = 1;
	samples(w, 250, START + 5000);
	passes(w, START + 5000);
	struct remote_status s = status(w);
	assert_int_equal(s.samples + s.dropped, 250);
	assert_int_equal(s.dropped, 100);
	assert_int_equal(w->requests, 3);
	w->say = 400;
	w->times = 1;
	samples(w, 1, START + 10000);
	passes(w, START + 10000);
	s = status(w);
	assert_true(s.failing && strstr(s.why, "400: no, said the test"));
	world_free(w);
}

static void silence_and_garbage_are_outlived(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	c.timeout_ms = 200;
	apply(w, &c);
	w->hang = true;
	samples(w, 250, START + 5000);
	while (status(w).retries < 2)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	assert_true(status(w).failing);
	w->hang = false;
	w->garbage = true;
	uint64_t retries = status(w).retries;
	while (status(w).retries < retries + 2)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	w->garbage = false;
	/* From here on a slow machine may take its time. */
	c.timeout_ms = 30000;
	apply(w, &c);
	passes(w, START + 5000);
	assert_true(same(w));
	world_free(w);
}

static void requests_under_way_are_bounded(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	c.shards = 2;
	apply(w, &c);
	w->hang = true;
	samples(w, 1000, START + 5000);
	while (w->requests < 2)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_turn(w->loop, 5), HG_OK);
	assert_int_equal(w->requests, 2);
	assert_int_equal(status(w).flying, 2);
	world_free(w);
}

/* A receiver that is away must not keep the store from closing windows and dropping series. */
static void a_selection_is_not_held_for_a_receiver_that_is_away(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	c.shards = 1;
	apply(w, &c);
	w->hang = true;
	samples(w, 1000, START + 5000);
	while (!w->requests)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	struct target *t = w->sender->target[0];
	while (t->selection)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	assert_int_equal(status(w).flying, 1);
	/* … and goes on where it was. */
	w->hang = false;
	assert_non_null(w->held);
	serve_answer(w->held, 500, NULL, (struct hg_str){0});
	passes(w, START + 5000);
	assert_true(same(w));
	assert_int_equal(status(w).samples, 1000);
	world_free(w);
}

/* kill -9: what is on the disk is the position as it was; the target begins again. */
static void killed(struct world *w, const struct remote_target_conf *c)
{
	char from[160], to[160];
	(void)snprintf(from, sizeof from, "%s/one", w->from_dir);
	(void)snprintf(to, sizeof to, "%s/kept", w->dir);
	assert_int_equal(link(from, to), 0); /* position_write makes a new file */
	remote_free(w->sender);
	assert_int_equal(rename(to, from), 0);
	w->sender = remote_open(w, w->from, w->from_dir);
	apply(w, c);
}

static void after_a_kill_nothing_is_missing_and_the_same_is_sent(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	uint64_t before[64];
	(void)state;
	c.shards = 1;
	apply(w, &c);
	samples(w, 250, START + 5000);
	passes(w, START + 5000);
	/* In the middle of a pass: two batches of five have arrived. */
	w->body_n = 0;
	for (uint32_t i = 0; i < 5; i++)
		samples(w, 100, START + 6000 + i * 100);
	while (w->body_n < 2)
		assert_int_equal(loop_turn(w->loop, 1000), HG_OK);
	memcpy(before, w->bodies, sizeof before);
	w->body_n = 0;
	killed(w, &c);
	/* New samples do not mix with those that may be doubles. */
	samples(w, 100, START + 7000);
	passes(w, START + 7000);
	assert_true(same(w));
	assert_int_equal(w->bodies[0], before[0]);
	assert_int_equal(w->bodies[1], before[1]);
	world_free(w);
}

/* How often a word is in what was logged. */
static unsigned logged(const char *text, const char *word)
{
	unsigned n = 0;
	for (const char *at = text; (at = strstr(at, word)); at++)
		n++;
	return n;
}

static uint64_t wall(void)
{
	return (uint64_t)clock_ms;
}

static void a_full_disk_stops_nothing_and_is_said_once(void **state)
{
	static char text[65536];
	struct rlimit was, tight;
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	int log[2];
	(void)state;
	assert_int_equal(pipe(log), 0);
	struct hg_log to = {.fd = log[1], .least = HG_INFO, .who = "test", .wall_ms = wall};
	w->log = &to;
	remote_free(w->sender);
	w->sender = remote_open(w, w->from, w->from_dir);
	apply(w, &c);
	samples(w, 100, START + 5000);
	passes(w, START + 5000);
	/* No file may grow: as on a full disk, a new one stays empty. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = (struct rlimit){1, was.rlim_max};
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	for (int k = 2; k <= 5; k++) {
		samples(w, 100, START + k * 5000);
		passes(w, START + k * 5000);
	}
	assert_true(status(w).unkept);
	assert_false(status(w).failing);
	assert_int_equal(status(w).samples, 500);
	/* A kill: the position on the disk is whole, and older. What went out since goes out again.
	 */
	killed(w, &c);
	samples(w, 100, START + 30000);
	passes(w, START + 30000);
	assert_true(same(w));
	assert_true(status(w).samples >= 100 && status(w).samples <= 600);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	samples(w, 100, START + 35000);
	passes(w, START + 35000);
	samples(w, 100, START + 40000);
	passes(w, START + 40000);
	assert_false(status(w).unkept);
	assert_true(same(w));
	remote_free(w->sender);
	w->sender = NULL;
	assert_true(read(log[0], text, sizeof text - 1) > 0);
	/* Once of each process, and once that it is over. */
	assert_int_equal(logged(text, "remote.position_unkept"), 2);
	assert_int_equal(logged(text, "remote.position_kept"), 1);
	assert_int_equal(logged(text, "remote.position_damaged"), 0);
	close(log[0]);
	close(log[1]);
	world_free(w);
}

static void without_room_for_its_folder_it_sends_and_makes_it_later(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	char dir[120], file[140];
	(void)state;
	(void)snprintf(dir, sizeof dir, "%s/later/remote", w->dir);
	(void)snprintf(file, sizeof file, "%s/one", dir);
	remote_free(w->sender);
	w->sender = remote_open(w, w->from, dir);
	apply(w, &c);
	samples(w, 100, START + 5000);
	passes(w, START + 5000);
	assert_true(same(w));
	assert_true(status(w).unkept);
	*strrchr(dir, '/') = 0;
	assert_int_equal(mkdir(dir, 0700), 0);
	samples(w, 100, START + 10000);
	passes(w, START + 10000);
	samples(w, 100, START + 15000);
	passes(w, START + 15000);
	assert_false(status(w).unkept);
	assert_int_equal(access(file, R_OK), 0);
	/* Half a position is said to be damaged, and none. */
	remote_free(w->sender);
	assert_int_equal(truncate(file, 20), 0);
	struct position p;
	int at = disk_dir(AT_FDCWD, dir);
	assert_true(at >= 0);
	assert_int_equal(position_read(at, "remote/one", &p), HG_E_INVALID);
	assert_int_equal(truncate(file, 0), 0);
	assert_int_equal(position_read(at, "remote/one", &p), HG_E_INVALID);
	assert_int_equal(position_read(at, "remote/two", &p), HG_E_NOT_FOUND);
	disk_close(at);
	w->sender = NULL;
	world_free(w);
}

static void hours_without_a_receiver_are_sent_in_slices(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	c.batch_samples = 2000;
	apply(w, &c);
	remote_free(w->sender);
	for (int k = 1; k <= 360; k++) /* an hour and a half */
		samples(w, 10, START + k * 15000);
	w->sender = remote_open(w, w->from, w->from_dir);
	apply(w, &c);
	passes(w, START + 360 * 15000);
	assert_true(same(w));
	assert_int_equal(status(w).samples, 3600);
	assert_int_equal(status(w).dropped, 0);
	assert_true(w->requests >= 40); /* of two minutes each */
	world_free(w);
}

/* A store in windows, as on a disk, whose clock is the test's; the receiver takes everything. */
static struct world *world_of_windows(void)
{
	struct world *w = world_new();
	struct tsdb_options o = {.window_ms = 7200000, .now_ms = now_ms};
	struct remote_target_conf conf = conf_of(w);
	struct hg_err err = {0};
	remote_free(w->sender);
	tsdb_close(w->from);
	assert_int_equal(tsdb_open(&o, &w->from, &err), HG_OK);
	w->sender = remote_open(w, w->from, w->from_dir);
	w->say = 204;
	w->times = UINT_MAX;
	apply(w, &conf);
	return w;
}

/* Ten more samples at `t`, by a clock that stands there, and all of them go out, once. */
static void ten_more(struct world *w, int64_t t)
{
	uint64_t want = status(w).samples + 10;
	clock_ms = t;
	assert_int_equal(tsdb_commit(w->from), HG_OK);
	samples(w, 10, t);
	for (int i = 0; i < 400 && status(w).samples < want; i++)
		assert_int_equal(loop_turn(w->loop, 20), HG_OK);
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_turn(w->loop, 5), HG_OK);
	assert_int_equal(status(w).samples, want);
}

#define YEAR_MS (INT64_C(365) * 24 * 3600000)

/* A position in the future stopped everything until then, restarts or not; on the way there was a
 * pass for every two minutes of five years. */
static void a_clock_that_leaps_ahead_stops_nothing(void **state)
{
	struct world *w = world_of_windows();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	ten_more(w, START + 5000);
	ten_more(w, START + 5 * YEAR_MS);
	ten_more(w, START + 20000);
	ten_more(w, START + 5 * YEAR_MS + 20000);
	remote_free(w->sender);
	clock_ms = START + 30000;
	w->sender = remote_open(w, w->from, w->from_dir);
	apply(w, &c);
	ten_more(w, START + 40000);
	ten_more(w, START + 60000);
	assert_true(w->requests < 20);
	world_free(w);
}

/* A machine that does not know the time begins in 1970: it sends nothing twice once it knows. */
static void a_clock_that_begins_in_1970_sends_nothing_twice(void **state)
{
	struct world *w = world_of_windows();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	for (int k = 1; k < 20; k++)
		ten_more(w, START + k * 5000);
	remote_free(w->sender);
	clock_ms = 1000000;
	w->sender = remote_open(w, w->from, w->from_dir);
	apply(w, &c);
	ten_more(w, 1000000);
	ten_more(w, 1010000);
	ten_more(w, START + 200000);
	ten_more(w, START + 220000);
	world_free(w);
}

/* A month without samples is passed at once. */
static void a_gap_is_passed_at_once(void **state)
{
	struct world *w = world_of_windows();
	(void)state;
	ten_more(w, START + 5000);
	ten_more(w, START + 5000 + YEAR_MS / 12);
	world_free(w);
}

static void the_same_settings_disturb_nobody(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	(void)state;
	apply(w, &c);
	struct target *t = w->sender->target[0];
	apply(w, &c);
	assert_ptr_equal(t, w->sender->target[0]);
	samples(w, 10, START + 5000);
	passes(w, START + 5000);
	/* Other settings begin where the target was. */
	c.batch_samples = 50;
	apply(w, &c);
	assert_int_equal(w->sender->target[0]->batch_samples, 50);
	samples(w, 10, START + 10000);
	passes(w, START + 10000);
	assert_int_equal(status(w).samples, 10);
	assert_true(same(w));
	world_free(w);
}

static void settings_that_cannot_be_used_are_refused(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf good = conf_of(w), row[9];
	struct remote_header split[] = {{HG_STR("X-A"), HG_STR("a\r\nX-B: b")}};
	struct remote_header ours[] = {{HG_STR("content-type"), HG_STR("text/plain")}};
	struct relabel_conf rule = {.action = RELABEL_HASHMOD};
	struct hg_err err = {0};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++)
		row[i] = good;
	row[0].name = HG_STR("../x");
	row[1].url = HG_STR("ftp://a/");
	row[2].headers = split, row[2].header_n = 1;
	row[3].headers = ours, row[3].header_n = 1;
	row[4].user = HG_STR("a:b");
	row[5].user = HG_STR("a"), row[5].bearer = HG_STR("b");
	row[6].shards = 1000;
	row[7].relabel = &rule, row[7].relabel_n = 1;
	row[8].bearer = HG_STR("a\nb");
	apply(w, &good);
	struct target *t = w->sender->target[0];
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct remote_conf conf = {.targets = &row[i], .target_n = 1};
		if (remote_apply(w->sender, &conf, &err) == HG_OK) fail_msg("row %zu", i);
		assert_ptr_equal(t, w->sender->target[0]);
	}
	struct remote_target_conf twice[] = {good, good};
	struct remote_conf conf = {.targets = twice, .target_n = 2};
	assert_int_equal(remote_apply(w->sender, &conf, &err), HG_E_INVALID);
	world_free(w);
}

static void decisions(void **state)
{
	(void)state;
	assert_int_equal(send_judge(204), SEND_TAKEN);
	assert_int_equal(send_judge(0), SEND_AGAIN);
	assert_int_equal(send_judge(301), SEND_AGAIN);
	assert_int_equal(send_judge(400), SEND_REFUSED);
	assert_int_equal(send_judge(429), SEND_AGAIN);
	assert_int_equal(send_judge(500), SEND_AGAIN);
	assert_int_equal(send_pause(1, 2500, 0), 2500);
	assert_int_equal(send_pause(1, UINT64_MAX, 0), REMOTE_AFTER_MOST_MS);
	for (uint32_t tries = 0; tries < 200; tries++) {
		uint64_t ms = send_pause(tries, 0, tries * 0x9e3779b97f4a7c15ull);
		assert_true(ms >= 90 && ms <= 33000);
	}
	assert_int_equal(send_until(1000, 5000), 4000);
	assert_int_equal(send_until(0, 10000000), 120000);
}

static void figures_are_prometheus_text(void **state)
{
	struct world *w = world_new();
	struct remote_target_conf c = conf_of(w);
	struct hg_buf b;
	(void)state;
	apply(w, &c);
	samples(w, 10, START + 5000);
	passes(w, START + 5000);
	hg_buf_init(&b, 1 << 16);
	remote_metrics(w->sender, &b);
	assert_non_null(strstr(
	        hg_buf_text(&b), "\nheadgate_remote_sent_samples_total{remote=\"one\"} 10\n"));
	hg_buf_reset(&b);
	remote_metrics(w->taker, &b);
	assert_non_null(strstr(hg_buf_text(&b), "\nheadgate_remote_received_samples_total 10\n"));
	hg_buf_free(&b);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_comes_is_sent_once),
	        cmocka_unit_test(nothing_older_than_the_target_is_sent),
	        cmocka_unit_test(late_samples_are_sent_too),
	        cmocka_unit_test(markers_and_odd_numbers_come_bit_by_bit),
	        cmocka_unit_test(labels_are_added_and_rules_applied),
	        cmocka_unit_test(what_fails_is_sent_again),
	        cmocka_unit_test(a_receiver_that_wants_a_pause_gets_it),
	        cmocka_unit_test(what_is_refused_is_counted_and_left),
	        cmocka_unit_test(silence_and_garbage_are_outlived),
	        cmocka_unit_test(requests_under_way_are_bounded),
	        cmocka_unit_test(a_selection_is_not_held_for_a_receiver_that_is_away),
	        cmocka_unit_test(after_a_kill_nothing_is_missing_and_the_same_is_sent),
	        cmocka_unit_test(a_full_disk_stops_nothing_and_is_said_once),
	        cmocka_unit_test(without_room_for_its_folder_it_sends_and_makes_it_later),
	        cmocka_unit_test(hours_without_a_receiver_are_sent_in_slices),
	        cmocka_unit_test(a_clock_that_leaps_ahead_stops_nothing),
	        cmocka_unit_test(a_clock_that_begins_in_1970_sends_nothing_twice),
	        cmocka_unit_test(a_gap_is_passed_at_once),
	        cmocka_unit_test(the_same_settings_disturb_nobody),
	        cmocka_unit_test(settings_that_cannot_be_used_are_refused),
	        cmocka_unit_test(decisions),
	        cmocka_unit_test(figures_are_prometheus_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
