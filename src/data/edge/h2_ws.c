#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "data/edge/h2_priv.h"
#include "data/edge/secure_priv.h"

/*
 * WebSocket over HTTP/2 (RFC 8441): the CONNECT with :protocol becomes the GET with Upgrade that
 * replicas know, and the 101 a 200. The key and its proof (RFC 6455 section 4.2.2) are between us
 * and the replica.
 */

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

void edge_h2_ws_key(struct edge_h2_stream *s)
{
	unsigned char nonce[16], text[EDGE_H2_WS_KEY + 1];
	for (int i = 0; i < 2; i++) {
		uint64_t v = hg_rand_u64(&s->conn.edge->rand);
		memcpy(nonce + 8 * i, &v, sizeof v);
	}
	EVP_EncodeBlock(text, nonce, sizeof nonce);
	memcpy(s->ws_key, text, EDGE_H2_WS_KEY);
}

bool edge_h2_ws_prove(const char key[EDGE_H2_WS_KEY], char ret_accept[EDGE_H2_WS_PROOF])
{
	unsigned char in[EDGE_H2_WS_KEY + sizeof GUID - 1], digest[20], text[EDGE_H2_WS_PROOF + 1];
	memcpy(in, key, EDGE_H2_WS_KEY);
	memcpy(in + EDGE_H2_WS_KEY, GUID, sizeof GUID - 1);
	if (EVP_Digest(in, sizeof in, digest, NULL, EVP_sha1(), NULL) != 1) return false;
	EVP_EncodeBlock(text, digest, sizeof digest);
	memcpy(ret_accept, text, EDGE_H2_WS_PROOF);
	return true;
}

static bool proven(const struct edge_h2_stream *s, struct hg_str accept)
{
	char want[EDGE_H2_WS_PROOF];
	return edge_h2_ws_prove(s->ws_key, want) &&
	       hg_str_eq(accept, (struct hg_str){want, sizeof want});
}

bool edge_h2_head_ok(struct edge_conn *c, const struct http1_head *h)
{
	const struct edge_h2_stream *s = edge_h2_stream_of(c);
	if (HG_LIKELY(!s->ws)) return true;
	/* Any 2xx would open the tunnel; only a 101 does so here. */
	if (h->status != 101) return h->status >= 300;
	const struct http1_field *f = http1_find_name(h, HG_STR("Sec-WebSocket-Accept"));
	return f && proven(s, f->value);
}

/* Client → replica; false: the replica is gone. */
static bool up_pump(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_up *up = r->up;
	for (;;) {
		edge_flow_frame(&c->in, &r->body);
		struct edge_piece p = edge_piece_of(c->in.buf, c->in.at, c->in.ready);
		if (p.n == 0) {
			edge_flow_compact(&c->in);
			ssize_t n = edge_h2_read(c);
			if (n == -ENOBUFS) return false;
			if (n == 0 && !c->half_up) {
				c->half_up = true;
				edge_up_finish(up);
			}
			if (n <= 0) break;
			c->progress = true;
			continue;
		}
		ssize_t n = -EAGAIN;
		if (up->flags & EDGE_CAN_WRITE) n = edge_up_send(up, &p, 1);
		if (n == -EAGAIN) {
			edge_up_want_write(up);
			return true;
		}
		if (n < 0) return false;
		c->in.at += (uint32_t)n;
		c->progress = true;
	}
	edge_flow_trim(c->edge, &c->in);
	return true;
}

/* Replica → client, as far as a buffer goes: nghttp2 takes it from there. */
static bool down_pump(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_up *up = r->up;
	while (!c->half_down) {
		edge_flow_frame(&r->rf, &r->resp);
		if (edge_flow_ready(&r->rf)) break;
		if (up->flags & EDGE_EOF) {
			c->half_down = true;
			break;
		}
		if (!(up->flags & EDGE_CAN_READ)) break;
		edge_flow_compact(&r->rf);
		ssize_t n = edge_up_read(up, &r->rf);
		if (n == -EAGAIN) {
			edge_flow_trim(c->edge, &r->rf);
			break;
		}
		if (n < 0) return false;
		c->progress = true;
	}
	return true;
}

enum edge_step edge_h2_tunnel(struct edge_conn *c)
{
	if (up_pump(c) && down_pump(c) && edge_h2_offer(c)) return EDGE_STEP_BLOCK;
	edge_request_abort(c);
	edge_conn_close(c);
	return EDGE_STEP_GONE;
}
