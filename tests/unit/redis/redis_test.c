#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "redis/address.c"
#include "redis/link.c"
#include "redis/redis.c"

/* A server that says what the test tells it to, on the same loop. */
struct rig {
	struct loop *loop;
	struct redis *r;
	int listener, fd[2]; /* the newest connection is fd[0], the one before fd[1] */
	char url[128], path[96];
	char heard[8192];
	uint32_t heard_n;
	int notes;
};

static void on_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	struct rig *g = arg;
	(void)level, (void)what, (void)why;
	g->notes++;
}

static int setup(void **state)
{
	static struct rig rig;
	struct rig *g = &rig;
	struct sock_addr a;
	*g = (struct rig){.fd = {-1, -1}};
	snprintf(g->path, sizeof g->path, "/tmp/hg-redis-test-%d.sock", (int)getpid());
	snprintf(g->url, sizeof g->url, "unix:%.95s", g->path);
	if (loop_new(&g->loop) < 0) return -1;
	if (!sock_addr_parse(hg_str(g->url), &a)) return -1;
	g->listener = sock_listen(&a, 8);
	*state = g;
	return g->listener < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct rig *g = *state;
	redis_free(g->r);
	for (int i = 0; i < 2; i++)
		sock_close(g->fd[i]);
	sock_close(g->listener);
	unlink(g->path);
	loop_free(g->loop);
	return 0;
}

static void turn(struct rig *g, int wait_ms)
{
	assert_int_equal(loop_turn(g->loop, wait_ms), HG_OK);
}

/* What the client has sent on the newest connection since the last call. */
static const char *hear(struct rig *g)
{
	g->heard_n = 0;
	for (int i = 0; i < 20 && g->heard_n == 0; i++) {
		turn(g, 5);
		ssize_t n = sock_read(g->fd[0], g->heard, sizeof g->heard - 1);
		if (n > 0) g->heard_n = (uint32_t)n;
	}
	g->heard[g->heard_n] = 0;
	return g->heard;
}

static void say(struct rig *g, const char *text)
{
	assert_int_equal(sock_write(g->fd[0], hg_str(text), HG_STR("")), (ssize_t)strlen(text));
	for (int i = 0; i < 3; i++)
		turn(g, 2);
}

static void take_connection(struct rig *g)
{
	int fd = -1;
	for (int i = 0; i < 400 && fd < 0; i++) {
		turn(g, 5);
		fd = sock_accept(g->listener, NULL);
	}
	assert_true(fd >= 0);
	sock_close(g->fd[1]);
	g->fd[1] = g->fd[0];
	g->fd[0] = fd;
}

static void start(struct rig *g, struct redis_options o)
{
	struct hg_err err = {0};
	if (!o.url) o.url = g->url;
	o.note = on_note;
	o.arg = g;
	if (redis_new(g->loop, &o, &g->r, &err) < 0) fail_msg("%s", err.message);
	take_connection(g);
}

/* Connected and greeted. */
static void start_ready(struct rig *g, struct redis_options o)
{
	start(g, o);
	assert_string_equal(hear(g), "*1\r\n$4\r\nPING\r\n");
	say(g, "+PONG\r\n");
	assert_true(redis_usable(g->r));
}

struct asked {
	struct redis_command c;
	int done;
	enum hg_rc rc;
	enum resp_type type;
	int64_t n;
	char text[128];
};

static void on_done(struct redis_command *c)
{
	struct asked *a = c->arg;
	a->done++;
	a->rc = c->rc;
	a->type = c->reply.type;
	a->n = c->reply.n;
	hg_str_copy(c->rc == HG_OK ? c->reply.str : c->why, a->text, sizeof a->text);
}

static enum hg_rc ask(struct rig *g, struct asked *a, const char *verb, const char *key)
{
	*a = (struct asked){
	        .c = {.done = on_done, .patient = a->c.patient, .within_ms = a->c.within_ms}};
	a->c.arg = a;
	return redis_send(g->r, &a->c, (struct hg_str[]){hg_str(verb), hg_str(key)}, 2);
}

static void the_first_words_are_user_database_name_and_a_ping(void **state)
{
	struct rig *g = *state;
	char url[256];
	snprintf(url, sizeof url, "redis+unix://us%%65r:p%%40ss@%s?db=3", g->path);
	start(g, (struct redis_options){.url = url, .name = "tester"});
	assert_string_equal(hear(g), "*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$4\r\np@ss\r\n"
	                             "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
	                             "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$6\r\ntester\r\n"
	                             "*1\r\n$4\r\nPING\r\n");
	say(g, "+OK\r\n+OK\r\n+O");
	assert_false(redis_usable(g->r));
	say(g, "K\r\n+PONG\r\n");
	assert_true(redis_usable(g->r));
}

static void a_server_that_refuses_is_told_of_once_and_asked_again(void **state)
{
	struct rig *g = *state;
	start(g, (struct redis_options){0});
	for (int i = 0; i < 3; i++) {
		hear(g);
		say(g, "-LOADING Redis is loading the dataset in memory\r\n");
		assert_false(redis_usable(g->r));
		take_connection(g);
	}
	assert_int_equal(g->notes, 1);
	hear(g);
	say(g, "+PONG\r\n");
	assert_true(redis_usable(g->r));
	assert_int_equal(g->notes, 2);
}

static void commands_are_pipelined_and_answered_in_their_order(void **state)
{
	struct rig *g = *state;
	struct asked a = {0}, b = {0}, c = {0};
	start_ready(g, (struct redis_options){0});
	assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
	assert_int_equal(ask(g, &b, "INCR", "b"), HG_OK);
	assert_int_equal(ask(g, &c, "GET", "c"), HG_OK);
	assert_string_equal(hear(g), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n"
	                             "*2\r\n$3\r\nGET\r\n$1\r\nc\r\n");
	say(g, "$5\r\nhello\r\n:7\r\n-WRONGTYPE no\r\n");
	assert_int_equal(a.done + b.done + c.done, 3);
	assert_string_equal(a.text, "hello");
	assert_int_equal(b.n, 7);
	assert_int_equal(c.rc, HG_E_INVALID);
	assert_string_equal(c.text, "WRONGTYPE no");
	struct redis_stats s;
	redis_stats(g->r, &s);
	assert_int_equal(s.sent, 3);
	assert_int_equal(s.errors, 1);
	assert_int_equal(s.in_flight, 0);
}

static void wait_done(struct rig *g, struct asked *a)
{
	for (int i = 0; i < 400 && !a->done; i++)
		turn(g, 5);
	assert_int_equal(a->done, 1);
}

static void a_late_reply_is_dropped_and_nothing_is_sent_behind_it(void **state)
{
	struct rig *g = *state;
	struct asked a = {0}, b = {.c = {.within_ms = 5000}};
	start_ready(g, (struct redis_options){.timeout_ms = 30});
	assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
	uint64_t before_ms = loop_now_ms(g->loop);
	wait_done(g, &a);
	assert_int_equal(a.rc, HG_E_TIMEOUT);
	assert_in_range(loop_now_ms(g->loop) - before_ms, 29, 200);
	assert_int_equal(ask(g, &b, "GET", "b"), HG_E_AGAIN);
	assert_false(redis_usable(g->r));
	hear(g);
	say(g, "$4\r\nlate\r\n");
	assert_true(redis_usable(g->r));
	assert_int_equal(ask(g, &b, "GET", "b"), HG_OK);
	say(g, "$2\r\nb!\r\n");
	assert_string_equal(b.text, "b!");
	assert_int_equal(a.done, 1);
}

static void after_half_were_late_there_is_a_second_of_peace_and_one_attempt(void **state)
{
	struct rig *g = *state;
	struct asked a = {0};
	start_ready(g, (struct redis_options){.timeout_ms = 10});
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
		wait_done(g, &a);
		say(g, "$-1\r\n"); /* the server is back, and slow again */
	}
	assert_int_equal(ask(g, &a, "GET", "a"), HG_E_AGAIN);
	uint64_t until_ms = loop_now_ms(g->loop) + 1100;
	while (loop_now_ms(g->loop) < until_ms)
		turn(g, 50);
	struct asked b = {.c = {.within_ms = 5000}};
	a.c.within_ms = 5000;
	assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
	assert_int_equal(ask(g, &b, "GET", "b"), HG_E_AGAIN); /* one shows how it is */
	say(g, "$-1\r\n");
	assert_int_equal(a.rc, HG_OK);
	assert_int_equal(ask(g, &b, "GET", "b"), HG_OK);
	redis_cancel(&b.c);
}

static void a_lost_connection_answers_what_was_in_flight_and_is_made_again(void **state)
{
	struct rig *g = *state;
	struct asked a = {0}, b = {0};
	start_ready(g, (struct redis_options){.timeout_ms = 5000});
	assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
	hear(g);
	sock_close(g->fd[0]);
	g->fd[0] = -1;
	wait_done(g, &a);
	assert_int_equal(a.rc, HG_E_AGAIN);
	assert_int_equal(ask(g, &b, "GET", "b"), HG_E_AGAIN);
	take_connection(g);
	assert_string_equal(hear(g), "*1\r\n$4\r\nPING\r\n");
	say(g, "+PONG\r\n");
	assert_int_equal(ask(g, &b, "GET", "b"), HG_OK);
	redis_cancel(&b.c);
}

static void a_server_that_stays_silent_loses_its_connection(void **state)
{
	struct rig *g = *state;
	struct asked a = {0};
	start_ready(g, (struct redis_options){.timeout_ms = 20});
	assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
	wait_done(g, &a);
	uint64_t before_ms = loop_now_ms(g->loop);
	take_connection(g);
	assert_in_range(loop_now_ms(g->loop) - before_ms, 900, 1900);
}

static void what_is_no_redis_loses_its_connection(void **state)
{
	struct rig *g = *state;
	struct asked a = {0};
	start_ready(g, (struct redis_options){.timeout_ms = 5000});
	assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
	say(g, "HTTP/1.1 400 Bad Request\r\n\r\n");
	wait_done(g, &a);
	assert_int_equal(a.rc, HG_E_AGAIN);
	take_connection(g);
	hear(g);
	say(g, "+PONG\r\n");
	say(g, "+I have something to say\r\n"); /* nobody asked */
	assert_false(redis_usable(g->r));
}

static void patient_commands_wait_for_the_connection_within_their_time(void **state)
{
	struct rig *g = *state;
	struct asked a = {.c = {.patient = true, .within_ms = 3000}};
	struct asked b = {.c = {.patient = true, .within_ms = 50}}, c = {0};
	start(g, (struct redis_options){0});
	assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
	assert_int_equal(ask(g, &b, "GET", "b"), HG_OK);
	assert_int_equal(ask(g, &c, "GET", "c"), HG_E_AGAIN);
	wait_done(g, &b);
	assert_int_equal(b.rc, HG_E_TIMEOUT);
	hear(g);
	say(g, "+PONG\r\n");
	assert_string_equal(hear(g), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
	say(g, "$1\r\nx\r\n");
	assert_string_equal(a.text, "x");
}

static void a_cancelled_command_is_not_heard_of_again(void **state)
{
	struct rig *g = *state;
	struct asked a = {0}, b = {0};
	start_ready(g, (struct redis_options){.timeout_ms = 5000});
	assert_int_equal(ask(g, &a, "GET", "a"), HG_OK);
	assert_int_equal(ask(g, &b, "GET", "b"), HG_OK);
	redis_cancel(&a.c);
	redis_cancel(&a.c);
	hear(g);
	say(g, "$1\r\n1\r\n$1\r\n2\r\n");
	assert_int_equal(a.done, 0);
	assert_string_equal(b.text, "2");
}

static void the_queue_is_bounded(void **state)
{
	static struct asked many[9];
	struct rig *g = *state;
	start_ready(g, (struct redis_options){.timeout_ms = 5000, .queue_max = 8});
	for (int i = 0; i < 8; i++)
		assert_int_equal(ask(g, &many[i], "GET", "a"), HG_OK);
	assert_int_equal(ask(g, &many[8], "GET", "a"), HG_E_NOMEM);
	redis_free(g->r);
	g->r = NULL;
	for (int i = 0; i < 8; i++)
		assert_int_equal(many[i].done == 1 && many[i].rc == HG_E_AGAIN, 1);
}

#define SHA "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"

static void a_script_goes_by_its_name_and_whole_when_it_is_not_known(void **state)
{
	struct rig *g = *state;
	struct redis_script s;
	struct asked a = {.c = {.done = on_done}};
	redis_script_init(&s, "return 1");
	assert_string_equal(s.sha1, SHA);
	start_ready(g, (struct redis_options){.timeout_ms = 5000});
	a.c.arg = &a;
	struct hg_str key = HG_STR("k"), args[] = {HG_STR("1"), HG_STR("22")};
	assert_int_equal(redis_eval(g->r, &a.c, &s, &key, 1, args, 2), HG_OK);
	assert_string_equal(hear(g),
	        "*6\r\n$7\r\nEVALSHA\r\n$40\r\n" SHA "\r\n$1\r\n1\r\n$1\r\nk\r\n"
	        "$1\r\n1\r\n$2\r\n22\r\n");
	say(g, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
	assert_int_equal(a.done, 0);
	assert_string_equal(hear(g), "*6\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n"
	                             "$1\r\n1\r\n$2\r\n22\r\n");
	say(g, ":1\r\n");
	assert_int_equal(a.done, 1);
	assert_int_equal(a.rc, HG_OK);
	assert_int_equal(a.n, 1);
}

struct heard {
	struct redis_subscription s;
	int began;
	char last[64];
};

static void on_message(struct redis_subscription *s, struct hg_str message)
{
	struct heard *h = HG_CONTAINER(s, struct heard, s);
	if (message.p)
		hg_str_copy(message, h->last, sizeof h->last);
	else
		h->began++;
}

static void subscriptions_begin_again_with_each_connection(void **state)
{
	struct rig *g = *state;
	struct heard h = {.s = {.channel = "news", .fn = on_message}};
	start_ready(g, (struct redis_options){0});
	redis_subscribe(g->r, &h.s);
	for (int i = 1; i <= 2; i++) {
		take_connection(g);
		assert_string_equal(hear(g), "*1\r\n$4\r\nPING\r\n");
		say(g, "+PONG\r\n");
		assert_string_equal(hear(g), "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n");
		say(g, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
		assert_int_equal(h.began, i);
		say(g, "*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n$1\r\nx\r\n"
		       "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
		assert_string_equal(h.last, "hello");
		h.last[0] = 0;
		sock_close(g->fd[0]);
		g->fd[0] = -1;
	}
	redis_unsubscribe(g->r, &h.s);
}

static void addresses_mean_what_they_say(void **state)
{
	static const struct {
		const char *url, *host, *path, *user, *password;
		unsigned port, db;
		bool tls;
		const char *ca;
	} good[] = {
	        {"redis://h", "h", "", "", "", 6379, 0},
	        {"redis://", "localhost", "", "", "", 6379, 0},
	        {"redis://h:1/2", "h", "", "", "", 1, 2},
	        {"redis://:secret@h/", "h", "", "", "secret", 6379, 0},
	        {"redis://u:p%3aq@h:7", "h", "", "u", "p:q", 7, 0},
	        {"redis://u:a@b@h", "h", "", "u", "a@b", 6379, 0},
	        {"redis://[::1]:9/1", "::1", "", "", "", 9, 1},
	        {"redis://[::1]", "::1", "", "", "", 6379, 0},
	        {"unix:/run/r.sock", "", "/run/r.sock", "", "", 0, 0},
	        {"unix:///run/a@b.sock?db=5", "", "/run/a@b.sock", "", "", 0, 5},
	        {"redis+unix://:p@/run/r.sock", "", "/run/r.sock", "", "p", 0, 0},
	        {"rediss://h", "h", "", "", "", 6379, 0, true},
	        {"rediss://u:a@b@h:7/3?ca=/etc/a%20b@c.pem", "h", "", "u", "a@b", 7, 3, true,
	                "/etc/a b@c.pem"},
	};
	static const char *const bad[] = {"", "h:6379", "http://h", "redis://h:0",
	        "redis://h:65536", "redis://h:x", "redis://h/x", "redis://h/65536", "redis://u@h",
	        "redis://[::1", "redis://[::1]x", "redis://h?db=1", "redis://u:%zz@h",
	        "unix:", "unix:/a?x=1", "rediss:/h", "rediss://h?ca=", "rediss://h?db=1",
	        "rediss://h?ca=/a&db=1", "redis://h?ca=/a", "rediss://h?ca=%zz"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(good); i++) {
		struct redis_address a;
		const char *wrong = redis_address_of(good[i].url, &a);
		if (wrong) fail_msg("%s: %s", good[i].url, wrong);
		assert_string_equal(a.host, good[i].host);
		assert_string_equal(a.path, good[i].path);
		assert_string_equal(a.user, good[i].user);
		assert_string_equal(a.password, good[i].password);
		assert_int_equal(a.port, good[i].port);
		assert_int_equal(a.db, good[i].db);
		assert_int_equal(a.tls, good[i].tls);
		assert_string_equal(a.ca, good[i].ca ? good[i].ca : "");
	}
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (!redis_url_wrong(bad[i])) fail_msg("\"%s\" passed", bad[i]);
}

static void the_text_of_an_address_has_no_password(void **state)
{
	static const char *const rows[][2] = {
	        {"redis://u:secret@h:1/2", "redis://u:***@h:1/2"},
	        {"redis://:secret@h", "redis://:***@h"},
	        {"redis://u:se@cret@h", "redis://u:***@h"},
	        {"redis+unix://u:secret@/p?db=1", "redis+unix://u:***@/p?db=1"},
	        {"redis://h:6379/0", "redis://h:6379/0"},
	        {"unix:/run/r.sock", "unix:/run/r.sock"},
	};
	char text[128];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		redis_url_text(rows[i][0], text, sizeof text);
		assert_string_equal(text, rows[i][1]);
	}
}

#define WITH_RIG(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_RIG(the_first_words_are_user_database_name_and_a_ping),
	        WITH_RIG(a_server_that_refuses_is_told_of_once_and_asked_again),
	        WITH_RIG(commands_are_pipelined_and_answered_in_their_order),
	        WITH_RIG(a_late_reply_is_dropped_and_nothing_is_sent_behind_it),
	        WITH_RIG(after_half_were_late_there_is_a_second_of_peace_and_one_attempt),
	        WITH_RIG(a_lost_connection_answers_what_was_in_flight_and_is_made_again),
	        WITH_RIG(a_server_that_stays_silent_loses_its_connection),
	        WITH_RIG(what_is_no_redis_loses_its_connection),
	        WITH_RIG(patient_commands_wait_for_the_connection_within_their_time),
	        WITH_RIG(a_cancelled_command_is_not_heard_of_again),
	        WITH_RIG(the_queue_is_bounded),
	        WITH_RIG(a_script_goes_by_its_name_and_whole_when_it_is_not_known),
	        WITH_RIG(subscriptions_begin_again_with_each_connection),
	        cmocka_unit_test(addresses_mean_what_they_say),
	        cmocka_unit_test(the_text_of_an_address_has_no_password),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
