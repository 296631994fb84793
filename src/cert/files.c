/* Certificates from files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cert/cert.h"

static enum hg_rc refuse(const char *path, const char *why, const char *hint, struct hg_err *err)
{
	hg_err_set(err, HG_E_CERT_FILE, "could not use \"%s\": %s", path, why);
	if (hint) hg_err_hint(err, "%s", hint);
	return HG_E_CERT_FILE;
}

static enum hg_rc refuse_open(const char *path, int e, struct hg_err *err)
{
	if (e != EACCES) return refuse(path, strerror(e), NULL, err);
	hg_err_set(err, HG_E_DENIED, "could not read \"%s\": %s", path, strerror(e));
	hg_err_hint(err, "run `headgate up` or `headgate reload` as a user who may read it: its "
	                 "text is handed over");
	return HG_E_DENIED;
}

static enum hg_rc text_read(const char *path, char **ret_text, size_t *ret_n, struct hg_err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int e = errno;
		if (fd >= 0) close(fd);
		return refuse_open(path, e, err);
	}
	enum hg_rc rc = HG_OK;
	if (!S_ISREG(st.st_mode))
		rc = refuse(path, "it is not a regular file", NULL, err);
	else if (st.st_size > CERT_FILE_MAX)
		rc = refuse(path, "it is larger than 1 MiB", NULL, err);
	char *text = rc == HG_OK ? calloc(1, (size_t)st.st_size + 1) : NULL;
	size_t n = 0;
	if (rc == HG_OK && !text) rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	while (text && rc == HG_OK && n < (size_t)st.st_size) {
		ssize_t k = read(fd, text + n, (size_t)st.st_size - n);
		if (k < 0 && errno == EINTR) continue;
		if (k < 0) rc = refuse(path, strerror(errno), NULL, err);
		if (k <= 0) break;
		n += (size_t)k;
	}
	close(fd);
	if (text && rc == HG_OK && memchr(text, 0, n)) {
		rc = refuse(
		        path, "it is not PEM text", "convert it: openssl x509 -inform DER", err);
	}
	if (rc < 0 && text) {
		explicit_bzero(text, n);
		free(text);
		return rc;
	}
	*ret_text = text;
	*ret_n = n;
	return rc;
}

enum hg_rc cert_text_read(const char *path, char **ret_text, struct hg_err *err)
{
	size_t n;
	return text_read(path, ret_text, &n, err);
}

enum hg_rc cert_texts_read(const char *chain_path, const char *key_path,
        struct cert_texts *ret_texts, struct tls_cert *ret_cert, struct hg_err *err)
{
	char why[TLS_WHY_MAX];
	struct cert_texts t = {0};
	enum hg_rc rc = text_read(chain_path, &t.chain, &t.chain_n, err);
	if (rc == HG_OK) rc = text_read(key_path, &t.key, &t.key_n, err);
	if (rc == HG_OK) {
		struct tls_pem pem = {{t.chain, t.chain_n}, {t.key, t.key_n}};
		enum hg_rc bad = tls_pem_check(&pem, ret_cert, why);
		if (bad == HG_E_NOMEM) rc = hg_err_set(err, bad, "memory is exhausted");
		if (bad == HG_E_INVALID) {
			bool key = strstr(why, "key") != NULL;
			rc = refuse(key ? key_path : chain_path, why,
			        "`cert` is the certificate and its chain, leaf first; `key` its "
			        "private key; both PEM",
			        err);
		}
	}
	if (rc < 0) {
		cert_texts_free(&t);
		return rc;
	}
	*ret_texts = t;
	return HG_OK;
}

void cert_texts_free(struct cert_texts *t)
{
	if (t->key) explicit_bzero(t->key, t->key_n);
	free(t->key);
	free(t->chain);
	*t = (struct cert_texts){0};
}
