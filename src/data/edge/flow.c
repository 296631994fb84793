#include <errno.h>
#include <sys/uio.h>

#include "data/edge/edge_priv.h"

/* Decrypted bytes. There may be more behind a short read: another record. */
static ssize_t secure_read(struct edge_flow *f, struct tls *tls, uint32_t *flags)
{
	ssize_t n = tls_read(tls, f->buf + f->n, EDGE_BUF_SIZE - f->n);
	if (n > 0) {
		f->n += (uint32_t)n;
		if (!tls_more(tls)) *flags &= ~EDGE_CAN_READ;
	} else if (n == -EAGAIN) {
		*flags &= ~EDGE_CAN_READ;
	} else if (n == 0) {
		*flags |= EDGE_EOF | EDGE_HUP;
		*flags &= ~EDGE_CAN_READ;
	} else {
		*flags |= EDGE_EOF | EDGE_DEAD | EDGE_RESET;
	}
	return n;
}

ssize_t edge_flow_read(
        struct edge *e, struct edge_flow *f, int fd, struct tls *tls, uint32_t *flags)
{
	if (!f->buf) {
		f->buf = edge_pool_take(&e->bufs);
		f->at = f->ready = f->raw = f->n = f->kept = 0;
		if (!f->buf) return -ENOBUFS;
	}
	size_t room = EDGE_BUF_SIZE - f->n;
	if (room == 0) return -ENOBUFS;
	if (HG_UNLIKELY(tls != NULL)) return secure_read(f, tls, flags);
	ssize_t n;
	do {
		n = recv(fd, f->buf + f->n, room, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			*flags &= ~EDGE_CAN_READ;
			return -EAGAIN;
		}
		*flags |= EDGE_EOF | EDGE_DEAD | EDGE_RESET;
		return -errno;
	}
	if (n == 0) {
		*flags |= EDGE_EOF | EDGE_HUP;
		*flags &= ~EDGE_CAN_READ;
		return 0;
	}
	f->n += (uint32_t)n;
	/* A short read has emptied the socket: what comes later raises a new edge. The end of
	 * the stream was announced before and would not be, so then reading goes on. */
	if ((size_t)n < room && !(*flags & EDGE_HUP)) *flags &= ~EDGE_CAN_READ;
	return n;
}

static void frame_chunked(struct edge_flow *f, struct edge_framing *fr, bool *ret_ok)
{
	while (f->raw < f->n && !fr->done) {
		struct hg_str p = {f->buf + f->raw, f->n - f->raw};
		struct http1_span s = http1_chunked_next(&fr->chunked, p);
		*ret_ok = s.result != HTTP1_BAD;
		if (!*ret_ok) return;
		fr->total += s.data.n;
		if (fr->dechunk) {
			memmove(f->buf + f->ready, s.data.p, s.data.n);
			f->ready += (uint32_t)s.data.n;
			if (HG_UNLIKELY(s.trailer.n) && fr->trailers) {
				memmove(f->buf + f->ready + f->kept, s.trailer.p, s.trailer.n);
				f->kept += (uint32_t)s.trailer.n;
			}
		}
		f->raw += (uint32_t)s.used;
		if (!fr->dechunk) f->ready = f->raw;
		fr->done = s.result == HTTP1_DONE;
		if (fr->done && f->kept == 2) f->kept = 0; /* no field, only the end */
		if (s.used == 0 && !fr->done) return;
	}
}

bool edge_flow_frame(struct edge_flow *f, struct edge_framing *fr)
{
	bool ok = true;
	uint32_t take = f->n - f->raw;
	if (fr->done) return true;
	switch (fr->kind) {
	case HTTP1_BODY_NONE: fr->done = true; return true;
	case HTTP1_BODY_CHUNKED: frame_chunked(f, fr, &ok); return ok;
	case HTTP1_BODY_LENGTH:
		if (take > fr->left) take = (uint32_t)fr->left;
		fr->left -= take;
		fr->done = fr->left == 0;
		break;
	case HTTP1_BODY_CLOSE:
	case HTTP1_BODY_TUNNEL: break;
	}
	HG_ASSERT(f->ready == f->raw);
	fr->total += take;
	f->raw += take;
	f->ready = f->raw;
	return true;
}

void edge_flow_drop(struct edge *e, struct edge_flow *f)
{
	edge_pool_give(&e->bufs, f->buf);
	*f = (struct edge_flow){0};
}

void edge_flow_trim(struct edge *e, struct edge_flow *f)
{
	if (!f->buf || f->at != f->ready || f->raw != f->n || f->kept) return;
	edge_flow_drop(e, f);
}

void edge_flow_compact(struct edge_flow *f)
{
	if (HG_UNLIKELY(f->kept)) {
		uint32_t front = f->ready - f->at + f->kept, rest = f->n - f->raw;
		memmove(f->buf, f->buf + f->at, front);
		memmove(f->buf + front, f->buf + f->raw, rest);
		f->ready -= f->at;
		f->at = 0;
		f->raw = front;
		f->n = front + rest;
	} else if (f->at == f->ready) {
		/* Nothing waits to be sent; bytes not looked at move to the front. */
		if (f->raw < f->n && f->raw) memmove(f->buf, f->buf + f->raw, f->n - f->raw);
		f->n -= f->raw;
		f->at = f->ready = f->raw = 0;
	} else if (f->at && f->raw == f->ready) {
		memmove(f->buf, f->buf + f->at, f->n - f->at);
		f->ready -= f->at;
		f->raw -= f->at;
		f->n -= f->at;
		f->at = 0;
	}
}

ssize_t edge_send(
        int fd, struct tls *tls, const struct edge_piece *pieces, int count, uint32_t *flags)
{
	struct iovec iov[4];
	int k = 0;
	size_t want = 0;
	ssize_t n;
	HG_ASSERT(count <= (int)HG_COUNT(iov));
	for (int i = 0; i < count; i++) {
		if (pieces[i].n == 0) continue;
		iov[k++] = (struct iovec){(void *)(uintptr_t)pieces[i].p, pieces[i].n};
		want += pieces[i].n;
	}
	if (want == 0) return 0;
	if (HG_UNLIKELY(tls != NULL)) {
		n = tls_write(tls, iov, k);
		if (n == -EAGAIN || (n >= 0 && (size_t)n < want)) *flags &= ~EDGE_CAN_WRITE;
		return n;
	}
	do {
		if (k == 1) {
			n = send(fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
		} else {
			struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)k};
			n = sendmsg(fd, &m, MSG_NOSIGNAL);
		}
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
		*flags &= ~EDGE_CAN_WRITE;
		return -EAGAIN;
	}
	if ((size_t)n < want) *flags &= ~EDGE_CAN_WRITE;
	return n;
}
