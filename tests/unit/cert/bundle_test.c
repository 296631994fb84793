#include "../os/tls_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cert/bundle.c"
#include "cert/files.c"

static struct pem_text one, two, proof;
static const struct cert_token token = {"abcdefghijklmnopqrstu", "abcdefghijklmnopqrstu.thumb"};

static int make(void)
{
	static const struct tls_ticket_key ticket = {{1}, {2}, {3}};
	struct hg_err err = {0};
	struct tls_pem pem[3] = {pem_of(&one), pem_of(&two), pem_of(&proof)};
	struct tls_conf conf = {.pem = pem,
	        .pem_count = 2,
	        .challenge = pem + 2,
	        .challenge_count = 1,
	        .tickets = &ticket,
	        .ticket_count = 1,
	        .allow_1_2 = true};
	int fd = -1;
	struct cert_extra extra = {.generation = 7, .tokens = &token, .token_count = 1};
	assert_int_equal(cert_bundle_make(&conf, &extra, &fd, &err), HG_OK);
	return fd;
}

static void a_bundle_makes_a_keyring(void **state)
{
	char why[TLS_WHY_MAX];
	struct cert_opened o;
	int fd = make();
	(void)state;
	assert_int_equal(cert_bundle_open(fd, "\x08http/1.1", &o, why), HG_OK);
	tls_keyring_unref(o.keyring);
	assert_int_equal(o.generation, 7);
	assert_int_equal(o.token_count, 1);
	assert_string_equal(
	        cert_token_answer(o.tokens, 1, HG_STR("abcdefghijklmnopqrstu")), token.answer);
	assert_null(cert_token_answer(o.tokens, 1, HG_STR("abcdefghijklmnopqrst")));
	assert_null(cert_token_answer(o.tokens, 1, HG_STR("")));
	free(o.tokens);
	/* Nobody can change it any more. */
	assert_int_equal(ftruncate(fd, 10), -1);
	assert_int_equal(write(fd, "x", 1), -1);
	close(fd);
}

/* The same bytes with one word changed, sealed. */
static enum hg_rc changed(size_t at, uint32_t value, size_t cut)
{
	char why[TLS_WHY_MAX];
	struct cert_opened o;
	int fd = make();
	size_t n = (size_t)shm_size(fd);
	char *p = malloc(n);
	assert_int_equal(pread(fd, p, n, 0), n);
	close(fd);
	memcpy(p + at, &value, sizeof value);
	fd = shm_sealed("changed", (struct hg_str){p, cut ? cut : n});
	free(p);
	enum hg_rc rc = cert_bundle_open(fd, NULL, &o, why);
	if (rc == HG_OK) {
		tls_keyring_unref(o.keyring);
		assert_true(strlen(o.tokens[0].answer) < sizeof o.tokens[0].answer);
		free(o.tokens);
	}
	close(fd);
	return rc;
}

static void what_is_no_bundle_is_refused(void **state)
{
	size_t place = sizeof(struct head) + sizeof(struct cert_token) + cert_remotes_size(NULL, 0);
	(void)state;
	assert_int_equal(changed(0, MAGIC, 0), HG_OK);
	assert_int_equal(changed(0, 1, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, size), 5, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, count), 0x20000000, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, count), 900, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, remotes_size), 4, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, remotes_size), 1u << 24, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, ticket_count), 4, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, token_count), 65, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, token_count), 60, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, challenge_count), 65, 0), HG_E_INVALID);
	assert_int_equal(changed(offsetof(struct head, challenge_count), 60, 0), HG_E_INVALID);
	/* A token without an end is given one. */
	assert_int_equal(changed(place - 4, 0x41414141, 0), HG_OK);
	for (size_t word = 0; word < 4; word++)
		assert_int_equal(changed(place + 4 * word, 0xfffffff0u, 0), HG_E_INVALID);
	assert_int_equal(changed(place + 4, 10, 0), HG_E_INVALID); /* a cut chain */
	assert_int_equal(changed(0, MAGIC, 16), HG_E_INVALID);
	assert_int_equal(changed(0, MAGIC, 400), HG_E_INVALID);
}

static void too_many_are_refused(void **state)
{
	struct hg_err err = {0};
	struct tls_pem *pem = calloc(CERT_MAX + 1, sizeof *pem);
	struct tls_conf conf = {.pem = pem, .pem_count = CERT_MAX + 1};
	int fd;
	(void)state;
	assert_int_equal(
	        cert_bundle_make(&conf, &(struct cert_extra){0}, &fd, &err), HG_E_TOO_LARGE);
	free(pem);
}

static void file_put(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
}

static void refused(const char *chain, const char *key, const char *says)
{
	struct cert_texts t;
	struct hg_err err = {0};
	assert_int_equal(cert_texts_read(chain, key, &t, NULL, &err), HG_E_CERT_FILE);
	if (!strstr(err.message, says)) fail_msg("\"%s\" does not say \"%s\"", err.message, says);
}

static void files_are_read_and_refused_with_reasons(void **state)
{
	char dir[] = "/tmp/cert-test-XXXXXX";
	struct cert_texts t;
	struct tls_cert is;
	struct hg_err err = {0};
	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	file_put("one.pem", one.chain, strlen(one.chain));
	file_put("one.key", one.key, strlen(one.key));
	file_put("two.key", two.key, strlen(two.key));
	file_put("zero", "a\0b", 3);
	file_put("empty", "", 0);
	assert_int_equal(cert_texts_read("one.pem", "one.key", &t, &is, &err), HG_OK);
	assert_string_equal(t.chain, one.chain);
	assert_string_equal(t.key, one.key);
	assert_string_equal(is.names[0], "one.example");
	cert_texts_free(&t);
	refused("missing.pem", "one.key", "\"missing.pem\": No such file");
	refused("one.pem", "missing.key", "\"missing.key\": No such file");
	refused("one.pem", "two.key", "\"two.key\": the private key belongs to another");
	refused("one.pem", "one.pem", "there is no private key in it");
	refused("empty", "one.key", "\"empty\": there is no certificate");
	refused("zero", "one.key", "it is not PEM text");
	refused("/", "one.key", "it is not a regular file");
	assert_int_equal(system("rm -f one.pem one.key two.key zero empty"), 0);
	assert_int_equal(chdir("/"), 0);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_bundle_makes_a_keyring),
	        cmocka_unit_test(what_is_no_bundle_is_refused),
	        cmocka_unit_test(too_many_are_refused),
	        cmocka_unit_test(files_are_read_and_refused_with_reasons),
	};
	one = pem_make("DNS:one.example", false, 30);
	proof = pem_make("DNS:three.example", false, 30);
	two = pem_make("DNS:two.example", true, 30);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
