#include "tls_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "os/tls.c"
#include "os/tls_cert.c"
#include "os/tls_keyring.c"

static const struct tls_ticket_key key_a = {{1}, {2}, {3}}, key_b = {{4}, {5}, {6}};

static struct tls_keyring *ring(const struct pem_text *p, uint32_t n, bool allow_1_2)
{
	static const struct tls_ticket_key both[2] = {key_a, key_b};
	struct tls_pem pem[8];
	struct tls_keyring *k;
	char why[TLS_WHY_MAX];
	for (uint32_t i = 0; i < n; i++)
		pem[i] = pem_of(&p[i]);
	struct tls_conf conf = {.pem = pem,
	        .pem_count = n,
	        .allow_1_2 = allow_1_2,
	        .tickets = both,
	        .ticket_count = 2,
	        .alpn = "\x08http/1.1"};
	if (tls_keyring_new(&conf, &k, why) < 0) fail_msg("%s", why);
	return k;
}

/* The server's side of a connection: echoes until the end, 5 s at most. */
struct server {
	struct tls_keyring *keyring;
	int fd, handshake;
	bool resumed, challenge;
	char host[256], alpn[32], version[16], why[64];
	pthread_t thread;
};

static bool server_wait(struct server *s, struct tls *t, short events)
{
	struct pollfd p = {s->fd, events, 0};
	if (poll(&p, 1, 5000) != 1) return false;
	tls_ready(t, p.revents & (POLLIN | POLLHUP), p.revents & POLLOUT);
	if (p.revents & POLLHUP) tls_hung_up(t);
	return true;
}

static void server_echo(struct server *s, struct tls *t)
{
	char buf[40000];
	for (;;) {
		ssize_t n = tls_read(t, buf, sizeof buf);
		if (n == -EAGAIN && server_wait(s, t, POLLIN)) continue;
		if (n <= 0) return;
		for (ssize_t at = 0; at < n;) {
			struct iovec v[3] = {{buf + at, (size_t)(n - at) / 3},
			        {buf + at + (n - at) / 3, 0},
			        {buf + at + (n - at) / 3, (size_t)((n - at) - (n - at) / 3)}};
			ssize_t k = tls_write(t, v, 3);
			if (k == -EAGAIN && server_wait(s, t, POLLOUT)) continue;
			if (k <= 0) return;
			at += k;
		}
	}
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	struct tls *t = tls_new(s->keyring, s->fd);
	while ((s->handshake = tls_handshake(t)) == -EAGAIN && server_wait(s, t, POLLIN)) {
	}
	snprintf(s->host, sizeof s->host, "%.*s", HG_STR_ARG(tls_host(t)));
	snprintf(s->alpn, sizeof s->alpn, "%.*s", HG_STR_ARG(tls_alpn(t)));
	snprintf(s->version, sizeof s->version, "%s", tls_version(t));
	snprintf(s->why, sizeof s->why, "%s", tls_why(t));
	s->resumed = tls_resumed(t);
	s->challenge = tls_is_challenge(t);
	if (s->handshake == 0) server_echo(s, t);
	tls_free(t);
	close(s->fd);
	return NULL;
}

static int server_start(struct server *s, struct tls_keyring *k)
{
	int fd[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	*s = (struct server){.keyring = k, .fd = fd[0]};
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
	return fd[1];
}

static void server_end(struct server *s, struct tls_client *c, int fd)
{
	if (c) {
		SSL_shutdown(c->ssl);
		client_free(c);
	}
	close(fd);
	pthread_join(s->thread, NULL);
}

static void echo(struct tls_client *c, size_t n)
{
	char *out = malloc(n), *in = malloc(n);
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(i * 7 + i / 251);
	size_t put = 0, got = 0, k;
	while (got < n) {
		if (put < n && put - got < 60000) {
			assert_int_equal(
			        SSL_write_ex(c->ssl, out + put, HG_MIN(n - put, 30000u), &k), 1);
			put += k;
		}
		assert_int_equal(SSL_read_ex(c->ssl, in + got, n - got, &k), 1);
		got += k;
	}
	assert_memory_equal(in, out, n);
	free(in);
	free(out);
}

static void bytes_go_both_ways(void **state)
{
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct tls_keyring *k = ring(&p, 1, false);
	struct server s;
	(void)state;
	for (size_t n = 1; n < 3000000; n = n * 5 + 3) {
		int fd = server_start(&s, k);
		struct tls_client c = client_new(fd, "A.Example");
		assert_int_equal(SSL_connect(c.ssl), 1);
		assert_string_equal(SSL_get_version(c.ssl), "TLSv1.3");
		echo(&c, n);
		server_end(&s, &c, fd);
		assert_int_equal(s.handshake, 0);
		assert_string_equal(s.host, "a.example");
		assert_string_equal(s.alpn, "");
	}
	tls_keyring_unref(k);
}

static void shown(struct tls_keyring *k, const char *host, const char *want)
{
	char name[256];
	struct server s;
	int fd = server_start(&s, k);
	struct tls_client c = client_new(fd, host);
	assert_int_equal(SSL_connect(c.ssl), 1);
	client_peer(&c, name, sizeof name);
	assert_string_equal(name, want);
	server_end(&s, &c, fd);
}

static void the_name_chooses_the_certificate(void **state)
{
	struct pem_text p[] = {pem_make("DNS:default.example", false, 30),
	        pem_make("DNS:a.example,DNS:other.example", false, 30),
	        pem_make("DNS:*.a.example", true, 30)};
	struct tls_keyring *k = ring(p, 3, false);
	(void)state;
	shown(k, "a.example", "a.example");
	shown(k, "OTHER.example", "a.example");
	shown(k, "x.a.example", "*.a.example");
	shown(k, "x.y.a.example", "default.example"); /* one label only */
	shown(k, "unknown.example", "default.example");
	shown(k, NULL, "default.example");
	tls_keyring_unref(k);
}

static int key_shown(struct tls_keyring *k, const char *sigalgs)
{
	struct server s;
	int fd = server_start(&s, k);
	struct tls_client c = client_new(fd, "a.example");
	SSL_set1_sigalgs_list(c.ssl, sigalgs);
	assert_int_equal(SSL_connect(c.ssl), 1);
	X509 *x = SSL_get1_peer_certificate(c.ssl);
	int type = EVP_PKEY_get_base_id(X509_get0_pubkey(x));
	X509_free(x);
	server_end(&s, &c, fd);
	return type;
}

static void a_name_may_have_two_kinds_of_keys(void **state)
{
	struct pem_text p[] = {
	        pem_make("DNS:a.example", true, 30), pem_make("DNS:a.example", false, 30)};
	struct tls_keyring *k = ring(p, 2, false);
	(void)state;
	assert_int_equal(key_shown(k, "rsa_pss_rsae_sha256:ECDSA+SHA256"), EVP_PKEY_EC);
	assert_int_equal(key_shown(k, "rsa_pss_rsae_sha256"), EVP_PKEY_RSA);
	tls_keyring_unref(k);
}

static const char *version_with(struct tls_keyring *k, int most, struct server *s)
{
	int fd = server_start(s, k);
	struct tls_client c = client_new(fd, NULL);
	SSL_set_max_proto_version(c.ssl, most);
	bool good = SSL_connect(c.ssl) == 1;
	if (good) echo(&c, 1000);
	server_end(s, &c, fd);
	return good ? s->version : NULL;
}

static void old_versions_are_a_choice(void **state)
{
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct tls_keyring *strict = ring(&p, 1, false), *lax = ring(&p, 1, true);
	struct server s;
	(void)state;
	assert_null(version_with(strict, TLS1_2_VERSION, &s));
	assert_int_equal(s.handshake, -EPROTO);
	assert_string_equal(s.why, "unsupported protocol");
	assert_string_equal(version_with(lax, TLS1_2_VERSION, &s), "TLSv1.2");
	assert_string_equal(version_with(lax, TLS1_3_VERSION, &s), "TLSv1.3");
	assert_null(version_with(lax, TLS1_1_VERSION, &s));
	tls_keyring_unref(strict);
	tls_keyring_unref(lax);
}

static SSL_SESSION *visit(struct tls_keyring *k, SSL_SESSION *with, int version, bool *ret_resumed)
{
	struct server s;
	int fd = server_start(&s, k);
	struct tls_client c = client_new(fd, "a.example");
	SSL_set_min_proto_version(c.ssl, version);
	SSL_set_max_proto_version(c.ssl, version);
	if (with) SSL_set_session(c.ssl, with);
	assert_int_equal(SSL_connect(c.ssl), 1);
	echo(&c, 10); /* TLS 1.3 sends its ticket after the handshake */
	SSL_SESSION *got = SSL_get1_session(c.ssl);
	assert_int_equal(SSL_session_reused(c.ssl), *ret_resumed);
	server_end(&s, &c, fd);
	*ret_resumed = s.resumed;
	return got;
}

/* Two keyrings with the same ticket keys, as two workers have; with the next set of keys; with
 * none of them. */
static void sessions_are_resumed_by_whoever_has_the_key(void **state)
{
	const struct tls_ticket_key next[2] = {{{9}, {9}, {9}}, key_a}, other = {{8}, {8}, {8}};
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct tls_pem pem = pem_of(&p);
	struct tls_keyring *one = ring(&p, 1, true), *two = ring(&p, 1, true), *after, *none;
	char why[TLS_WHY_MAX];
	struct tls_conf conf = {
	        .pem = &pem, .pem_count = 1, .allow_1_2 = true, .tickets = next, .ticket_count = 2};
	(void)state;
	assert_int_equal(tls_keyring_new(&conf, &after, why), HG_OK);
	conf.tickets = &other;
	conf.ticket_count = 1;
	assert_int_equal(tls_keyring_new(&conf, &none, why), HG_OK);
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		bool again = false;
		SSL_SESSION *s = visit(one, NULL, v, &again), *s2;
		assert_false(again);
		again = true;
		s2 = visit(two, s, v, &again);
		assert_true(again);
		SSL_SESSION_free(s2);
		s2 = visit(after, s, v, &again);
		assert_true(again);
		SSL_SESSION_free(s2);
		again = false;
		s2 = visit(none, s, v, &again);
		assert_false(again);
		SSL_SESSION_free(s2);
		SSL_SESSION_free(s);
	}
	tls_keyring_unref(one);
	tls_keyring_unref(two);
	tls_keyring_unref(after);
	tls_keyring_unref(none);
}

/* Both offer everything: the cheapest suite that nobody has broken is taken. */
static void the_server_chooses_the_suite(void **state)
{
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct tls_keyring *k = ring(&p, 1, false);
	struct server s;
	int fd = server_start(&s, k);
	struct tls_client c = client_new(fd, "a.example");
	(void)state;
	assert_int_equal(SSL_CTX_set_ciphersuites(c.ctx,
	                         "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
	                         "TLS_AES_128_GCM_SHA256"),
	        1);
	SSL_free(c.ssl);
	c.ssl = SSL_new(c.ctx);
	SSL_set_fd(c.ssl, fd);
	assert_int_equal(SSL_connect(c.ssl), 1);
	assert_string_equal(SSL_get_cipher_name(c.ssl), "TLS_AES_128_GCM_SHA256");
	echo(&c, 10);
	server_end(&s, &c, fd);
	tls_keyring_unref(k);
}

/* A handshake whose flights go through memory: what the server has sent after each step. */
static void a_ticket_leaves_with_the_first_bytes(void **state)
{
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct tls_keyring *k = ring(&p, 1, false);
	int fd[2], small = 1;
	char buf[40000];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	struct tls *t = tls_new(k, fd[0]);
	struct tls_client c = client_new(fd[1], "a.example");
	assert_int_equal(SSL_connect(c.ssl), -1);
	assert_int_equal(tls_handshake(t), -EAGAIN);
	assert_int_equal(SSL_connect(c.ssl), 1);
	uint64_t flight = t->sent;
	tls_ready(t, true, true);
	assert_int_equal(tls_handshake(t), 0);
	assert_int_equal(t->sent, flight);
	assert_int_equal(recv(fd[1], buf, sizeof buf, 0), -1);
	assert_non_null(t->held);
	/* A socket that takes the ticket in pieces, and what is said behind it. */
	size_t put = 0, got = 0, n;
	while (got < 30000) {
		tls_ready(t, true, true);
		struct iovec v = {buf + put, 30000 - put};
		memset(buf + put, 'x', v.iov_len);
		ssize_t w = put < 30000 ? tls_write(t, &v, 1) : -EAGAIN;
		if (w > 0) put += (size_t)w;
		assert_true(w > 0 || w == -EAGAIN);
		while (SSL_read_ex(c.ssl, buf, sizeof buf, &n) == 1) {
			for (size_t i = 0; i < n; i++)
				assert_int_equal(buf[i], 'x');
			got += n;
		}
	}
	assert_null(t->held);
	SSL_SESSION *s = SSL_get1_session(c.ssl);
	assert_true(SSL_SESSION_is_resumable(s));
	SSL_SESSION_free(s);
	tls_free(t);
	client_free(&c);
	close(fd[0]);
	close(fd[1]);
	tls_keyring_unref(k);
}

/* Who is told goodbye before anything was said gets its ticket with that. */
static void a_ticket_leaves_with_the_goodbye(void **state)
{
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct tls_keyring *k = ring(&p, 1, false);
	struct tls_client c;
	int fd[2];
	char byte;
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	struct tls *t = tls_new(k, fd[0]);
	c = client_new(fd[1], "a.example");
	assert_int_equal(SSL_connect(c.ssl), -1);
	assert_int_equal(tls_handshake(t), -EAGAIN);
	assert_int_equal(SSL_connect(c.ssl), 1);
	tls_ready(t, true, true);
	assert_int_equal(tls_handshake(t), 0);
	tls_free(t);
	assert_int_equal(SSL_read(c.ssl, &byte, 1), 0);
	assert_int_equal(SSL_get_shutdown(c.ssl), SSL_RECEIVED_SHUTDOWN);
	SSL_SESSION *s = SSL_get1_session(c.ssl);
	assert_true(SSL_SESSION_is_resumable(s));
	SSL_SESSION_free(s);
	client_free(&c);
	close(fd[0]);
	close(fd[1]);
	tls_keyring_unref(k);
}

static void protocols_are_agreed_on(void **state)
{
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct tls_keyring *k = ring(&p, 1, false);
	struct server s;
	(void)state;
	int fd = server_start(&s, k);
	struct tls_client c = client_new(fd, NULL);
	SSL_set_alpn_protos(c.ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12);
	assert_int_equal(SSL_connect(c.ssl), 1);
	server_end(&s, &c, fd);
	assert_string_equal(s.alpn, "http/1.1");
	fd = server_start(&s, k);
	c = client_new(fd, NULL);
	SSL_set_alpn_protos(c.ssl, (const unsigned char *)"\x04spdy", 5);
	assert_int_not_equal(SSL_connect(c.ssl), 1);
	server_end(&s, &c, fd);
	assert_int_equal(s.handshake, -EPROTO);
	tls_keyring_unref(k);
}

/* RFC 8737: chosen by the name and by a client that speaks this protocol and no other. */
static void challenges_are_for_who_validates(void **state)
{
	static const struct {
		const char *host, *alpn;
		int n;
		bool open;
		const char *shows;
	} row[] = {{"b.example",
	                   "\x0a"
	                   "acme-tls/1",
	                   11, true, "b.example"},
	        {"a.example",
	                "\x0a"
	                "acme-tls/1",
	                11, false, NULL},
	        {NULL,
	                "\x0a"
	                "acme-tls/1",
	                11, false, NULL},
	        {"b.example",
	                "\x0a"
	                "acme-tls/1\x08http/1.1",
	                20, true, "a.example"},
	        {"b.example", "\x08http/1.1", 9, true, "a.example"},
	        {"b.example", NULL, 0, true, "a.example"}};
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct pem_text proof = pem_make("DNS:b.example", false, 30);
	struct tls_pem pem = pem_of(&p), challenge = pem_of(&proof);
	struct tls_conf conf = {.pem = &pem,
	        .pem_count = 1,
	        .challenge = &challenge,
	        .challenge_count = 1,
	        .alpn = "\x08http/1.1"};
	struct tls_keyring *k;
	struct server s;
	char why[TLS_WHY_MAX], name[64];
	(void)state;
	assert_int_equal(tls_keyring_new(&conf, &k, why), HG_OK);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		int fd = server_start(&s, k);
		struct tls_client c = client_new(fd, row[i].host);
		if (row[i].alpn)
			SSL_set_alpn_protos(
			        c.ssl, (const unsigned char *)row[i].alpn, (unsigned)row[i].n);
		assert_int_equal(SSL_connect(c.ssl) == 1, row[i].open);
		if (row[i].open) {
			client_peer(&c, name, sizeof name);
			assert_string_equal(name, row[i].shows);
		}
		server_end(&s, &c, fd);
		assert_int_equal(s.challenge, row[i].open && !strcmp(row[i].shows, "b.example"));
	}
	tls_keyring_unref(k);
}

static void who_speaks_no_tls_is_refused(void **state)
{
	struct pem_text p = pem_make("DNS:a.example", false, 30);
	struct tls_keyring *k = ring(&p, 1, false);
	struct server s;
	(void)state;
	int fd = server_start(&s, k);
	assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	server_end(&s, NULL, fd);
	assert_int_equal(s.handshake, -EPROTO);
	assert_string_equal(s.why, "http request");
	fd = server_start(&s, k);
	server_end(&s, NULL, fd);
	assert_int_equal(s.handshake, -ECONNRESET);
	tls_keyring_unref(k);
}

static void sni(const char *bytes, size_t n, bool good, const char *host)
{
	struct tls t = {0};
	assert_int_equal(sni_parse((const unsigned char *)bytes, n, &t), good);
	if (good) assert_str(((struct hg_str){t.host, t.host_n}), host);
}

static void names_are_read_strictly(void **state)
{
	(void)state;
	sni("\0\6\0\0\3A.b", 8, true, "a.b");
	sni("\0\5\0\0\2a.", 7, true, "a");
	sni("\0\6\0\0\3A.b", 7, false, NULL); /* list longer than the extension */
	sni("\0\5\0\0\3a.b", 8, false, NULL);
	sni("\0\6\1\0\3A.b", 8, false, NULL);  /* not a host name */
	sni("\0\6\0\0\4A.b", 8, false, NULL);  /* name longer than the list */
	sni("\0\3\0\0\0", 5, false, NULL);     /* empty */
	sni("\0\6\0\0\3a\0b", 8, false, NULL); /* a byte that no name has */
	sni("\0\6\0\0\3a b", 8, false, NULL);
	sni("", 0, false, NULL);
}

static const char *why_not(const char *chain, const char *key)
{
	static char why[TLS_WHY_MAX];
	struct tls_pem pem = {hg_str(chain), hg_str(key)};
	assert_int_equal(tls_pem_check(&pem, NULL, why), HG_E_INVALID);
	return why;
}

static void files_are_checked(void **state)
{
	static struct tls_cert c;
	char why[TLS_WHY_MAX], both[2 * sizeof(((struct pem_text *)0)->chain)];
	struct pem_text p = pem_make("DNS:A.example,DNS:*.b.example", false, 30),
	                q = pem_make("DNS:q.example", true, 1);
	struct tls_pem pem = pem_of(&p);
	(void)state;
	assert_int_equal(tls_pem_check(&pem, &c, why), HG_OK);
	assert_true(c.ec);
	assert_int_equal(c.name_count, 2);
	assert_string_equal(c.names[0], "a.example");
	assert_in_range(c.until_s - time(NULL), 30 * 86400 - 60, 30 * 86400);
	assert_in_range(time(NULL) - c.from_s, 3600, 3660);
	assert_true(tls_cert_covers(&c, HG_STR("a.example")));
	assert_true(tls_cert_covers(&c, HG_STR("x.B.example")));
	assert_false(tls_cert_covers(&c, HG_STR("b.example")));
	assert_false(tls_cert_covers(&c, HG_STR("x.y.b.example")));
	assert_false(tls_cert_covers(&c, HG_STR(".b.example")));
	assert_string_equal(
	        why_not(p.chain, q.key), "the private key belongs to another certificate");
	assert_string_equal(
	        why_not(p.chain, p.chain), "there is no private key in it: unsupported");
	assert_memory_equal(why_not("", p.key), "there is no certificate in it", 29);
	assert_memory_equal(why_not(p.key, p.key), "there is no certificate in it", 29);
	assert_memory_equal(
	        why_not(p.chain, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED "
	                         "PRIVATE KEY-----\n"),
	        "the key is behind a pass phrase", 31);
	/* A chain whose second certificate is cut. */
	snprintf(both, sizeof both, "%s%.*s", p.chain, 300, q.chain);
	assert_memory_equal(why_not(both, p.key), "a certificate of its chain cannot be read", 41);
	snprintf(both, sizeof both, "%s%s", p.chain, q.chain);
	pem.chain = hg_str(both);
	assert_int_equal(tls_pem_check(&pem, &c, why), HG_OK);
	struct tls_conf none = {0};
	struct tls_keyring *k;
	assert_int_equal(tls_keyring_new(&none, &k, why), HG_E_INVALID);
	assert_string_equal(why, "there is no certificate");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(bytes_go_both_ways),
	        cmocka_unit_test(the_name_chooses_the_certificate),
	        cmocka_unit_test(a_name_may_have_two_kinds_of_keys),
	        cmocka_unit_test(old_versions_are_a_choice),
	        cmocka_unit_test(sessions_are_resumed_by_whoever_has_the_key),
	        cmocka_unit_test(the_server_chooses_the_suite),
	        cmocka_unit_test(a_ticket_leaves_with_the_first_bytes),
	        cmocka_unit_test(a_ticket_leaves_with_the_goodbye),
	        cmocka_unit_test(protocols_are_agreed_on),
	        cmocka_unit_test(challenges_are_for_who_validates),
	        cmocka_unit_test(who_speaks_no_tls_is_refused),
	        cmocka_unit_test(names_are_read_strictly),
	        cmocka_unit_test(files_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
