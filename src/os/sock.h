/*
 * Sockets: addresses, listeners, non-blocking connects. Every descriptor is close-on-exec and
 * non-blocking unless said otherwise. Functions return a descriptor, or -errno.
 */
#ifndef HG_OS_SOCK_H
#define HG_OS_SOCK_H

#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Plain data: may lie in shared memory. */
struct sock_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len; /* 0: no address */
};

#define SOCK_TEXT_MAX 128

/*
 * "127.0.0.1:8080", "[::1]:8080", ":8080" and "8080" (all interfaces, IPv4 and IPv6 through one
 * dual-stack socket), "localhost:8080" (127.0.0.1), "unix:/path". Names are not looked up.
 */
HG_MUST bool sock_addr_parse(struct hg_str text, struct sock_addr *ret_addr);
/* The same forms; returns the length written (cap ≥ SOCK_TEXT_MAX). */
size_t sock_addr_text(const struct sock_addr *a, char *to, size_t cap);
/* Only the address, without port, as it goes into X-Forwarded-For (IPv6 without brackets). */
size_t sock_addr_host(const struct sock_addr *a, char *to, size_t cap);
/* 0 for unix sockets. */
uint16_t sock_addr_port(const struct sock_addr *a);
void sock_addr_tcp4(uint32_t host_order_ip, uint16_t port, struct sock_addr *ret_addr);

/* SO_REUSEADDR; a stale unix socket nobody listens on is replaced. */
int sock_listen(const struct sock_addr *a, int backlog);
/* The address a socket is bound to (port 0 resolved). */
HG_MUST bool sock_local(int fd, struct sock_addr *ret_addr);
HG_MUST bool sock_peer(int fd, struct sock_addr *ret_addr);
/* accept4; -EAGAIN when there is none. `ret_peer` may be NULL. TCP_NODELAY is set. */
int sock_accept(int listener, struct sock_addr *ret_peer);
/* Started, not finished: wait for EPOLLOUT, then sock_error(). TCP_NODELAY is set. */
int sock_connect(const struct sock_addr *a);
/* Pending SO_ERROR as a positive errno, 0 when fine. */
int sock_error(int fd);
/* Bytes read (0: the peer will send no more), or -errno; -EAGAIN when there are none now. */
HG_MUST ssize_t sock_read(int fd, void *to, size_t cap);
/* Bytes written from up to two pieces (the second may be empty), or -errno; never SIGPIPE. */
HG_MUST ssize_t sock_write(int fd, struct hg_str first, struct hg_str second);
/* Says that nothing more will be written; failures do not matter. */
void sock_finish(int fd);
void sock_close(int fd);
/* Who is on the other end of a unix socket (SO_PEERCRED); UINT32_MAX for other sockets. */
uint32_t sock_peer_uid(int fd);
/*
 * A TCP port of 127.0.0.1 that was free a moment ago; 0 when there is none. It lies below the
 * range the kernel takes source ports from: a probe of such a port that nobody listens on yet
 * could otherwise connect to itself, and keep the port from the program it was meant for.
 */
uint16_t sock_free_port(void);

/*
 * One message with up to SOCK_FDS_MAX descriptors over a SEQPACKET pair (see sock_pair).
 * Descriptors that are sent stay open here; those received are the caller's.
 */
#define SOCK_FDS_MAX 8
int sock_pair(int ret_fds[2]);
/* 0, or -errno; -EAGAIN when the pair is full (blocking pairs wait). */
HG_MUST int sock_send(int fd, const void *msg, size_t n, const int *fds, size_t fd_count);
/* Bytes received (0: closed), or -errno. Surplus descriptors are closed. */
HG_MUST ssize_t sock_recv(
        int fd, void *msg, size_t cap, int ret_fds[SOCK_FDS_MAX], size_t *ret_fd_count);

#endif
