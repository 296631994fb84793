/* Clients that mean no good, or were written badly: what a TLS server hears in a day on the
 * internet. Whatever comes, the next client is served and every connection and buffer comes back.
 */
#define RIG_TLS
#include "rig.h"

#define GET "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

static int plain_dial(struct rig *g)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct timeval tv = {10, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
	assert_int_equal(connect(fd, &g->addr.sa, g->addr.len), 0);
	return fd;
}

static void others_are_served(struct rig *g)
{
	int fd = dial(g);
	talk(fd, GET, 200, "=");
	close(fd);
}

/* The end of the connection, whatever is said before (an alert). */
static void ended(int fd)
{
	char c[512];
	ssize_t n;
	while ((n = recv(fd, c, sizeof c, 0)) > 0)
		;
	assert_true(n == 0 || errno == ECONNRESET);
	close(fd);
}

static uint64_t count(struct rig *g, enum tls_failure why)
{
	rig_sync(g);
	return g->meter->worker[1].tls_failed[why];
}

/* ---- hellos made by a real client, to be taken apart ---- */

struct hello {
	unsigned char b[16384];
	size_t n;
};

static struct hello hello_made(void (*change)(SSL_CTX *ctx, SSL *ssl))
{
	struct hello h = {.n = 0};
	struct tls_client c = {.ctx = SSL_CTX_new(TLS_client_method())};
	c.ssl = SSL_new(c.ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL_set_bio(c.ssl, in, out);
	SSL_set_tlsext_host_name(c.ssl, "a.example");
	if (change) change(c.ctx, c.ssl);
	assert_int_equal(SSL_connect(c.ssl), -1);
	h.n = (size_t)BIO_read(out, h.b, sizeof h.b);
	assert_in_range(h.n, 100, sizeof h.b);
	client_free(&c);
	return h;
}

/* The payload of the hello's record in records of `each` bytes. */
static struct hello in_records(const struct hello *h, size_t each)
{
	struct hello to = {.n = 0};
	for (size_t at = 5; at < h->n; at += each) {
		size_t n = HG_MIN(each, h->n - at);
		const unsigned char head[] = {22, 3, 1, (unsigned char)(n >> 8), (unsigned char)n};
		assert_true(to.n + 5 + n <= sizeof to.b);
		memcpy(to.b + to.n, head, 5);
		memcpy(to.b + to.n + 5, h->b + at, n);
		to.n += 5 + n;
	}
	return to;
}

static void send_hello(int fd, const struct hello *h)
{
	put_all(fd, (const char *)h->b, h->n);
}

/* A server's answer begins with a handshake record, a refusal with an alert. */
static int answer_type(int fd)
{
	unsigned char c;
	return recv(fd, &c, 1, 0) == 1 ? c : -1;
}

static void a_hello_in_pieces_is_a_hello(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct hello h = hello_made(NULL);
	(void)state;
	for (size_t each = 7; each < 400; each = each * 3 + 1) {
		struct hello cut = in_records(&h, each);
		int fd = plain_dial(g);
		send_hello(fd, &cut);
		assert_int_equal(answer_type(fd), 22);
		close(fd);
	}
	/* A byte at a time, in records of ten. */
	struct hello cut = in_records(&h, 10);
	int fd = plain_dial(g);
	for (size_t i = 0; i < cut.n; i++)
		put_all(fd, (const char *)cut.b + i, 1);
	assert_int_equal(answer_type(fd), 22);
	close(fd);
	others_are_served(g);
	rig_free(g);
}

static void empty_records_are_not_read_for_ever(void **state)
{
	static const unsigned char kinds[] = {20, 21, 22, 23};
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	for (size_t k = 0; k < HG_COUNT(kinds); k++) {
		int fd = plain_dial(g);
		const unsigned char empty[] = {kinds[k], 3, 1, 0, 0};
		for (int i = 0; i < 2000; i++)
			if (send(fd, empty, sizeof empty, MSG_NOSIGNAL) < 0) break;
		ended(fd);
	}
	others_are_served(g);
	rig_free(g);
}

static void damaged_hellos_are_refused(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct hello h = hello_made(NULL);
	(void)state;
	for (size_t i = 0; i < h.n; i++) {
		struct hello bad = h;
		int fd = plain_dial(g);
		bad.b[i] ^= 0xff;
		send_hello(fd, &bad);
		shutdown(fd, SHUT_WR);
		ended(fd); /* answered or not: what matters is that it ends */
	}
	for (size_t n = 0; n < h.n; n += 5) {
		struct hello cut = h;
		int fd = plain_dial(g);
		cut.n = n;
		send_hello(fd, &cut);
		shutdown(fd, SHUT_WR);
		ended(fd);
	}
	others_are_served(g);
	rig_free(g);
}

/* ---- extensions ---- */

static void alpn_other(SSL_CTX *ctx, SSL *ssl)
{
	(void)ctx;
	SSL_set_alpn_protos(ssl, (const unsigned char *)"\x05other", 6);
}

static void old_version(SSL_CTX *ctx, SSL *ssl)
{
	(void)ctx;
	SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
}

static void nothing_shared(SSL_CTX *ctx, SSL *ssl)
{
	(void)ctx;
	assert_int_equal(SSL_set1_groups_list(ssl, "P-521"), 1);
}

static void reasons_are_counted(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	const struct {
		void (*change)(SSL_CTX *, SSL *);
		enum tls_failure why;
	} row[] = {
	        {alpn_other, TLS_FAILED_ALPN},
	        {old_version, TLS_FAILED_VERSION},
	        {nothing_shared, TLS_FAILED_NOTHING_SHARED},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hello h = hello_made(row[i].change);
		int fd = plain_dial(g);
		send_hello(fd, &h);
		assert_int_equal(answer_type(fd), 21);
		ended(fd);
		assert_int_equal(count(g, row[i].why), 1);
	}
	int fd = plain_dial(g);
	put(fd, GET);
	ended(fd);
	fd = plain_dial(g);
	put(fd, "SSH-2.0-OpenSSH_9.2\r\n");
	ended(fd);
	assert_int_equal(count(g, TLS_FAILED_NOT_TLS), 2);
	struct hello h = hello_made(NULL);
	fd = plain_dial(g);
	h.n /= 2;
	send_hello(fd, &h);
	shutdown(fd, SHUT_WR);
	ended(fd);
	assert_int_equal(count(g, TLS_FAILED_CLOSED), 1);
	/* A client that does not like our certificate says so. */
	fd = plain_dial(g);
	struct tls_client c = client_new(fd, "a.example");
	SSL_set_verify(c.ssl, SSL_VERIFY_PEER, NULL);
	assert_int_equal(SSL_connect(c.ssl), -1);
	client_free(&c);
	ended(fd);
	assert_int_equal(count(g, TLS_FAILED_ALERT), 1);
	uint64_t all = 0;
	for (int i = 0; i < TLS_FAILURES; i++)
		all += g->meter->worker[1].tls_failed[i];
	assert_int_equal(all, g->meter->worker[1].tls_failures);
	others_are_served(g);
	rig_free(g);
}

/* Changes the text of the SNI extension, which has 9 bytes, in place. */
static void names_that_are_none(void **state)
{
	static const char *const row[] = {
	        "a\0xample", "a exampl\n", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a\r\nxample"};
	struct rig *g = rig_new(rep_echo, 1);
	struct hello h = hello_made(NULL);
	unsigned char *at = memmem(h.b, h.n, "a.example", 9);
	(void)state;
	assert_non_null(at);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		memcpy(at, row[i], 9);
		int fd = plain_dial(g);
		send_hello(fd, &h);
		assert_int_equal(answer_type(fd), 21);
		ended(fd);
	}
	memcpy(at, "a.example", 9);
	/* Lengths that lie: of the list, and of the name. */
	for (int back = 1; back <= 5; back++) {
		struct hello bad = h;
		bad.b[(size_t)(at - h.b) - (size_t)back] ^= 1;
		int fd = plain_dial(g);
		send_hello(fd, &bad);
		assert_int_equal(answer_type(fd), 21);
		ended(fd);
	}
	others_are_served(g);
	rig_free(g);
}

/* The name may not change between the hellos of one handshake. */
static void the_name_stays_in_a_second_hello(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	for (int lie = 0; lie < 2; lie++) {
		struct tls_client c = {.ctx = SSL_CTX_new(TLS_client_method())};
		unsigned char buf[16384];
		int fd = plain_dial(g);
		c.ssl = SSL_new(c.ctx);
		/* Its key share is of a group that the server does not take: a second hello. */
		assert_int_equal(SSL_set1_groups_list(c.ssl, "P-521:X25519"), 1);
		SSL_set_tlsext_host_name(c.ssl, "a.example");
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		SSL_set_bio(c.ssl, in, out);
		SSL_connect(c.ssl);
		int n = BIO_read(out, buf, sizeof buf);
		put_all(fd, (char *)buf, (size_t)n);
		ssize_t k = recv(fd, buf, sizeof buf, 0);
		assert_true(k > 0 && buf[0] == 22);
		BIO_write(in, buf, (int)k);
		SSL_connect(c.ssl);
		n = BIO_read(out, buf, sizeof buf);
		unsigned char *at = memmem(buf, (size_t)n, "a.example", 9);
		assert_non_null(at);
		if (lie) memcpy(at, "b.example", 9);
		put_all(fd, (char *)buf, (size_t)n);
		assert_int_equal(answer_type(fd), lie ? 21 : 22);
		client_free(&c);
		close(fd);
	}
	others_are_served(g);
	rig_free(g);
}

static void a_long_name_is_refused(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	char name[256];
	(void)state;
	memset(name, 'x', sizeof name);
	for (int n = 253; n <= 255; n++) {
		int fd = plain_dial(g);
		name[n] = 0;
		struct tls_client c = client_new(fd, name);
		assert_int_equal(SSL_connect(c.ssl), n <= 253 ? 1 : -1);
		client_free(&c);
		close(fd);
		name[n] = 'x';
	}
	others_are_served(g);
	rig_free(g);
}

/* ---- after the handshake ---- */

static struct tls_client opened(struct rig *g, int *ret_fd, int version)
{
	*ret_fd = plain_dial(g);
	struct tls_client c = client_new(*ret_fd, "a.example");
	SSL_set_max_proto_version(c.ssl, version);
	assert_int_equal(SSL_connect(c.ssl), 1);
	return c;
}

static void asked(struct tls_client *c)
{
	char buf[4096];
	size_t n, got = 0;
	assert_int_equal(SSL_write_ex(c->ssl, GET, sizeof GET - 1, &n), 1);
	while (got < 5 || memcmp(buf + got - 5, "\r\n\r\n=", 5) != 0) {
		assert_int_equal(SSL_read_ex(c->ssl, buf + got, sizeof buf - got, &n), 1);
		got += n;
	}
	assert_memory_equal(buf, "HTTP/1.1 200", 12);
}

static void nobody_renegotiates(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd;
	(void)state;
	g->allow_1_2 = true;
	rig_do(g, rig_certs_again);
	struct tls_client c = opened(g, &fd, TLS1_2_VERSION);
	assert_int_equal(SSL_version(c.ssl), TLS1_2_VERSION);
	asked(&c);
	assert_int_equal(SSL_renegotiate(c.ssl), 1);
	(void)SSL_do_handshake(c.ssl);
	char buf[256];
	size_t n;
	/* A warning, then business as usual; or the end. Never a second handshake. */
	(void)SSL_read_ex(c.ssl, buf, sizeof buf, &n);
	assert_int_equal(SSL_num_renegotiations(c.ssl), 1); /* tried */
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].tls_handshakes, 1);
	assert_null(SSL_get_current_compression(c.ssl));
	client_free(&c);
	close(fd);
	others_are_served(g);
	rig_free(g);
}

static void keys_may_be_updated(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd;
	(void)state;
	struct tls_client c = opened(g, &fd, TLS1_3_VERSION);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		asked(&c);
	}
	client_free(&c);
	close(fd);
	rig_free(g);
}

/* What is sent with the hello could be sent twice by anybody: it is not read. */
static void early_data_is_refused(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd;
	size_t n;
	(void)state;
	struct tls_client c = opened(g, &fd, TLS1_3_VERSION);
	asked(&c);
	SSL_SESSION *s = SSL_get1_session(c.ssl);
	assert_int_equal(SSL_SESSION_get_max_early_data(s), 0);
	SSL_shutdown(c.ssl);
	client_free(&c);
	close(fd);
	/* All the same: the ticket is made to say that it may. */
	SSL_SESSION_set_max_early_data(s, 16384);
	fd = plain_dial(g);
	c = client_new(fd, "a.example");
	SSL_set_session(c.ssl, s);
	assert_int_equal(SSL_write_early_data(c.ssl, GET, sizeof GET - 1, &n), 1);
	(void)SSL_connect(c.ssl);
	assert_int_not_equal(SSL_get_early_data_status(c.ssl), SSL_EARLY_DATA_ACCEPTED);
	rig_sync(g);
	assert_int_equal(g->rep[0].requests, 1); /* the one of before */
	SSL_SESSION_free(s);
	client_free(&c);
	close(fd);
	others_are_served(g);
	rig_free(g);
}

/* The client has said all it will say, and still hears the answer. */
static void a_half_close_is_heard(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd;
	size_t n;
	char buf[4096];
	(void)state;
	struct tls_client c = opened(g, &fd, TLS1_3_VERSION);
	assert_int_equal(SSL_write_ex(c.ssl, GET, sizeof GET - 1, &n), 1);
	SSL_shutdown(c.ssl);
	assert_int_equal(SSL_read_ex(c.ssl, buf, sizeof buf, &n), 1);
	assert_memory_equal(buf, "HTTP/1.1 200", 12);
	client_free(&c);
	close(fd);
	rig_free(g);
}

/* Records that nobody could have made: the connection ends, and nothing of it is read. */
static void forged_records_end_it(void **state)
{
	static const unsigned char row[][12] = {
	        {23, 3, 3, 0, 4, 'G', 'E', 'T', ' '}, /* not encrypted */
	        {24, 3, 3, 0, 3, 1, 0x40, 0},         /* a heartbeat that lies */
	        {22, 3, 3, 0, 4, 1, 0, 0, 0},         /* a plain hello */
	        {20, 3, 3, 0, 1, 1},                  /* change of cipher, late */
	        {21, 3, 3, 0, 2, 1, 0},               /* a plain goodbye */
	        {23, 3, 3, 0x48, 0x01, 0, 0, 0, 0},   /* longer than may be */
	        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	};
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		int fd;
		struct tls_client c = opened(g, &fd, TLS1_3_VERSION);
		asked(&c);
		size_t n = 5u + row[i][4];
		put_all(fd, (const char *)row[i], HG_MIN(n, sizeof row[i]));
		shutdown(fd, SHUT_WR);
		client_free(&c);
		ended(fd);
	}
	rig_sync(g);
	assert_int_equal(g->rep[0].requests, HG_COUNT(row));
	others_are_served(g);
	rig_free(g);
}

static void a_flood_of_small_records_is_served(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd;
	size_t n;
	char buf[4096];
	(void)state;
	struct tls_client c = opened(g, &fd, TLS1_3_VERSION);
	for (size_t i = 0; i < sizeof GET - 1; i++)
		assert_int_equal(SSL_write_ex(c.ssl, GET + i, 1, &n), 1);
	assert_int_equal(SSL_read_ex(c.ssl, buf, sizeof buf, &n), 1);
	assert_memory_equal(buf, "HTTP/1.1 200", 12);
	client_free(&c);
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_hello_in_pieces_is_a_hello),
	        cmocka_unit_test(empty_records_are_not_read_for_ever),
	        cmocka_unit_test(damaged_hellos_are_refused),
	        cmocka_unit_test(reasons_are_counted),
	        cmocka_unit_test(names_that_are_none),
	        cmocka_unit_test(the_name_stays_in_a_second_hello),
	        cmocka_unit_test(a_long_name_is_refused),
	        cmocka_unit_test(nobody_renegotiates),
	        cmocka_unit_test(keys_may_be_updated),
	        cmocka_unit_test(early_data_is_refused),
	        cmocka_unit_test(a_half_close_is_heard),
	        cmocka_unit_test(forged_records_end_it),
	        cmocka_unit_test(a_flood_of_small_records_is_served),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
