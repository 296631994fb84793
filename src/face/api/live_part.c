/* What changed since a reader last looked: pure. */
#include "live_priv.h"

#include <stdlib.h>

void live_part_init(struct live_part *p)
{
	*p = (struct live_part){0};
	hg_buf_init(&p->text, LIVE_TEXT_MAX);
}

void live_part_free(struct live_part *p)
{
	hg_buf_free(&p->text);
	p->turn = 0;
}

bool live_part_set(struct live_part *p, struct hg_buf *fresh, uint64_t turn)
{
	bool other = !fresh->failed &&
	             (!p->turn || !hg_str_eq(hg_buf_view(fresh), hg_buf_view(&p->text)));
	if (other) {
		struct hg_buf old = p->text;
		p->text = *fresh;
		*fresh = old;
		p->turn = turn;
	}
	hg_buf_reset(fresh);
	return other;
}

/* ---- rows ---- */

static struct live_row *row_find(const struct live_rows *rows, const char *name, uint32_t hint)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		struct live_row *row = rows->at[(hint + i) % rows->n];
		if (strcmp(row->name, name) == 0) return row;
	}
	return NULL;
}

struct live_row *live_row_open(struct live_rows *rows, const char *name, uint32_t hint)
{
	struct live_row *row = row_find(rows, name, hint);
	if (row) return row;
	if (rows->n == rows->cap) {
		uint32_t cap = rows->cap ? rows->cap * 2 : 16;
		struct live_row **more = realloc(rows->at, cap * sizeof(struct live_row *));
		if (!more) return NULL;
		rows->at = more;
		rows->cap = cap;
	}
	row = calloc(1, sizeof *row);
	if (!row || !hg_str_copy(hg_str(name), row->name, sizeof row->name)) {
		free(row);
		return NULL;
	}
	live_part_init(&row->head);
	live_part_init(&row->replicas);
	/* Where it is looked for in the next turn. */
	uint32_t at = HG_MIN(hint, rows->n);
	memmove(&rows->at[at + 1], &rows->at[at], (rows->n - at) * sizeof(struct live_row *));
	rows->at[at] = row;
	rows->n++;
	return row;
}

static void row_free(struct live_row *row)
{
	live_part_free(&row->head);
	live_part_free(&row->replicas);
	free(row);
}

void live_rows_sweep(struct live_rows *rows, uint64_t turn, uint64_t least)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < rows->n; i++) {
		struct live_row *row = rows->at[i];
		if (row->looked == turn) {
			row->gone = 0;
		} else if (!row->gone) {
			row->gone = turn;
			/* Whatever it is when it comes back, it is news. */
			live_part_free(&row->head);
			live_part_free(&row->replicas);
		} else if (row->gone <= least) {
			row_free(row);
			continue;
		}
		rows->at[kept++] = row;
	}
	rows->n = kept;
}

/* The head is an object, which the replicas are put into where they changed. */
static void row_write(const struct live_row *row, uint64_t seen, struct hg_buf *to)
{
	struct hg_str head = hg_buf_view(&row->head.text);
	if (row->replicas.turn <= seen) {
		hg_buf_str(to, head);
		return;
	}
	hg_buf_str(to, (struct hg_str){head.p, head.n - 1});
	hg_buf_cstr(to, ",\"replicas\":");
	hg_buf_str(to, hg_buf_view(&row->replicas.text));
	hg_buf_byte(to, '}');
}

static bool changed(const struct live_row *row, uint64_t seen)
{
	return !row->gone && (row->head.turn > seen || row->replicas.turn > seen);
}

bool live_rows_write(const struct live_rows *rows, uint64_t seen, struct hg_buf *to)
{
	bool any = seen == 0;
	for (uint32_t i = 0; i < rows->n && !any; i++)
		any = changed(rows->at[i], seen) || rows->at[i]->gone > seen;
	if (!any) return false;
	hg_buf_fmt(to, "{\"all\":%s,\"apps\":[", seen ? "false" : "true");
	const char *comma = "";
	for (uint32_t i = 0; i < rows->n; i++) {
		if (!changed(rows->at[i], seen)) continue;
		hg_buf_cstr(to, comma);
		row_write(rows->at[i], seen, to);
		comma = ",";
	}
	hg_buf_cstr(to, "],\"gone\":[");
	comma = "";
	for (uint32_t i = 0; i < rows->n; i++) {
		/* Who is given all knows of none that was there before. */
		if (seen == 0 || rows->at[i]->gone <= seen) continue;
		hg_buf_cstr(to, comma);
		json_quote(to, hg_str(rows->at[i]->name));
		comma = ",";
	}
	hg_buf_cstr(to, "]}");
	return true;
}

void live_rows_free(struct live_rows *rows)
{
	for (uint32_t i = 0; i < rows->n; i++)
		row_free(rows->at[i]);
	free(rows->at);
	*rows = (struct live_rows){0};
}
