/*
 * Whatever a client sends instead of TLS, or as a damaged hello: the server answers or refuses,
 * never more than once, and never takes a byte for decrypted before a handshake was over. The first
 * byte says how the rest is cut.
 */
#include "fuzz.h"

#include "os/sock.h"
#include "os/tls_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of nobody; good for a hundred years. */
static const char cert[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIBmDCCAT6gAwIBAgIUOxav8Drndgg5QE9TJWSGYJNv4MMwCgYIKoZIzj0EAwIw\n"
                           "DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjYwNzUzNDFaGA8yMTI2MTEwMjA3NTM0\n"
                           "MVowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABH0i\n"
                           "a2xQYb9akxrsIpCYOP5OeRjeDwCRMggt7hq7X9VcbcdIttrIaYeCXplyEr0E3aNk\n"
                           "Tgr1puGhFObvelzipH+jdjB0MB0GA1UdDgQWBBTE9Y9vbvFlOAJiQn+1Pui+Xvd/\n"
                           "fjAfBgNVHSMEGDAWgBTE9Y9vbvFlOAJiQn+1Pui+Xvd/fjAPBgNVHRMBAf8EBTAD\n"
                           "AQH/MCEGA1UdEQQaMBiCCWEuZXhhbXBsZYILKi5iLmV4YW1wbGUwCgYIKoZIzj0E\n"
                           "AwIDSAAwRQIhALEgjUPjMLQYzvhLikQqxuClKa5OSS25prwZ86WrFVOzAiAuZZC8\n"
                           "ZbREED3dQeI9k81NfDYdPCGdMsdQZYaI5ZmRFw==\n"
                           "-----END CERTIFICATE-----\n";
static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgsQr8UOtyzC2IltdM\n"
                          "HfxIz0q0MFgDi9dQNRahrTXKX4OhRANCAAR9ImtsUGG/WpMa7CKQmDj+TnkY3g8A\n"
                          "kTIILe4au1/VXG3HSLbayGmHgl6ZchK9BN2jZE4K9abhoRTm73pc4qR/\n"
                          "-----END PRIVATE KEY-----\n";

static struct {
	struct tls_keyring *keyring;
	struct tls_clients *clients;
} w;

static void world_begin(void)
{
	static const struct tls_ticket_key ticket = {{1}, {2}, {3}};
	char why[TLS_WHY_MAX];
	if (w.keyring) return;
	struct tls_pem pem = {hg_str(cert), hg_str(key)};
	struct tls_conf conf = {.pem = &pem,
	        .pem_count = 1,
	        .allow_1_2 = true,
	        .tickets = &ticket,
	        .ticket_count = 1,
	        .alpn = "\x08http/1.1"};
	struct tls_ca ca = {hg_str(cert), HG_STR("")};
	HG_ASSERT(tls_keyring_new(&conf, &w.keyring, why) == HG_OK);
	HG_ASSERT(tls_clients_new(&ca, 1, &w.clients, NULL, why) == HG_OK);
}

static void on_hello(void *arg, struct tls *t)
{
	int *hellos = arg;
	struct hg_str host = tls_host(t);
	++*hellos;
	HG_ASSERT(host.n <= TLS_NAME_MAX);
	for (size_t i = 0; i < host.n; i++)
		HG_ASSERT(host.p[i] > ' ' && (unsigned char)host.p[i] < 127);
	if (host.n && host.p[0] == 'a') tls_ask(t, w.clients, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char buf[4096];
	int pair[2], hellos = 0, r = -EAGAIN;
	uint32_t cas;
	if (size < 2 || size > 65536) return 0;
	world_begin();
	HG_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	struct tls *t = tls_new(w.keyring, pair[1]);
	HG_ASSERT(t);
	tls_on_hello(t, on_hello, &hellos);
	size_t each = data[0] ? data[0] : size;
	for (size_t at = 1; at < size && r == -EAGAIN; at += each) {
		size_t n = HG_MIN(each, size - at);
		if (send(pair[0], data + at, n, MSG_NOSIGNAL) < 0) break;
		tls_ready(t, true, true);
		r = tls_handshake(t);
		while (recv(pair[0], buf, sizeof buf, 0) > 0)
			;
	}
	HG_ASSERT(hellos <= 1);
	if (r == -EAGAIN) {
		shutdown(pair[0], SHUT_WR);
		tls_hung_up(t);
		r = tls_handshake(t);
	}
	/* Nobody can finish a handshake with bytes that were made before it began. */
	HG_ASSERT(r < 0 && r != -EAGAIN);
	HG_ASSERT(tls_failure(t) < TLS_FAILED_TIMEOUT);
	HG_ASSERT(tls_peer(t, w.clients, &cas) == TLS_PEER_NONE && tls_peer_fields(t).n == 0);
	tls_free(t);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
