/*
 * Any bytes as a configuration: loaded, checked, shown, formatted and split into commands without
 * a crash, and what show and fmt return means the same. Corpus: tests/unit/spec/{bad,good}.
 */
#include "fuzz.h"

#include "spec/spec.h"

static bool lookup(void *ctx, struct hg_str name, struct hg_str *ret_value)
{
	(void)ctx;
	*ret_value = name;
	return true;
}

static void same(
        const struct spec *was, struct hg_str text, struct hg_arena *a, struct spec_report *r)
{
	struct spec *now = NULL;
	struct spec_change *changes;
	uint32_t n;
	struct spec_source from = {.text = text, .file = "again.yaml"};
	HG_ASSERT(spec_load(&from, a, r, &now) == HG_OK);
	HG_ASSERT(spec_diff(was, now, a, &changes, &n) == HG_OK && n == 0);
}

static void use(const struct spec *s, struct hg_str text, struct hg_arena *a, struct spec_report *r)
{
	struct hg_buf out;
	struct hg_err errs[4];
	struct spec_source from = {.text = text, .file = "fuzz.yaml"};
	char **argv, digest[33];
	uint32_t argc;
	HG_ASSERT(spec_check(s, r) == HG_OK ? !r->error_count : r->error_count > 0);
	(void)spec_unavailable(s, errs, 4);
	for (uint32_t i = 0; i < s->app_count; i++) {
		spec_app_digest(&s->apps[i], digest);
		if (spec_command_split(s->apps[i].command, lookup, NULL, a, &argv, &argc, errs) ==
		        HG_OK)
			HG_ASSERT(argc > 0 && argv[argc] == NULL);
	}
	hg_buf_init(&out, 16u << 20);
	spec_show(s, &out);
	same(s, hg_buf_view(&out), a, r);
	hg_buf_reset(&out);
	HG_ASSERT(spec_fmt(&from, &out, r) == HG_OK);
	same(s, hg_buf_view(&out), a, r);
	hg_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hg_arena a;
	struct hg_buf out;
	struct hg_err err;
	struct spec *s = NULL;
	struct spec_report *r = malloc(sizeof *r);
	char *text = fuzz_copy((struct hg_str){(const char *)data, size});
	struct spec_source from = {.text = {text, size}, .file = "fuzz.yaml"};
	HG_ASSERT(r);
	hg_arena_init(&a, "fuzz", 256u << 20);
	enum hg_rc rc = spec_load(&from, &a, r, &s);
	HG_ASSERT(rc == HG_OK ? s && !r->error_count
	                      : rc == r->errors[0].rc && r->errors[0].message[0]);
	hg_buf_init(&out, 1u << 20);
	spec_report_print(r, &out);
	hg_buf_reset(&out);
	if (size < 64) HG_ASSERT((spec_explain(from.text, &out, &err) == HG_OK) == (out.n > 0));
	hg_buf_free(&out);
	if (rc == HG_OK) use(s, from.text, &a, r);
	hg_arena_fini(&a);
	free(text);
	free(r);
	return 0;
}
