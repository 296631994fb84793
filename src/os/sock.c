#include "os/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static bool parse_port(struct hg_str s, uint16_t *ret_port)
{
	uint64_t v;
	if (!hg_str_u64(s, &v) || v > 65535) return false;
	*ret_port = (uint16_t)v;
	return true;
}

static bool parse_unix(struct hg_str path, struct sock_addr *a)
{
	*a = (struct sock_addr){.len = sizeof a->un};
	a->un.sun_family = AF_UNIX;
	return path.n > 0 && !memchr(path.p, 0, path.n) &&
	       hg_str_copy(path, a->un.sun_path, sizeof a->un.sun_path);
}

static void any_address(uint16_t port, struct sock_addr *a)
{
	*a = (struct sock_addr){.len = sizeof a->in6};
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_addr = in6addr_any;
	a->in6.sin6_port = htons(port);
}

void sock_addr_tcp4(uint32_t host_order_ip, uint16_t port, struct sock_addr *ret_addr)
{
	*ret_addr = (struct sock_addr){.len = sizeof ret_addr->in4};
	ret_addr->in4.sin_family = AF_INET;
	ret_addr->in4.sin_addr.s_addr = htonl(host_order_ip);
	ret_addr->in4.sin_port = htons(port);
}

bool sock_addr_parse(struct hg_str text, struct sock_addr *ret_addr)
{
	char host[64];
	uint16_t port;
	if (hg_str_starts(text, HG_STR("unix:"))) {
		return parse_unix((struct hg_str){text.p + 5, text.n - 5}, ret_addr);
	}
	size_t colon = text.n;
	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (!parse_port((struct hg_str){text.p + colon, text.n - colon}, &port)) return false;
	struct hg_str h = {text.p, colon ? colon - 1 : 0};
	if (h.n == 0 || hg_str_eq(h, HG_STR("*"))) {
		any_address(port, ret_addr);
		return true;
	}
	bool v6 = h.n > 2 && h.p[0] == '[' && h.p[h.n - 1] == ']';
	if (v6) h = (struct hg_str){h.p + 1, h.n - 2};
	if (!v6 && hg_str_eq(h, HG_STR("localhost"))) h = HG_STR("127.0.0.1");
	if (memchr(h.p, 0, h.n) || !hg_str_copy(h, host, sizeof host)) return false;
	if (v6) {
		any_address(port, ret_addr);
		return inet_pton(AF_INET6, host, &ret_addr->in6.sin6_addr) == 1;
	}
	sock_addr_tcp4(0, port, ret_addr);
	return inet_pton(AF_INET, host, &ret_addr->in4.sin_addr) == 1;
}

size_t sock_addr_host(const struct sock_addr *a, char *to, size_t cap)
{
	HG_ASSERT(cap >= SOCK_TEXT_MAX);
	to[0] = 0;
	if (a->len == 0) return 0;
	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in4.sin_addr, to, (socklen_t)cap);
	} else if (a->sa.sa_family == AF_INET6) {
		const struct in6_addr *ip = &a->in6.sin6_addr;
		if (IN6_IS_ADDR_V4MAPPED(ip)) {
			inet_ntop(AF_INET, &ip->s6_addr[12], to, (socklen_t)cap);
		} else {
			inet_ntop(AF_INET6, ip, to, (socklen_t)cap);
		}
	} else {
		snprintf(to, cap, "unix");
	}
	return strlen(to);
}

uint16_t sock_addr_port(const struct sock_addr *a)
{
	if (a->len && a->sa.sa_family == AF_INET) return ntohs(a->in4.sin_port);
	if (a->len && a->sa.sa_family == AF_INET6) return ntohs(a->in6.sin6_port);
	return 0;
}

size_t sock_addr_text(const struct sock_addr *a, char *to, size_t cap)
{
	char host[SOCK_TEXT_MAX];
	HG_ASSERT(cap >= SOCK_TEXT_MAX);
	sock_addr_host(a, host, sizeof host);
	if (a->len && a->sa.sa_family == AF_UNIX) {
		snprintf(to, cap, "unix:%s", a->un.sun_path);
	} else if (strchr(host, ':')) {
		snprintf(to, cap, "[%s]:%u", host, sock_addr_port(a));
	} else {
		snprintf(to, cap, "%s:%u", host, sock_addr_port(a));
	}
	return strlen(to);
}

/* A unix socket file that nobody answers on is left over from a process that was killed. */
static void remove_stale(const struct sockaddr_un *un)
{
	struct stat st;
	if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return;
	bool alive = connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 || errno == EAGAIN;
	close(fd);
	if (!alive) unlink(un->sun_path);
}

int sock_listen(const struct sock_addr *a, int backlog)
{
	int on = 1, off = 0;
	if (a->sa.sa_family == AF_UNIX) remove_stale(&a->un);
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (a->sa.sa_family == AF_INET6) {
		bool any = IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof off);
	}
	if (bind(fd, &a->sa, a->len) == 0 && listen(fd, backlog) == 0) return fd;
	int err = errno;
	close(fd);
	return -err;
}

bool sock_local(int fd, struct sock_addr *ret_addr)
{
	ret_addr->len = sizeof ret_addr->un;
	return getsockname(fd, &ret_addr->sa, &ret_addr->len) == 0;
}

bool sock_peer(int fd, struct sock_addr *ret_addr)
{
	ret_addr->len = sizeof ret_addr->un;
	return getpeername(fd, &ret_addr->sa, &ret_addr->len) == 0;
}

static void no_delay(int fd, int family)
{
	int on = 1;
	if (family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int sock_accept(int listener, struct sock_addr *ret_peer)
{
	struct sock_addr peer = {.len = sizeof peer.un};
	int fd;
	do {
		fd = accept4(listener, &peer.sa, &peer.len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	no_delay(fd, peer.sa.sa_family);
	if (ret_peer) *ret_peer = peer;
	return fd;
}

int sock_connect(const struct sock_addr *a)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return -errno;
	no_delay(fd, a->sa.sa_family);
	if (connect(fd, &a->sa, a->len) == 0 || errno == EINPROGRESS) return fd;
	int err = errno;
	close(fd);
	return -err;
}

int sock_error(int fd)
{
	int err = 0;
	socklen_t n = sizeof err;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 ? err : errno;
}

ssize_t sock_read(int fd, void *to, size_t cap)
{
	ssize_t n;
	do {
		n = recv(fd, to, cap, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return n;
}

ssize_t sock_write(int fd, struct hg_str first, struct hg_str second)
{
	struct iovec iov[2] = {
	        {(void *)(uintptr_t)first.p, first.n}, {(void *)(uintptr_t)second.p, second.n}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;
	do {
		n = second.n ? sendmsg(fd, &m, MSG_NOSIGNAL)
		             : send(fd, first.p, first.n, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return n;
}

void sock_finish(int fd)
{
	(void)shutdown(fd, SHUT_WR);
}

void sock_close(int fd)
{
	if (fd >= 0) close(fd);
}

uint32_t sock_peer_uid(int fd)
{
	struct ucred who;
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof a;
	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0 || a.ss_family != AF_UNIX)
		return UINT32_MAX;
	n = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0) return UINT32_MAX;
	return who.uid;
}

#define FREE_PORT_FIRST 10240u
#define FREE_PORT_LAST  32767u /* Linux takes source ports from 32768 on, unless told otherwise */
#define FREE_PORT_TRIES 256

static bool port_is_free(uint16_t port)
{
	struct sock_addr a;
	sock_addr_tcp4(INADDR_LOOPBACK, port, &a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return false;
	bool free_now = bind(fd, &a.sa, a.len) == 0;
	close(fd);
	return free_now;
}

uint16_t sock_free_port(void)
{
	uint16_t dice[FREE_PORT_TRIES];
	if (getrandom(dice, sizeof dice, 0) != sizeof dice) return 0;
	for (size_t i = 0; i < FREE_PORT_TRIES; i++) {
		unsigned span = FREE_PORT_LAST - FREE_PORT_FIRST + 1;
		uint16_t port = (uint16_t)(FREE_PORT_FIRST + dice[i] % span);
		if (port_is_free(port)) return port;
	}
	return 0;
}

int sock_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) == 0
	               ? 0
	               : -errno;
}

int sock_send(int fd, const void *msg, size_t n, const int *fds, size_t fd_count)
{
	char control[CMSG_SPACE(SOCK_FDS_MAX * sizeof(int))] = {0};
	struct iovec iov = {(void *)(uintptr_t)msg, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	HG_ASSERT(fd_count <= SOCK_FDS_MAX);
	if (fd_count) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		HG_ASSERT(c); /* the room was made for it */
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
	}
	ssize_t sent;
	do {
		sent = sendmsg(fd, &m, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

/* Takes the descriptors of every control message; what exceeds the room is closed. */
static size_t take_fds(struct msghdr *m, int ret_fds[SOCK_FDS_MAX])
{
	size_t n = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (n < SOCK_FDS_MAX) {
				ret_fds[n++] = fd;
			} else {
				close(fd);
			}
		}
	}
	return n;
}

ssize_t sock_recv(int fd, void *msg, size_t cap, int ret_fds[SOCK_FDS_MAX], size_t *ret_fd_count)
{
	char control[CMSG_SPACE(SOCK_FDS_MAX * sizeof(int))];
	struct iovec iov = {msg, cap};
	struct msghdr m = {.msg_iov = &iov,
	        .msg_iovlen = 1,
	        .msg_control = control,
	        .msg_controllen = sizeof control};
	ssize_t n;
	do {
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	*ret_fd_count = 0;
	if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	*ret_fd_count = take_fds(&m, ret_fds);
	return n;
}
