/* Replicas that speak HTTP/2, by hand: what is tried again, where, and who is judged for what. */
#include "trial_rig.h"

enum { DATA, HEADERS, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

static void frame(int fd, int kind, int flags, uint32_t stream, const char *p, size_t n)
{
	char h[9] = {(char)(n >> 16), (char)(n >> 8), (char)n, (char)kind, (char)flags,
	        (char)(stream >> 24), (char)(stream >> 16), (char)(stream >> 8), (char)stream};
	put_all(fd, h, sizeof h);
	put_all(fd, p, n);
}

/* A header field that is in no table. */
static size_t literal(char *to, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value), at = 0;
	to[at++] = 0;
	to[at++] = (char)n;
	memcpy(to + at, name, n);
	to[at + n] = (char)v;
	memcpy(to + at + n + 1, value, v);
	return at + n + 1 + v;
}

/* The next request's stream; 0 at the end. What it says is not looked at. */
static uint32_t next_request(struct replica *rep, int fd, bool *begun)
{
	static const char settings[1];
	char h[9], body[65536];
	if (!*begun) {
		if (!get_n(fd, body, 24)) return 0; /* the preface */
		frame(fd, SETTINGS, 0, 0, settings, 0);
		*begun = true;
	}
	while (get_n(fd, h, sizeof h)) {
		size_t n = (size_t)(uint8_t)h[1] << 8 | (uint8_t)h[2];
		if (!get_n(fd, body, n)) return 0;
		if (h[3] == SETTINGS && !(h[4] & ACK)) frame(fd, SETTINGS, ACK, 0, settings, 0);
		if (h[3] == PING && !(h[4] & ACK)) frame(fd, PING, ACK, 0, body, n);
		if (h[3] != HEADERS) continue;
		rep->requests++;
		return (uint32_t)(uint8_t)h[7] << 8 | (uint8_t)h[8];
	}
	return 0;
}

static void answer(int fd, uint32_t stream, const char *body)
{
	frame(fd, HEADERS, END_HEADERS, stream, "\x88", 1);
	frame(fd, DATA, END_STREAM, stream, body, strlen(body));
}

static void rep_good(struct replica *rep, int fd)
{
	bool begun = false;
	for (uint32_t s; (s = next_request(rep, fd, &begun));)
		answer(fd, s, "=");
}

static void rep_refuses(struct replica *rep, int fd)
{
	bool begun = false;
	for (uint32_t s; (s = next_request(rep, fd, &begun));)
		frame(fd, RST_STREAM, 0, s, "\0\0\0\7", 4);
}

static void rep_resets(struct replica *rep, int fd)
{
	bool begun = false;
	for (uint32_t s; (s = next_request(rep, fd, &begun));)
		frame(fd, RST_STREAM, 0, s, "\0\0\0\2", 4);
}

/* One request a connection, and the next one is above the last. */
static void rep_goes(struct replica *rep, int fd)
{
	bool begun = false;
	uint32_t s = next_request(rep, fd, &begun);
	char last[8] = {0, 0, 0, (char)s};
	if (!s) return;
	answer(fd, s, "=");
	if (!next_request(rep, fd, &begun)) return;
	frame(fd, GOAWAY, 0, 0, last, sizeof last);
	usleep(20000);
}

/* gRPC, whose calls all fail behind a 200. */
static void rep_unavailable(struct replica *rep, int fd)
{
	bool begun = false;
	char head[128] = "\x88", tail[64];
	size_t n = 1 + literal(head + 1, "content-type", "application/grpc");
	size_t k = literal(tail, "grpc-status", "14");
	for (uint32_t s; (s = next_request(rep, fd, &begun));) {
		frame(fd, HEADERS, END_HEADERS, s, head, n);
		frame(fd, DATA, 0, s, "abc", 3);
		frame(fd, HEADERS, END_HEADERS | END_STREAM, s, tail, k);
	}
}

static struct rig *rig_of(rig_script one, rig_script two)
{
	struct rig *g = rig_bare(0, 0);
	rig_replica(g, one);
	if (two) rig_replica(g, two);
	for (int i = 0; i < g->replicas; i++) {
		g->rep[i].http2 = 1;
		rig_endpoint(g, i, SNAP_EP_UP);
	}
	rig_publish(g);
	return g;
}

static void what_was_refused_is_asked_of_another_replica_whatever_the_method(void **state)
{
	struct rig *g = rig_of(rep_good, rep_refuses);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 20; i++) {
		talk(fd, GET, 200, "=");
		talk(fd, POST, 200, "=");
	}
	assert_true(g->rep[1].requests > 4);
	close(fd);
	rig_free(g);
}

static void what_was_reset_is_asked_again_only_when_harmless(void **state)
{
	struct rig *g = rig_of(rep_good, rep_resets);
	int fd = dial(g), bad = 0;
	(void)state;
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	for (int i = 0; i < 30; i++) {
		put(fd, POST);
		struct resp *r = hear(fd);
		assert_non_null(r);
		bad += r->status == 502;
		resp_free(r);
	}
	assert_in_range(bad, 4, 28);
	close(fd);
	rig_free(g);
}

static void above_the_last_of_a_goaway_nothing_is_lost(void **state)
{
	struct rig *g = rig_of(rep_goes, NULL);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 20; i++)
		talk(fd, POST, 200, "=");
	rig_sync(g);
	/* Nobody failed. */
	assert_int_equal(g->meter->worker[0].replica[0].failures, 0);
	close(fd);
	rig_free(g);
}

static void requests_share_a_connection(void **state)
{
	struct rig *g = rig_of(rep_good, NULL);
	int fd[8];
	(void)state;
	for (int i = 0; i < 8; i++)
		fd[i] = dial(g);
	for (int i = 0; i < 80; i++)
		talk(fd[i % 8], i % 3 ? GET : POST, 200, "=");
	assert_int_equal(g->rep[0].connections, 1);
	assert_int_equal(g->rep[0].requests, 80);
	for (int i = 0; i < 8; i++)
		close(fd[i]);
	rig_free(g);
}

#define CALL                                                                                    \
	"POST /t.T/M HTTP/1.0\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: " \
	"2\r\n\r\nhi" /* 1.0: the body ends with the connection, without trailers */

static void the_status_behind_an_answer_is_what_a_release_is_judged_by(void **state)
{
	struct snap_trial t = trial_of(500000);
	struct rig *g = rig_bare(0, 0);
	rig_replica_of(g, rep_good, 1);
	rig_replica_of(g, rep_unavailable, 2);
	(void)state;
	for (int i = 0; i < 2; i++) {
		g->rep[i].http2 = 1;
		rig_endpoint(g, i, SNAP_EP_UP);
	}
	trial_set(g, &t);
	rig_publish(g);
	int failed = 0;
	for (int i = 0; i < 200; i++) {
		int fd = dial(g);
		put(fd, CALL);
		struct resp *r = hear(fd);
		assert_non_null(r);
		assert_int_equal(r->status, 200);
		failed += r->n == 3; /* "abc" */
		resp_free(r);
		close(fd);
	}
	rig_sync(g);
	assert_true(meter_tripped(&g->meter->trial[SLOT], ROLLOUT));
	assert_in_range(failed, 3, 60); /* and from the proof on nobody was sent there */
	rig_free(g);
}

static void a_request_that_is_no_grpc_is_judged_by_its_status_alone(void **state)
{
	struct snap_trial t = trial_of(500000);
	struct rig *g = rig_bare(0, 0);
	rig_replica_of(g, rep_good, 1);
	rig_replica_of(g, rep_unavailable, 2);
	(void)state;
	for (int i = 0; i < 2; i++) {
		g->rep[i].http2 = 1;
		rig_endpoint(g, i, SNAP_EP_UP);
	}
	trial_set(g, &t);
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 100; i++) {
		put(fd, GET);
		struct resp *r = hear(fd);
		assert_non_null(r);
		resp_free(r);
	}
	rig_sync(g);
	assert_false(meter_tripped(&g->meter->trial[SLOT], ROLLOUT));
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(requests_share_a_connection),
	        cmocka_unit_test(what_was_refused_is_asked_of_another_replica_whatever_the_method),
	        cmocka_unit_test(what_was_reset_is_asked_again_only_when_harmless),
	        cmocka_unit_test(above_the_last_of_a_goaway_nothing_is_lost),
	        cmocka_unit_test(the_status_behind_an_answer_is_what_a_release_is_judged_by),
	        cmocka_unit_test(a_request_that_is_no_grpc_is_judged_by_its_status_alone),
	};
	return cmocka_run_group_tests_name("u2", tests, NULL, NULL);
}
