/* The pages that the edge sends with errors of its own. */
#include "control/fleet/fleet_priv.h"

#include "os/file.h"

#include <stdio.h>

/* "502", or "5xx" for all of a class; checked while the file was read. */
static void codes_of(struct hg_str text, uint32_t *ret_from, uint32_t *ret_to)
{
	bool whole = text.p[1] == 'x';
	*ret_from = (uint32_t)(text.p[0] - '0') * 100;
	if (!whole) *ret_from += (uint32_t)(text.p[1] - '0') * 10 + (uint32_t)(text.p[2] - '0');
	*ret_to = whole ? *ret_from + 99 : *ret_from;
}

static enum hg_rc page_read(const char *base_dir, const struct spec_pair *p, struct fleet_conf *c,
        struct snap_in_page *to, struct hg_err *err)
{
	char path[PATH_MAX];
	struct hg_buf text;
	struct hg_err why = {0};
	bool whole = p->value.n && p->value.p[0] == '/';
	int n = snprintf(path, sizeof path, "%s%s%.*s", whole ? "" : base_dir, whole ? "" : "/",
	        HG_STR_ARG(p->value));
	hg_buf_init(&text, SNAP_PAGE_MAX + 1);
	enum hg_rc rc =
	        n < (int)sizeof path ? file_read(path, SNAP_PAGE_MAX, &text, &why) : HG_E_TOO_LARGE;
	if (rc < 0) {
		(void)hg_err_set(err, HG_E_CONFIG_PAGE,
		        "the page \"%.*s\" of app \"%s\" for %.*s could not be read: %s",
		        (int)HG_MIN(p->value.n, 200u), p->value.p, c->name, HG_STR_ARG(p->name),
		        rc == HG_E_TOO_LARGE ? "it has more than 64 KiB" : why.message);
		rc = HG_E_CONFIG_PAGE;
	} else {
		codes_of(p->name, &to->from, &to->to);
		to->body = hg_arena_str(&c->mem, hg_buf_view(&text));
		if (!to->body.p) rc = hg_err_set(err, HG_E_NOMEM, "the pages are too large");
	}
	hg_buf_free(&text);
	return rc;
}

enum hg_rc fleet_pages_read(struct fleet *f, struct fleet_conf *c, const struct spec_app *s,
        const char *base_dir, struct hg_err *err)
{
	if (s->error_page_count == 0) return HG_OK;
	c->pages = hg_arena_array(&c->mem, s->error_page_count, sizeof *c->pages);
	if (!c->pages) return hg_err_set(err, HG_E_NOMEM, "the pages are too large");
	for (uint32_t i = 0; i < s->error_page_count; i++) {
		struct hg_err why = {0};
		enum hg_rc rc =
		        page_read(base_dir, &s->error_pages[i], c, &c->pages[c->page_count], &why);
		if (rc == HG_OK) c->page_count++;
		/* A control that starts again has to go on with what it was given: then the edge's
		 * own words do. */
		bool restart = !f->applied && f->o.child->incarnation > 1;
		if (rc == HG_OK || (restart && rc == HG_E_CONFIG_PAGE)) continue;
		if (err) *err = why;
		return rc;
	}
	return HG_OK;
}
