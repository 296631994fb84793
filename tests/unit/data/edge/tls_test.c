/* What is different with TLS; the dialogues of the other tests run through it as well. */
#define RIG_TLS
#include "rig.h"

#include <sys/mman.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static int plain_dial(struct rig *g)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval tv = {10, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	assert_int_equal(connect(fd, &g->addr.sa, g->addr.len), 0);
	return fd;
}

static void hsts_is_said_once(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	char v[64];
	(void)state;
	g->shape.hsts_s = 31536000;
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_string_equal(
	        field(r->head, "Strict-Transport-Security", v, sizeof v), "max-age=31536000");
	resp_free(r);
	/* Answers of the edge itself have it too. */
	put(fd, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
	r = hear(fd);
	assert_int_equal(r->status, 405);
	assert_non_null(field(r->head, "Strict-Transport-Security", v, sizeof v));
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void rep_own_hsts(struct replica *rep, int fd)
{
	while (rep_head(rep, fd))
		put(fd, "HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\n"
		        "Content-Length: 1\r\n\r\nx");
}

static void the_applications_own_hsts_counts(void **state)
{
	struct rig *g = rig_new(rep_own_hsts, 1);
	(void)state;
	g->shape.hsts_s = 100;
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_non_null(strstr(r->head, "strict-transport-security: max-age=1\r\n"));
	assert_null(strstr(r->head, "max-age=100"));
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void renew_call(struct rig *g)
{
	rig_certs(g, "DNS:new.example");
}

static void peer_name(struct rig *g, char *to, size_t cap)
{
	int fd = plain_dial(g);
	struct tls_client c = client_new(fd, "a.example");
	assert_int_equal(SSL_connect(c.ssl), 1);
	client_peer(&c, to, cap);
	client_free(&c);
	close(fd);
}

static void new_certificates_drop_nobody(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	char name[256];
	(void)state;
	talk(fd, GET, 200, "=");
	peer_name(g, name, sizeof name);
	assert_string_equal(name, "a.example");
	rig_do(g, renew_call);
	peer_name(g, name, sizeof name);
	assert_string_equal(name, "new.example");
	talk(fd, GET, 200, "="); /* the connection from before */
	close(fd);
	rig_free(g);
}

/* What OpenSSL had goes back to the kernel once nothing else is to be done. */
static void the_heap_of_a_burst_is_trimmed(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd[100];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(fd); i++) {
		fd[i] = dial(g);
		talk(fd[i], GET, 200, "=");
	}
	rig_sync(g);
	assert_int_equal(g->edge->heap_left, 0);
	for (size_t i = 0; i < HG_COUNT(fd); i++)
		close(fd[i]);
	uint32_t most = 0;
	for (int i = 0; i < 500 && (most < 64 || g->edge->heap_left); i++) {
		rig_sync(g);
		most = HG_MAX(most, g->edge->heap_left);
		usleep(10000);
	}
	assert_int_equal(most, HG_COUNT(fd));
	assert_int_equal(g->edge->heap_left, 0);
	rig_free(g);
}

static void a_bad_bundle_changes_nothing(struct rig *g)
{
	char why[TLS_WHY_MAX];
	int fd = memfd_create("x", MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(edge_certs(g->edge, fd, why), HG_E_INVALID);
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	assert_int_equal(edge_certs(g->edge, fd, why), HG_E_INVALID);
	close(fd);
}

static void validate_call(struct rig *g)
{
	static const struct cert_token token = {"0123456789abcdef", "0123456789abcdef.thumb"};
	char why[TLS_WHY_MAX];
	struct hg_err err = {0};
	struct pem_text text = pem_make("DNS:a.example", false, 30);
	struct pem_text proof = pem_make("DNS:proof.example", false, 30);
	struct tls_pem pem = pem_of(&text), challenge = pem_of(&proof);
	struct tls_conf conf = {
	        .pem = &pem, .pem_count = 1, .challenge = &challenge, .challenge_count = 1};
	struct cert_extra extra = {.generation = 41, .tokens = &token, .token_count = 1};
	int fd = -1;
	if (cert_bundle_make(&conf, &extra, &fd, &err) < 0) abort();
	if (edge_certs(g->edge, fd, why) < 0) abort();
	close(fd);
}

static unsigned asked(int fd, const char *method, const char *path, char *body, size_t cap)
{
	char text[256];
	snprintf(text, sizeof text,
	        "%s %s HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n"
	        "Content-Length: 0\r\n\r\n",
	        method, path);
	put(fd, text);
	struct resp *r = hear(fd);
	unsigned status = (unsigned)r->status;
	snprintf(body, cap, "%.*s", (int)r->n, r->body);
	resp_free(r);
	return status;
}

#define PLACE "/.well-known/acme-challenge/"

static void authorities_are_answered_before_routes(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	char body[4096];
	(void)state;
	rig_do(g, validate_call);
	assert_int_equal(atomic_load(&g->meter->worker[g->worker].certs_ack), 41);
	int fd = dial(g);
	assert_int_equal(asked(fd, "GET", PLACE "0123456789abcdef", body, sizeof body), 200);
	assert_string_equal(body, "0123456789abcdef.thumb\n"); /* the bytes, and no JSON */
	assert_int_equal(asked(fd, "GET", PLACE "0123456789abcdeX", body, sizeof body), 200);
	assert_null(strstr(body, "thumb")); /* the application's own affair */
	assert_int_equal(asked(fd, "POST", PLACE "0123456789abcdef", body, sizeof body), 200);
	assert_null(strstr(body, "thumb"));
	close(fd);
	/* A validating handshake is all that its connection is for. */
	fd = plain_dial(g);
	struct tls_client c = client_new(fd, "proof.example");
	SSL_set_alpn_protos(c.ssl,
	        (const unsigned char *)"\x0a"
	                               "acme-tls/1",
	        11);
	assert_int_equal(SSL_connect(c.ssl), 1);
	SSL_write(c.ssl, GET, sizeof GET - 1);
	assert_true(SSL_read(c.ssl, body, sizeof body) <= 0);
	client_free(&c);
	close(fd);
	rig_do(g, renew_call); /* a bundle without them ends it */
	fd = dial(g);
	assert_int_equal(asked(fd, "GET", PLACE "0123456789abcdef", body, sizeof body), 200);
	assert_null(strstr(body, "thumb"));
	close(fd);
	rig_free(g);
}

static void what_is_no_tls_ends_and_is_counted(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	char c;
	(void)state;
	rig_do(g, a_bad_bundle_changes_nothing);
	int fd = plain_dial(g);
	put(fd, GET);
	while (recv(fd, &c, 1, 0) == 1) /* an alert */
		;
	close(fd);
	fd = dial(g);
	talk(fd, GET, 200, "=");
	close(fd);
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].tls_failures, 1);
	assert_int_equal(g->meter->worker[1].tls_handshakes, 1);
	assert_int_equal(g->rep[0].requests, 1);
	rig_free(g);
}

static void a_slow_handshake_is_ended(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	g->shape.header_ms = 300;
	rig_publish(g);
	for (int first = 0; first < 2; first++) {
		int fd = plain_dial(g);
		char c;
		if (first) put_all(fd, "\x16\x03\x01\x02\x00\x01\x00", 7);
		uint64_t begin = clock_mono_ms();
		assert_int_equal(recv(fd, &c, 1, 0), 0);
		assert_in_range(clock_mono_ms() - begin, 250, 2000);
		close(fd);
	}
	rig_free(g);
}

static void silent_handshakes_keep_nobody_out(void **state)
{
	struct rig *g = rig_bare(4, 0);
	int silent[4];
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	for (int i = 0; i < 4; i++)
		silent[i] = plain_dial(g);
	put_all(silent[0], "\x16\x03\x01\x02", 4);
	usleep(2000 * EDGE_SILENT_MS);
	int fd = dial(g);
	talk(fd, GET, 200, "=");
	close(fd);
	for (int i = 0; i < 4; i++)
		close(silent[i]);
	rig_free(g);
}

/* Bytes of the request come with the end of the handshake, in one packet. */
static void early_requests_are_not_lost(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	for (int i = 0; i < 20; i++) {
		int fd = plain_dial(g), on = 1;
		struct tls_client c = client_new(fd, NULL);
		char buf[4096];
		size_t n;
		setsockopt(fd, IPPROTO_TCP, 3 /* TCP_CORK */, &on, sizeof on);
		assert_int_equal(SSL_connect(c.ssl), 1);
		assert_int_equal(SSL_write_ex(c.ssl, GET GET, 2 * strlen(GET), &n), 1);
		on = 0;
		setsockopt(fd, IPPROTO_TCP, 3, &on, sizeof on);
		for (size_t got = 0; got < 2; got += n) {
			assert_int_equal(SSL_read_ex(c.ssl, buf, sizeof buf - 1, &n), 1);
			buf[n] = 0;
			n = 0;
			for (const char *p = buf; (p = strstr(p, "200 OK")); p++)
				n++;
		}
		client_free(&c);
		close(fd);
	}
	rig_free(g);
}

static void an_end_is_said(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = plain_dial(g);
	struct tls_client c = client_new(fd, NULL);
	char buf[4096];
	size_t n;
	(void)state;
	assert_int_equal(SSL_connect(c.ssl), 1);
	const char *text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	assert_int_equal(SSL_write_ex(c.ssl, text, strlen(text), &n), 1);
	while (SSL_read_ex(c.ssl, buf, sizeof buf, &n) == 1)
		;
	assert_int_equal(SSL_get_error(c.ssl, 0), SSL_ERROR_ZERO_RETURN); /* not cut */
	client_free(&c);
	close(fd);
	rig_free(g);
}

#define HELLOS 120

static const struct meter_worker *counted(struct rig *g)
{
	rig_sync(g);
	return &g->meter->worker[g->worker];
}

static sem_t stalled;

static void stall_call(struct rig *g)
{
	(void)g;
	while (sem_wait(&stalled) < 0)
		;
}

/* They stand ready all at once, more than a turn has time for; so does a request. */
static void many_handshakes_take_turns(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct tls_client *c = calloc(HELLOS, sizeof *c);
	int at[HELLOS];
	(void)state;
	assert_non_null(c);
	int fd = dial(g);
	put(fd, GET);
	struct resp *r = hear(fd);
	resp_free(r);
	uint64_t before = counted(g)->tls_handshakes;
	assert_int_equal(counted(g)->tls_put_off, 0);
	assert_int_equal(sem_init(&stalled, 0, 0), 0);
	g->call = stall_call;
	assert_int_equal(write(g->wake[1], "x", 1), 1);
	for (int i = 0; i < HELLOS; i++) {
		at[i] = plain_dial(g);
		c[i] = client_new(at[i], NULL);
		assert_int_equal(fcntl(at[i], F_SETFL, O_NONBLOCK), 0);
		assert_int_equal(SSL_connect(c[i].ssl), -1);
		assert_int_equal(fcntl(at[i], F_SETFL, 0), 0);
	}
	put(fd, GET);
	assert_int_equal(sem_post(&stalled), 0);
	while (sem_wait(&g->called) < 0)
		;
	r = hear(fd);
	assert_int_equal(r->status, 200);
	resp_free(r);
	/* One gives up while it waits, or when it has just been served. */
	client_free(&c[HELLOS - 1]);
	close(at[HELLOS - 1]);
	for (int i = 0; i < HELLOS - 1; i++) {
		assert_int_equal(SSL_connect(c[i].ssl), 1);
		client_free(&c[i]);
		close(at[i]);
	}
	assert_true(counted(g)->tls_put_off > 0);
	assert_in_range(counted(g)->tls_handshakes - before, HELLOS - 1, HELLOS);
	free(c);
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(hsts_is_said_once),
	        cmocka_unit_test(the_applications_own_hsts_counts),
	        cmocka_unit_test(new_certificates_drop_nobody),
	        cmocka_unit_test(the_heap_of_a_burst_is_trimmed),
	        cmocka_unit_test(authorities_are_answered_before_routes),
	        cmocka_unit_test(what_is_no_tls_ends_and_is_counted),
	        cmocka_unit_test(a_slow_handshake_is_ended),
	        cmocka_unit_test(silent_handshakes_keep_nobody_out),
	        cmocka_unit_test(early_requests_are_not_lost),
	        cmocka_unit_test(an_end_is_said),
	        cmocka_unit_test(many_handshakes_take_turns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
