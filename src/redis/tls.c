/* TLS to the server (rediss://): whom to trust, and bytes in and out. */
#include "redis/redis_priv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/uio.h>

#include "os/file.h"

#define CA_MAX    (4u << 20)
#define CA_SYSTEM "/etc/ssl/certs/ca-certificates.crt" /* of Debian's ca-certificates */

enum hg_rc redis_tls_new(struct redis *r, struct hg_err *err)
{
	const struct redis_address *a = &r->address;
	const char *path = a->ca[0] ? a->ca : CA_SYSTEM;
	char why[TLS_WHY_MAX] = "";
	struct hg_buf ca = {0};
	enum hg_rc rc = HG_OK;
	if (!a->tls) return HG_OK;
	if (!r->o.ca) rc = file_read(path, CA_MAX, &ca, err);
	if (rc < 0) {
		hg_buf_free(&ca);
		return rc == HG_E_NOMEM
		               ? rc
		               : hg_err_set(err, HG_E_INVALID,
		                         "could not read the authorities of Redis, \"%s\"", path);
	}
	struct tls_remote_conf conf = {.ca = r->o.ca ? hg_str(r->o.ca) : hg_buf_view(&ca),
	        .name = hg_str(a->host),
	        .verify = true,
	        .allow_1_2 = true};
	rc = tls_remote_new(&conf, NULL, &r->tls, why);
	hg_buf_free(&ca);
	if (rc == HG_E_NOMEM) return hg_err_set(err, rc, "not enough memory for TLS to Redis");
	if (rc < 0)
		return hg_err_set(err, rc, "the authorities of Redis, \"%s\": %s",
		        r->o.ca ? "given" : path, why);
	return HG_OK;
}

/* 0: it is over. */
int link_tls_handshake(struct link *l, char *why, size_t cap)
{
	int rc = tls_handshake(l->tls);
	if (rc < 0 && rc != -EAGAIN) snprintf(why, cap, "TLS: %.120s", tls_remote_why(l->tls));
	return rc;
}

ssize_t link_read(struct link *l, char *to, size_t n)
{
	return l->tls ? tls_read(l->tls, to, n) : sock_read(l->fd, to, n);
}

ssize_t link_write(struct link *l, struct hg_str s)
{
	struct iovec piece = {(void *)(uintptr_t)s.p, s.n};
	return l->tls ? tls_write(l->tls, &piece, 1) : sock_write(l->fd, s, HG_STR(""));
}
