/* Whatever the text is: it compiles or has an error with a place inside of it; what compiles runs
 * within its limits. */
#include "fuzz.h"

#include "wire/gotemplate.h"

#define TEXT(key, text)                                   \
	{                                                 \
		HG_STR(key),                              \
		{                                         \
			.kind = GT_STR, .s = HG_STR(text) \
		}                                         \
	}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"labels", "value", NULL};
	static const struct gt_member labels[] = {TEXT("a", "x"), TEXT("job", "<i>")};
	struct gt_value values[2] = {gt_map(labels, 2, GT_TEXTS), gt_float(1.5)};
	struct gt_member one[] = {{HG_STR("Labels"), gt_map(labels, 2, GT_TEXTS)},
	        {HG_STR("StartsAt"), gt_time(1700000000000)}, TEXT("Status", "firing")};
	struct gt_value alert = gt_map(one, 3, GT_OBJECT);
	struct gt_member root[] = {{HG_STR("Alerts"), gt_list(&alert, 1, GT_ALERTS)},
	        {HG_STR("CommonLabels"), gt_map(labels, 2, GT_TEXTS)}};
	struct gt_value dot = gt_map(root, 2, GT_OBJECT);
	struct hg_err err = {0};
	struct gotemplate *set;
	struct hg_arena mem;
	struct hg_buf to;
	if (size > 4096) return 0;
	char *copy = fuzz_copy((struct hg_str){(const char *)data, size});
	if (gotemplate_new(&set) < 0) abort();
	enum hg_rc rc =
	        gotemplate_add(set, HG_STR("t"), "t", (struct hg_str){copy, size}, names, &err);
	HG_ASSERT(rc == HG_OK || rc == HG_E_TEMPLATE || rc == HG_E_NOMEM);
	HG_ASSERT(rc != HG_E_TEMPLATE || (err.line >= 1 && err.column >= 1 && err.message[0]));
	free(copy); /* everything was copied */
	for (int html = 0; rc == HG_OK && html < 2; html++) {
		struct gotemplate_env env = {.html = html};
		hg_arena_init(&mem, "fuzz", 1 << 20);
		hg_buf_init(&to, 1 << 16);
		enum hg_rc ran =
		        gotemplate_run(set, HG_STR("t"), &dot, values, &env, &mem, &to, &err);
		HG_ASSERT(ran == HG_OK || ran == HG_E_TEMPLATE || ran == HG_E_TOO_LARGE);
		HG_ASSERT(to.n <= 1 << 16);
		hg_buf_free(&to);
		hg_arena_fini(&mem);
	}
	gotemplate_free(set);
	return 0;
}
