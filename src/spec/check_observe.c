/* What the keys of `observe` must agree on. */
#include "spec/spec_priv.h"

struct checking {
	const struct spec *s;
	struct spec_report *r;
};

static const struct spec_node *below(const struct spec_node *n, const char *key)
{
	const struct spec_node *c = n ? spec_node_get(n, key) : NULL;
	return c ? c : n;
}

static const struct spec_node *item(const struct spec_node *list, uint32_t at)
{
	const struct spec_node *c = list ? list->first : NULL;
	while (c && at--)
		c = c->next;
	return c ? c : list;
}

static struct hg_err *fail(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	return spec_report_error(c->r, rc, at ? at->line : 0, at ? at->column : 0);
}

static void check_relabel(
        struct checking *c, const struct spec_relabel *r, const struct spec_node *at)
{
	bool names = r->action == SPEC_RELABEL_ACTION_LABELDROP ||
	             r->action == SPEC_RELABEL_ACTION_LABELKEEP ||
	             r->action == SPEC_RELABEL_ACTION_LABELMAP;
	bool picks = r->action == SPEC_RELABEL_ACTION_KEEP || r->action == SPEC_RELABEL_ACTION_DROP;
	if (r->action == SPEC_RELABEL_ACTION_REPLACE && !r->target_label.n) {
		struct hg_err *e = fail(c, HG_E_CONFIG_MISSING, at);
		spec_err_say(e, "a rule that replaces has no \"target_label\"");
		hg_err_hint(e, "name the label that it writes: `target_label: NAME`");
	}
	if (picks && !r->source_label_count) {
		struct hg_err *e = fail(c, HG_E_CONFIG_MISSING, below(at, "action"));
		spec_err_say(e, "a rule that keeps or drops series has no \"source_labels\"");
		hg_err_hint(e, "for metrics by name: `source_labels: [__name__]`");
	}
	if (names && (r->source_label_count || r->target_label.n)) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "action"));
		spec_err_say(e, "this action looks at the names of labels: only \"regex\" says "
		                "something");
		hg_err_hint(e, "drop `source_labels` and `target_label`");
	}
}

static void check_remote_write(struct checking *c, uint32_t i, const struct spec_node *at)
{
	const struct spec_remote_write *w = &c->s->observe.remote_write[i];
	for (uint32_t k = 0; k < i; k++) {
		if (!hg_str_eq(w->name, c->s->observe.remote_write[k].name)) continue;
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "name"));
		spec_err_say(e, "two receivers have the name \"%.*s\"", HG_STR_ARG(w->name));
		hg_err_hint(e, "each has a position of its own, kept under its name");
		break;
	}
	if (w->user.n && w->token.n) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "token"));
		spec_err_say(e, "\"user\" and \"token\" are two ways to sign in");
		hg_err_hint(e, "keep one of them");
	}
	if (!w->user.n != !w->password.n) {
		struct hg_err *e =
		        fail(c, HG_E_CONFIG_MISSING, below(at, w->user.n ? "user" : "password"));
		spec_err_say(e, "\"user\" and \"password\" belong together");
		hg_err_hint(e, "`user: NAME` and `password: SECRET`, the name of a secret");
	}
	for (uint32_t k = 0; k < w->relabel_count; k++)
		check_relabel(c, &w->relabel[k], item(below(at, "relabel"), k));
}

static bool same_labels(const struct spec_target *a, const struct spec_target *b)
{
	bool same = a->label_count == b->label_count;
	for (uint32_t i = 0; same && i < a->label_count; i++)
		same = hg_str_eq(a->labels[i].name, b->labels[i].name) &&
		       hg_str_eq(a->labels[i].value, b->labels[i].value);
	return same;
}

/* Their series would be the same ones: each would overwrite what the other has found. */
static void check_target(struct checking *c, uint32_t i, const struct spec_node *at)
{
	const struct spec_target *t = c->s->observe.targets;
	for (uint32_t k = 0; k < i; k++) {
		if (!hg_str_eq(t[i].job, t[k].job) || !hg_str_eq(t[i].address, t[k].address) ||
		        !same_labels(&t[i], &t[k]))
			continue;
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "address"));
		spec_err_say(e, "the job \"%.*s\" has the target %.*s twice", HG_STR_ARG(t[i].job),
		        HG_STR_ARG(t[i].address));
		hg_err_hint(e, "give one of them another `job`, or `labels` that tell them apart");
		break;
	}
}

void spec_check_observe(const struct spec *s, struct spec_report *report)
{
	struct checking c = {.s = s, .r = report};
	const struct spec_node *list = below(below(s->origin->tree, "observe"), "remote_write");
	for (uint32_t i = 0; i < s->observe.remote_write_count; i++)
		check_remote_write(&c, i, item(list, i));
	list = below(below(s->origin->tree, "observe"), "targets");
	for (uint32_t i = 0; i < s->observe.target_count; i++)
		check_target(&c, i, item(list, i));
}
