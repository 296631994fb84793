/* What is shown beside rules in force: what is probably wrong with their text, which is known when
 * they come, and series that they name and that are not there, which are looked for later. */
#include "rules_priv.h"

#include <stdio.h>
#include <stdlib.h>

static void note_add(struct rules_live_group *g, const struct rules_note *note)
{
	if (g->note_n == g->note_cap) {
		uint32_t cap = g->note_cap ? g->note_cap * 2 : 4;
		struct rules_note *more = realloc(g->notes, cap * sizeof *more);
		if (!more) return;
		g->notes = more;
		g->note_cap = cap;
	}
	g->notes[g->note_n++] = *note;
}

struct making {
	struct rules_live_group *groups;
	uint32_t n;
};

static void on_found(void *arg, const struct rules_finding *y)
{
	const struct making *x = arg;
	struct rules_note note = {0};
	(void)snprintf(note.message, sizeof note.message, "%s", y->message);
	(void)snprintf(note.hint, sizeof note.hint, "%s", y->hint);
	for (uint32_t i = 0; i < x->n; i++)
		for (note.rule = 0; note.rule < x->groups[i].n; note.rule++)
			if (x->groups[i].rules[note.rule].rule == y->rule) {
				note_add(&x->groups[i], &note);
				return;
			}
}

void rules_notes_make(struct rules_live_group *groups, uint32_t n, int64_t every_ms)
{
	const struct rules_lint_options o = {.every_ms = every_ms};
	struct making x = {.groups = groups};
	/* Groups of a file are beside each other. */
	for (uint32_t from = 0; from < n; from += x.n) {
		x.groups = &groups[from];
		for (x.n = 1; from + x.n < n && groups[from + x.n].file == x.groups->file;)
			x.n++;
		if (!hg_str_eq(x.groups->file->text, rules_builtin()))
			rules_find(x.groups->file, &o, on_found, &x);
	}
}

void rules_note_missing(struct rules_live_group *g, uint32_t rule, const char *message)
{
	struct rules_note note = {.rule = rule, .missing = true};
	(void)snprintf(note.message, sizeof note.message, "%s", message);
	note_add(g, &note);
}

void rules_notes_found(struct rules_live_group *g)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < g->note_n; i++)
		if (!g->notes[i].missing) g->notes[kept++] = g->notes[i];
	g->note_n = kept;
}
