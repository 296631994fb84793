#include "auth/password.h"

#include <argon2.h>
#include <stdio.h>

#include "os/library.h"

#define HASH_SIZE 32u

struct argon2 {
	__typeof__(argon2id_hash_encoded) *hash;
	__typeof__(argon2id_verify) *verify;
};

/* Loaded once and never unloaded, so it costs nothing to ask again. */
static enum hg_rc load(struct argon2 *ret_calls, struct hg_err *err)
{
	static const char *const name[] = {"argon2id_hash_encoded", "argon2id_verify"};
	static const struct library lib = {.file = "libargon2.so.1",
	        .hint = "Passwords need it: install the package libargon2-1.",
	        .rc = HG_E_IO,
	        .call = name,
	        .call_n = HG_COUNT(name)};
	return library_load(&lib, ret_calls, sizeof *ret_calls, err);
}

enum hg_rc password_ready(struct hg_err *err)
{
	struct argon2 l;
	return load(&l, err);
}

static enum hg_rc rc_of(int code)
{
	return code == ARGON2_MEMORY_ALLOCATION_ERROR ? HG_E_NOMEM : HG_E_IO;
}

enum hg_rc password_hash(
        struct hg_str password, const uint8_t salt[PASSWORD_SALT], char ret_text[PASSWORD_TEXT_MAX])
{
	struct argon2 l;
	if (load(&l, NULL) != HG_OK) return HG_E_IO;
	int code = l.hash(PASSWORD_PASSES, PASSWORD_MEMORY_KIB, 1, password.p, password.n, salt,
	        PASSWORD_SALT, HASH_SIZE, ret_text, PASSWORD_TEXT_MAX);
	return code == ARGON2_OK ? HG_OK : rc_of(code);
}

enum hg_rc password_verify(const char *text, struct hg_str password, bool *ret_good)
{
	struct argon2 l;
	if (load(&l, NULL) != HG_OK) return HG_E_IO;
	int code = l.verify(text, password.p, password.n);
	*ret_good = code == ARGON2_OK;
	return code == ARGON2_OK || code == ARGON2_VERIFY_MISMATCH ? HG_OK : rc_of(code);
}

bool password_outdated(const char *text)
{
	char want[48];
	snprintf(want, sizeof want, "$argon2id$v=%d$m=%u,t=%u,p=1$", ARGON2_VERSION_NUMBER,
	        PASSWORD_MEMORY_KIB, PASSWORD_PASSES);
	return !hg_str_starts(hg_str(text), hg_str(want));
}
