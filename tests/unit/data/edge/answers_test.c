/* Replicas that say more than they were asked for. */
#include "rig.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* Once it says more than it was asked for, later well. */
static void rep_once_talkative(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
		if (rep->requests == 2) put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	}
}

static void who_has_spoken_unasked_gets_a_new_connection_each_time(void **state)
{
	struct rig *g = rig_new(rep_once_talkative, 1);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 2; i++)
		talk(fd, GET, 200, "ok");
	assert_int_equal(g->rep[0].connections, 1);
	while (g->loose_ms == 0)
		rig_do(g, rig_look_call);
	for (int i = 0; i < 3; i++)
		talk(fd, GET, 200, "ok");
	assert_int_equal(g->rep[0].connections, 4);
	close(fd);
	rig_free(g);
}

/* An answer that fills the edge's buffer to the last byte, with another one right behind it. */
static void rep_full(struct replica *rep, int fd)
{
	static const char evil[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
	size_t size = EDGE_BUF_SIZE + sizeof evil - 1;
	char *text = malloc(size + 64);
	assert_non_null(text);
	while (rep_head(rep, fd)) {
		static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: %05u\r\n\r\n";
		unsigned head_n = (unsigned)strlen(head) + 1;
		(void)snprintf(text, size, head, EDGE_BUF_SIZE - head_n);
		memset(text + head_n, 'f', EDGE_BUF_SIZE - head_n);
		memcpy(text + EDGE_BUF_SIZE, evil, sizeof evil - 1);
		ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
		if (n != (ssize_t)size) break;
	}
	free(text);
}

static void an_answer_behind_one_that_fills_a_buffer_is_nobodys(void **state)
{
	struct rig *g = rig_new(rep_full, 1);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 5; i++) {
		put(fd, GET);
		struct resp *r = hear(fd);
		assert_non_null(r);
		assert_int_equal(r->status, 200);
		assert_true(r->n > 4 && r->body[0] == 'f');
		resp_free(r);
	}
	assert_int_equal(g->rep[0].connections, 5);
	close(fd);
	rig_free(g);
}

static void rep_late(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		usleep(20000);
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void answers_within_a_latency_objective_are_counted_where_there_is_one(void **state)
{
	static const struct {
		uint32_t fast_ms, rule_ms, want, want_rule;
	} cases[] = {{0, 0, 0, 0}, {600000, 0, 3, 0}, {10, 600000, 3, 3} /* none of these fast */,
	        {600000, 10, 6, 3}};
	struct rig *g = rig_new(rep_late, 1);
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		g->app.fast_ms = cases[i].fast_ms;
		g->app.rule_ms = cases[i].rule_ms;
		rig_publish(g);
		int fd = dial(g);
		for (int k = 0; k < 3; k++)
			talk(fd, GET, 200, "ok");
		close(fd);
		rig_sync(g);
		assert_int_equal(g->meter->worker[1].lane[1].fast, cases[i].want);
		assert_int_equal(g->meter->worker[1].lane[1].rule, cases[i].want_rule);
	}
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(answers_within_a_latency_objective_are_counted_where_there_is_one),
	        cmocka_unit_test(who_has_spoken_unasked_gets_a_new_connection_each_time),
	        cmocka_unit_test(an_answer_behind_one_that_fills_a_buffer_is_nobodys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
