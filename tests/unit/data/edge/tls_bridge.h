/*
 * A client of an edge that speaks TLS, for tests that know plain sockets only: a thread between a
 * socket pair and the connection. Ends and resets are passed on both ways.
 */
#ifndef TESTS_EDGE_TLS_BRIDGE_H
#define TESTS_EDGE_TLS_BRIDGE_H

#include "../../os/tls_rig.h"
#include "bridges.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct bridge {
	int plain, secure;
	struct tls_client client;
	char out[65536]; /* read from the plain side, not written yet */
	size_t out_n, out_at;
	bool plain_end, secure_end;
};

static inline bool bridge_out(struct bridge *b)
{
	size_t k;
	if (b->out_at == b->out_n && !b->plain_end) {
		ssize_t n = recv(b->plain, b->out, sizeof b->out, MSG_DONTWAIT);
		if (n < 0) return errno == EAGAIN;
		b->out_at = 0;
		b->out_n = (size_t)n;
		if (n == 0) {
			b->plain_end = true;
			SSL_shutdown(b->client.ssl);
			shutdown(b->secure, SHUT_WR);
		}
	}
	if (b->out_at == b->out_n) return true;
	if (SSL_write_ex(b->client.ssl, b->out + b->out_at, b->out_n - b->out_at, &k) == 1) {
		b->out_at += k;
		return true;
	}
	int e = SSL_get_error(b->client.ssl, 0);
	if (e == SSL_ERROR_SSL) return false;
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return true;
	b->out_at = b->out_n; /* nobody reads there any more; what was said before may still come */
	b->plain_end = true;
	return true;
}

static inline bool bridge_in(struct bridge *b)
{
	char buf[16384];
	size_t k;
	while (!b->secure_end && SSL_read_ex(b->client.ssl, buf, sizeof buf, &k) == 1) {
		for (size_t at = 0; at < k;) {
			ssize_t n = send(b->plain, buf + at, k - at, MSG_NOSIGNAL);
			if (n < 0) return false;
			at += (size_t)n;
		}
	}
	int e = b->secure_end ? SSL_ERROR_WANT_READ : SSL_get_error(b->client.ssl, 0);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return true;
	b->secure_end = true;
	shutdown(b->plain, SHUT_WR);
	return e == SSL_ERROR_ZERO_RETURN;
}

/* A hard end throws away what has not left yet, and many small pieces wait for the peer's
 * acknowledgements. */
static inline void bridge_sent(const struct bridge *b)
{
	int left = 0;
	for (int i = 0; i < 10000 && ioctl(b->secure, SIOCOUTQ, &left) == 0 && left > 0; i++)
		usleep(1000);
}

static inline void *bridge_main(void *arg)
{
	struct bridge *b = arg;
	bool on = SSL_do_handshake(b->client.ssl) == 1;
	fcntl(b->secure, F_SETFL, O_NONBLOCK);
	SSL_set_mode(
	        b->client.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	while (on && !(b->plain_end && b->secure_end)) {
		bool pending = b->out_at < b->out_n;
		struct pollfd p[2] = {{b->plain, !pending && !b->plain_end ? POLLIN : 0, 0},
		        {b->secure, !b->secure_end ? POLLIN : 0, 0}};
		if (pending) p[1].events |= POLLOUT;
		if (b->secure_end) p[1].fd = -1;
		if (poll(p, 2, 30000) <= 0) break;
		if (p[0].revents & (POLLHUP | POLLERR) && b->plain_end) {
			struct linger hard = {1, 0}; /* nobody waits for an answer */
			bridge_sent(b);
			setsockopt(b->secure, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
			break;
		}
		on = bridge_out(b) && bridge_in(b);
	}
	client_free(&b->client);
	bridge_close(b->plain, b->secure);
	free(b);
	return NULL;
}

/* The plain end of a connection over the connected socket, which it takes. */
static inline int bridge_over(int secure, const char *host)
{
	int fd[2];
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	struct bridge *b = calloc(1, sizeof *b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	b->plain = fd[1];
	b->secure = secure;
	b->client = client_new(secure, host);
	SSL_set_connect_state(b->client.ssl);
	bridge_start(bridge_main, b, b->plain, b->secure);
	return fd[0];
}

/* The same for the server's side, with this certificate. */
static inline int bridge_serve(int secure, const struct pem_text *pem)
{
	int fd[2];
	struct timeval tv = {10, 0};
	signal(SIGPIPE, SIG_IGN);
	struct bridge *b = calloc(1, sizeof *b);
	BIO *chain = BIO_new_mem_buf(pem->chain, -1), *key = BIO_new_mem_buf(pem->key, -1);
	X509 *x = PEM_read_bio_X509(chain, NULL, NULL, NULL);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
	b->client.ctx = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate(b->client.ctx, x) != 1) abort();
	if (SSL_CTX_use_PrivateKey(b->client.ctx, k) != 1) abort();
	b->client.ssl = SSL_new(b->client.ctx);
	SSL_set_fd(b->client.ssl, secure);
	SSL_set_accept_state(b->client.ssl);
	X509_free(x);
	EVP_PKEY_free(k);
	BIO_free(chain);
	BIO_free(key);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0) abort();
	setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	b->plain = fd[1];
	b->secure = secure;
	bridge_start(bridge_main, b, b->plain, b->secure);
	return fd[0];
}

#endif
