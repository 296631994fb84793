/* API keys for clients of apps: made here, kept by whoever asked for it, known by their hash. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/apikey.h"
#include "cli_priv.h"
#include "os/clock.h"
#include "os/file.h"
#include "spec/spec.h"
#include "wire/json.h"

#define LINE_MAX_N 4096u

static int usage(const char *what, const char *hint)
{
	struct hg_err err = {0};
	hg_err_set(&err, HG_E_USAGE, "%s", what);
	hg_err_hint(&err, "%s", hint);
	return cli_fail(&err);
}

static bool word(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= ' ' || c > '~' || strchr(",%[]{}'\"#", c)) return false;
	}
	return s.n > 0 && s.n <= 128;
}

/* "a,b" as "[a, b]"; false: one of them is no word. */
static bool words_put(struct hg_buf *to, const char *key, const char *list)
{
	struct hg_str rest = hg_str(list);
	if (!list) return true;
	hg_buf_fmt(to, ", %s: [", key);
	for (bool first = true; rest.n; first = false) {
		struct hg_str one = hg_str_trim(hg_str_cut(&rest, ','));
		if (!word(one)) return false;
		if (!first) hg_buf_cstr(to, ", ");
		/* A colon within a word is plain in YAML as long as no blank follows. */
		hg_buf_str(to, one);
	}
	hg_buf_cstr(to, "]");
	return true;
}

static bool name_good(struct hg_str s)
{
	bool good = s.n >= 1 && s.n <= 63 && s.p[0] != '-' && s.p[s.n - 1] != '-';
	for (size_t i = 0; good && i < s.n; i++)
		good = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
		       s.p[i] == '-';
	return good;
}

/* The day as it stands in the file, in UTC; one that is over may be written too. */
static bool last_day(const char *when, char day[32])
{
	uint64_t end_s, ms;
	if (spec_day_end(hg_str(when), &end_s)) return hg_str_copy(hg_str(when), day, 32);
	if (!cli_expiry(hg_str(when), clock_wall_ms(), &ms)) return false;
	cli_moment(ms, day);
	return true;
}

/* The line of the file, for this hash; 0, or the status of what is wrong with the arguments. */
static int line_make(const struct cli *c, const char *sha256, struct hg_buf *to)
{
	const char *const *v = c->args.value;
	hg_buf_fmt(to, "- {name: %s, sha256: %s", c->args.positional[0], sha256);
	if (v[CLI_F_USER]) {
		if (!word(hg_str(v[CLI_F_USER])))
			return usage("a user is one word of ASCII", "for example --user ann");
		hg_buf_fmt(to, ", user: \"%s\"", v[CLI_F_USER]);
	}
	if (!words_put(to, "roles", v[CLI_F_ROLES]) || !words_put(to, "scopes", v[CLI_F_SCOPES]))
		return usage("roles and scopes are words of ASCII with commas between",
		        "for example --roles admin,user --scopes feedback:read");
	if (v[CLI_F_EXPIRES]) {
		char day[32];
		if (!last_day(v[CLI_F_EXPIRES], day))
			return usage("a key expires on a day",
			        "for example --expires 2027-01-31 or --expires 30d");
		hg_buf_fmt(to, ", expires: \"%.10s\"", day);
	}
	hg_buf_cstr(to, "}");
	return 0;
}

static int json_print(const struct cli *c, const char *key, const char *sha256, const char *line)
{
	struct hg_buf b;
	struct json_out j;
	hg_buf_init(&b, 4 * LINE_MAX_N);
	json_out_init(&j, &b);
	json_out_object(&j);
	json_out_key(&j, "schema");
	json_out_cstr(&j, "headgate.key/1");
	json_out_key(&j, "name");
	json_out_cstr(&j, c->args.positional[0]);
	json_out_key(&j, "key");
	json_out_cstr(&j, key);
	json_out_key(&j, "sha256");
	json_out_cstr(&j, sha256);
	json_out_key(&j, "line");
	json_out_cstr(&j, line);
	json_out_end(&j);
	if (json_out_ok(&j)) cli_out("%s\n", hg_buf_text(&b));
	if (b.p) explicit_bzero(b.p, b.n);
	hg_buf_free(&b);
	return 0;
}

int cli_do_key_make(struct cli *c)
{
	uint8_t random[APIKEY_RANDOM], hash[APIKEY_HASH];
	char key[APIKEY_TEXT_MAX + 1], hex[2 * APIKEY_HASH + 1];
	const char *prefix = c->args.value[CLI_F_PREFIX] ? c->args.value[CLI_F_PREFIX] : "hgk";
	struct hg_buf line;
	struct hg_err err = {0};
	if (!name_good(hg_str(c->args.positional[0])))
		return usage(
		        "a key's name is 1 to 63 of a-z, 0-9 and \"-\"", "for example partner-2");
	if (!apikey_prefix_good(hg_str(prefix)))
		return usage(
		        "a prefix is 1 to 20 of a-z, 0-9 and \"_\"", "for example --prefix shop");
	if (file_random(random, sizeof random) < 0) {
		hg_err_set(&err, HG_E_IO, "the kernel gave no random bytes");
		return cli_fail(&err);
	}
	size_t n = apikey_make(hg_str(prefix), random, key);
	explicit_bzero(random, sizeof random);
	if (!apikey_hash((struct hg_str){key, n}, hash)) {
		hg_err_set(&err, HG_E_NOMEM, "memory is exhausted");
		return cli_fail(&err);
	}
	apikey_hash_text(hash, hex);
	hg_buf_init(&line, LINE_MAX_N);
	int status = line_make(c, hex, &line);
	if (status == 0 && cli_has(&c->args, CLI_F_JSON)) {
		status = json_print(c, key, hex, hg_buf_text(&line));
	} else if (status == 0) {
		cli_out("%s\n", key);
		cli_say("The key is shown once. Its line, under `identity.keys` of the app:");
		cli_out("%s\n", hg_buf_text(&line));
		cli_next(c, "headgate reload");
	}
	explicit_bzero(key, sizeof key);
	hg_buf_free(&line);
	return status;
}
