#include "auth/password.h"

#include <argon2.h>
#include <dlfcn.h>
#include <stdio.h>

#define HASH_SIZE 32u

struct library {
	__typeof__(argon2id_hash_encoded) *hash;
	__typeof__(argon2id_verify) *verify;
};

/* Loaded once and never unloaded, so it costs nothing to ask again. */
static bool load(struct library *l)
{
	void *so = dlopen("libargon2.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!so) return false;
	*(void **)&l->hash = dlsym(so, "argon2id_hash_encoded");
	*(void **)&l->verify = dlsym(so, "argon2id_verify");
	return l->hash && l->verify;
}

enum hg_rc password_ready(struct hg_err *err)
{
	struct library l = {0};
	if (load(&l)) return HG_OK;
	hg_err_set(err, HG_E_IO, "passwords need libargon2.so.1, which cannot be loaded");
	hg_err_hint(err, "apt install libargon2-1");
	return HG_E_IO;
}

static enum hg_rc rc_of(int code)
{
	return code == ARGON2_MEMORY_ALLOCATION_ERROR ? HG_E_NOMEM : HG_E_IO;
}

enum hg_rc password_hash(
        struct hg_str password, const uint8_t salt[PASSWORD_SALT], char ret_text[PASSWORD_TEXT_MAX])
{
	struct library l = {0};
	if (!load(&l)) return HG_E_IO;
	int code = l.hash(PASSWORD_PASSES, PASSWORD_MEMORY_KIB, 1, password.p, password.n, salt,
	        PASSWORD_SALT, HASH_SIZE, ret_text, PASSWORD_TEXT_MAX);
	return code == ARGON2_OK ? HG_OK : rc_of(code);
}

enum hg_rc password_verify(const char *text, struct hg_str password, bool *ret_good)
{
	struct library l = {0};
	if (!load(&l)) return HG_E_IO;
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
