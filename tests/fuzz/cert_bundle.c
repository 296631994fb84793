/*
 * What a worker reads of a bundle of certificates: whatever the bytes are, it is refused or every
 * part of it can be used. Magic and size are made good, or no mutation would come past them.
 */
#include "fuzz.h"

#include "cert/cert.h"
#include "os/shm.h"

#include <string.h>
#include <unistd.h>

static void remotes_look(int fd)
{
	struct cert_remotes *r = NULL, *again = NULL;
	char why[TLS_WHY_MAX];
	if (cert_bundle_remotes(fd, NULL, &r, why) < 0) {
		HG_ASSERT(!r && memchr(why, 0, sizeof why));
		return;
	}
	for (uint32_t i = 0; r && i < r->count; i++)
		HG_ASSERT(cert_remotes_find(r, hg_str(r->one[i].app)));
	/* The same again: nothing has changed, so all of it is the old one's. */
	HG_ASSERT(cert_bundle_remotes(fd, r, &again, why) == HG_OK);
	HG_ASSERT((r ? r->count : 0) == (again ? again->count : 0));
	cert_remotes_free(again);
	cert_remotes_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint32_t magic = 0xce470004u;
	struct cert_opened to = {0};
	char why[TLS_WHY_MAX], *text = NULL;
	size_t text_n = 0;
	if (n < 8) return 0;
	uint32_t size = (uint32_t)n;
	char *copy = fuzz_copy((struct hg_str){(const char *)p, n});
	memcpy(copy, &magic, sizeof magic);
	memcpy(copy + 4, &size, sizeof size);
	int fd = shm_sealed("fuzz-certs", (struct hg_str){copy, n});
	HG_ASSERT(fd >= 0);
	if (cert_bundle_open(fd, "\x08http/1.1", &to, why) == HG_OK) {
		for (uint32_t i = 0; i < to.token_count; i++)
			HG_ASSERT(cert_token_answer(
			        to.tokens, to.token_count, hg_str(to.tokens[i].token)));
		tls_keyring_unref(to.keyring);
		free(to.tokens);
	} else {
		HG_ASSERT(!to.keyring && !to.tokens && memchr(why, 0, sizeof why));
	}
	remotes_look(fd);
	if (cert_bundle_identities(fd, &text, &text_n) == HG_OK) {
		HG_ASSERT(text_n <= n && (text_n == 0) == (text == NULL));
		free(text);
	}
	close(fd);
	free(copy);
	return 0;
}
