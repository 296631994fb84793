/*
 * For re_python.py: lines "FLAGS HEX-OF-PATTERN HEX-OF-TEXT" on stdin; a line of answer each:
 * "error TEXT", or "MATCH SEARCH from,to …" with the groups of the search, "-" for none.
 */
#include "wire/re.h"

#include <stdio.h>
#include <stdlib.h>

static struct hg_str unhex(char *text)
{
	size_t n = 0;
	for (char *p = text; p[0] && p[1]; p += 2) {
		char two[3] = {p[0], p[1], 0};
		text[n++] = (char)strtoul(two, NULL, 16);
	}
	return (struct hg_str){text, n};
}

static void answer(unsigned flags, struct hg_str pattern, struct hg_str text)
{
	struct re_group g[RE_GROUPS_MAX];
	struct hg_err err = {0};
	struct re *re = NULL;
	if (re_compile(pattern, flags, &re, &err) < 0) {
		printf("error %s\n", err.message);
		return;
	}
	bool match = re_match(re, text), search = re_search(re, text, g, re_groups(re));
	printf("%d %d", match, search);
	for (size_t i = 0; search && i < re_groups(re); i++) {
		if (g[i].p)
			printf(" %zu,%zu", (size_t)(g[i].p - text.p),
			        (size_t)(g[i].p - text.p) + g[i].n);
		else
			printf(" -");
	}
	printf("\n");
	re_free(re);
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;
	while (getline(&line, &cap, stdin) > 0) {
		char *save = NULL, *flags = strtok_r(line, " \n", &save);
		char *pattern = strtok_r(NULL, " \n", &save), *text = strtok_r(NULL, " \n", &save);
		if (!flags || !pattern || !text) return 2;
		/* "x" stands before each, so that an empty one is a word. */
		answer((unsigned)strtoul(flags, NULL, 10), unhex(pattern + 1), unhex(text + 1));
	}
	free(line);
	return 0;
}
