/*
 * Every bad/NAME.yaml must give exactly bad/NAME.txt; NAME@ENV is loaded with that environment.
 * RENEW=1 in the environment writes the texts anew: read the difference before committing it.
 */
#include "../test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "spec/spec.h"

#define FILES_MAX 256

static size_t read_all(const char *path, char *to, size_t cap)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(to, 1, cap - 1, f) : 0;
	if (f) fclose(f);
	to[n] = 0;
	return n;
}

static void report_of(const char *path, const char *name, struct hg_buf *to)
{
	struct hg_arena a;
	struct spec *spec = NULL;
	struct spec_report *r = calloc(1, sizeof *r);
	char *text = malloc(SPEC_FILE_MAX);
	char env[64] = "";
	const char *at = strchr(name, '@');
	assert_non_null(r);
	assert_non_null(text);
	hg_arena_init(&a, "test", 64u << 20);
	if (at) hg_str_copy((struct hg_str){at + 1, strlen(at + 1) - 5}, env, sizeof env);
	struct spec_source from = {
	        .text = {text, read_all(path, text, SPEC_FILE_MAX)},
	        .file = name,
	        .environment = at ? env : NULL,
	};
	enum hg_rc rc = spec_load(&from, &a, r, &spec);
	if (rc == HG_OK) rc = spec_check(spec, r);
	assert_true(rc == HG_OK ? r->error_count == 0 : r->error_count > 0);
	spec_report_print(r, to);
	hg_arena_fini(&a);
	free(text);
	free(r);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void every_faulty_file_gives_its_exact_message(void **s)
{
	static char want[1u << 16];
	char path[512], *names[FILES_MAX];
	size_t n = 0, wrong = 0;
	DIR *d = opendir(TEST_DATA "/bad");
	(void)s;
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) && n < FILES_MAX;) {
		if (hg_str_ends(hg_str(e->d_name), HG_STR(".yaml"))) names[n++] = strdup(e->d_name);
	}
	closedir(d);
	qsort(names, n, sizeof *names, by_name);
	assert_true(n >= 40);
	for (size_t i = 0; i < n; i++) {
		struct hg_buf have;
		hg_buf_init(&have, 1u << 16);
		snprintf(path, sizeof path, TEST_DATA "/bad/%s", names[i]);
		report_of(path, names[i], &have);
		assert_true(have.n > 0); /* a file that says nothing is not faulty */
		memcpy(path + strlen(path) - 4, "txt", 4);
		if (getenv("RENEW")) {
			FILE *f = fopen(path, "we");
			assert_non_null(f);
			fputs(hg_buf_text(&have), f);
			fclose(f);
		}
		read_all(path, want, sizeof want);
		if (strcmp(hg_buf_text(&have), want) != 0) {
			print_error(
			        "%s\n--- have\n%s--- want\n%s", names[i], hg_buf_text(&have), want);
			wrong++;
		}
		hg_buf_free(&have);
		free(names[i]);
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_faulty_file_gives_its_exact_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
