/* What clients write into fields and bodies to say who they are: found inside of the text, or not.
 */
#include "fuzz.h"

#include "apps/feedback/people_priv.h"

static void inside(struct hg_str part, struct hg_str whole)
{
	HG_ASSERT(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void fields(struct hg_str in)
{
	struct hg_str v = HG_STR("");
	uint64_t bits = 0;
	if (access_cookie(in, "session", &v)) inside(v, in);
	if (access_bearer(in, &v)) {
		inside(v, in);
		HG_ASSERT(v.n > 0);
	}
	if (access_permissions_parse(in, &bits)) HG_ASSERT((bits & ~ACCESS_ALL) == 0);
	(void)access_is_loopback(in);
}

/* Whatever the three texts are, a request without any of them but its own host is no forgery. */
static void origins(struct hg_str in)
{
	struct hg_str rest = in, site = hg_str_cut(&rest, '\n'), origin = hg_str_cut(&rest, '\n');
	struct access_origin o = {HTTP1_POST, site, origin, rest};
	bool forged = access_forged(&o) != NULL;
	bool ours = hg_str_eq(site, HG_STR("same-origin")) || hg_str_eq(site, HG_STR("none"));
	if (site.n) HG_ASSERT(forged == !ours);
	if (!site.n && !origin.n) HG_ASSERT(!forged);
	o.method = HTTP1_GET;
	HG_ASSERT(!access_forged(&o));
}

static void bodies(struct hg_str in)
{
	char email[PEOPLE_EMAIL_MAX + 1], again[PEOPLE_EMAIL_MAX + 1];
	if (!people_email(in, email)) {
		HG_ASSERT(strlen(email) >= 3 && strchr(email, '@') && !strpbrk(email, " \"<>\r\n"));
		HG_ASSERT(!people_email(hg_str(email), again) && strcmp(email, again) == 0);
	}
	if (!people_password(in, "a@b"))
		HG_ASSERT(in.n >= PEOPLE_PASSWORD_MIN && in.n <= PEOPLE_PASSWORD_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	struct hg_str in = {copy, size};
	fields(in);
	origins(in);
	bodies(in);
	free(copy);
	return 0;
}
