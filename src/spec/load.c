/*
 * The stages of loading: text → tree → flat form and shorthands written out → overlay laid on →
 * health and domain written out → struct.
 */
#include "spec/spec_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool nomem(struct spec_loading *l, const void *p)
{
	if (p) return false;
	if (!l->nomem)
		spec_err_say(spec_report_error(l->report, HG_E_NOMEM, 0, 0),
		        "no memory for the configuration");
	l->nomem = true;
	return true;
}

/* ---- flat form ---- */

/* Keys of an app at top level move to apps.NAME. */
static void flat_move(struct spec_loading *l, struct spec_node *tree, struct spec_node *app_key,
        struct hg_str app)
{
	const struct spec_group *app_group = spec_key_get(spec_root, "apps")->of;
	const struct spec_node *like = app_key;
	struct spec_node *inner = NULL, *apps = NULL;
	for (struct spec_node *c = tree->first, *next; c; c = next) {
		next = c->next;
		if (spec_key_find(spec_root, c->key)) continue;
		bool alias = false;
		for (size_t i = 0; i < app_group->alias_count; i++)
			alias = alias || hg_str_eq(hg_str(app_group->aliases[i].name), c->key);
		if (!spec_key_find(app_group, c->key) && !alias &&
		        !spec_key_near(app_group, c->key, 2))
			continue;
		if (!inner) {
			if (!like) like = c;
			apps = spec_node_like(l->a, like, SPEC_N_MAP, "apps");
			inner = spec_node_like(l->a, like, SPEC_N_MAP, app.p);
			if (nomem(l, apps) || nomem(l, inner)) return;
		}
		spec_node_remove(tree, c);
		spec_node_add(inner, c);
	}
	if (!inner && app_key) {
		apps = spec_node_like(l->a, app_key, SPEC_N_MAP, "apps");
		inner = spec_node_like(l->a, app_key, SPEC_N_MAP, app.p);
		if (nomem(l, apps) || nomem(l, inner)) return;
	}
	if (!inner) return;
	apps->by = inner->by = "app";
	spec_node_add(apps, inner);
	spec_node_add(tree, apps);
}

static void flat(struct spec_loading *l, struct spec_node *tree, struct hg_str flat_app)
{
	struct spec_node *app = spec_node_get(tree, "app"), *apps = spec_node_get(tree, "apps");
	if (app && apps) {
		struct hg_err *e = spec_report_error(
		        l->report, HG_E_CONFIG_CONFLICT, app->key_line, app->key_column);
		spec_err_say(e, "\"app\" and \"apps\" exclude each other");
		hg_err_hint(e, "move the app's keys under `apps: {NAME: …}`");
		for (struct spec_node *c = tree->first, *next; c; c = next) {
			next = c->next;
			if (!spec_key_find(spec_root, c->key)) spec_node_remove(tree, c);
		}
		return;
	}
	if (app && (app->kind != SPEC_N_SCALAR || !app->text.n)) return; /* the binder reports it */
	if (app) {
		flat_move(l, tree, app, app->text);
		return;
	}
	if (flat_app.n && !apps) {
		flat_move(l, tree, NULL, flat_app);
		return;
	}
	const struct spec_group *app_group = spec_key_get(spec_root, "apps")->of;
	for (struct spec_node *c = tree->first, *next; c; c = next) {
		next = c->next;
		if (spec_key_find(spec_root, c->key) || !spec_key_find(app_group, c->key)) continue;
		struct hg_err *e = spec_report_error(
		        l->report, HG_E_CONFIG_UNKNOWN_KEY, c->key_line, c->key_column);
		spec_err_say(e, "\"%.*s\" belongs to an app", HG_STR_ARG(c->key));
		hg_err_hint(e,
		        apps ? "move it under `apps: {NAME: …}`"
		             : "add `app: NAME` at top level, or move it under `apps: {NAME: …}`");
		spec_node_remove(tree, c);
	}
}

/* ---- shorthands ---- */

static void shorthand(struct spec_loading *l, const struct spec_group *g, struct spec_node *map)
{
	if (map->kind != SPEC_N_MAP) return;
	for (struct spec_node *c = map->first; c; c = c->next) {
		const struct spec_key *k = spec_key_find(g, c->key);
		if (!k || !k->of || k->kind == SPEC_K_OVERLAYS) continue;
		const char *shortly = k->of->shorthand;
		if (k->kind == SPEC_K_GROUP) {
			if (shortly && c->kind == SPEC_N_SCALAR && (c->text.n || c->quoted)) {
				struct spec_node *value =
				        spec_node_like(l->a, c, SPEC_N_SCALAR, shortly);
				if (nomem(l, value)) return;
				value->text = c->text;
				value->quoted = c->quoted;
				c->kind = SPEC_N_MAP;
				c->by = shortly;
				spec_node_add(c, value);
			}
			shorthand(l, k->of, c);
		} else if (c->kind != SPEC_N_SCALAR) {
			for (struct spec_node *item = c->first; item; item = item->next) {
				if (shortly && k->kind == SPEC_K_MAP &&
				        item->kind == SPEC_N_SCALAR && item->text.n) {
					struct spec_node *v =
					        spec_node_like(l->a, item, SPEC_N_SCALAR, shortly);
					if (nomem(l, v)) return;
					v->text = item->text;
					v->quoted = item->quoted;
					item->kind = SPEC_N_MAP;
					item->by = shortly;
					spec_node_add(item, v);
				}
				shorthand(l, k->of, item);
			}
		}
	}
}

void spec_tidy_tree(struct spec_loading *l, struct spec_node *tree, struct hg_str flat_app)
{
	flat(l, tree, flat_app);
	shorthand(l, spec_root, tree);
}

/* ---- overlays ---- */

/* An overlay's domain is the host of every route it does not list itself. */
static void merge_domain(struct spec_node *base, const struct spec_node *over)
{
	struct spec_node *routes = spec_node_get(base, "routes");
	if (!routes || !spec_node_get(over, "domain") || spec_node_get(over, "routes")) return;
	for (struct spec_node *r = routes->first; r; r = r->next) {
		struct spec_node *host = spec_node_get(r, "host");
		if (host) spec_node_remove(r, host);
	}
}

static void node_replace(struct spec_node *map, struct spec_node *was, struct spec_node *now)
{
	struct spec_node *next = was->next;
	struct spec_node *before = NULL;
	for (struct spec_node *c = map->first; c != was; c = c->next)
		before = c;
	if (before)
		before->next = now;
	else
		map->first = now;
	now->next = next;
	if (map->last == was) map->last = now;
}

void spec_merge(const struct spec_group *g, struct spec_node *base, struct spec_node *over)
{
	static const struct spec_group any = {.name = "pairs"};
	if (hg_str_eq(hg_str(g->name), HG_STR("app"))) merge_domain(base, over);
	for (struct spec_node *o = over->first, *next; o; o = next) {
		next = o->next;
		const struct spec_key *k = spec_key_find(g, o->key);
		struct spec_node *b = NULL;
		for (b = base->first; b && !hg_str_eq(b->key, o->key);)
			b = b->next;
		spec_node_remove(over, o);
		if (!b) {
			spec_node_add(base, o);
		} else if (b->kind != SPEC_N_MAP || o->kind != SPEC_N_MAP || !k) {
			node_replace(base, b, o);
		} else if (k->kind == SPEC_K_PAIRS) {
			spec_merge(&any, b, o);
		} else if (k->kind == SPEC_K_MAP) {
			for (struct spec_node *i = o->first, *after; i; i = after) {
				after = i->next;
				struct spec_node *same = b->first;
				while (same && !hg_str_eq(same->key, i->key))
					same = same->next;
				if (same && same->kind == SPEC_N_MAP && i->kind == SPEC_N_MAP) {
					spec_merge(k->of, same, i);
				} else {
					spec_node_remove(o, i);
					spec_node_add(b, i);
				}
			}
		} else {
			spec_merge(k->of, b, o);
		}
	}
}

static void layer_set(struct spec_node *n, const char *layer)
{
	n->layer = layer;
	for (struct spec_node *c = n->first; c; c = c->next)
		layer_set(c, layer);
}

/* Keys of the environment itself (branch, protected) leave the overlay. */
static struct spec_node *environment_keys(
        struct spec_loading *l, const struct spec_group *g, struct spec_node *env)
{
	struct spec_node *own = spec_node_like(l->a, env, SPEC_N_MAP, NULL);
	if (nomem(l, own)) return NULL;
	own->key = env->key;
	for (struct spec_node *c = env->first, *next; c; c = next) {
		next = c->next;
		if (!spec_key_find(g, c->key)) continue;
		spec_node_remove(env, c);
		spec_node_add(own, c);
	}
	return own;
}

/* Every overlay is checked, chosen or not; returns the chosen one. */
static struct spec_node *overlays_check(struct spec_loading *l, struct spec_node *tree,
        struct hg_str flat_app, const char *chosen, struct spec_node **ret_own)
{
	const struct spec_key *k = spec_key_get(spec_root, "environments");
	struct spec_node *envs = spec_node_get(tree, "environments"), *found = NULL;
	char what[128];
	*ret_own = NULL;
	if (!envs || envs->kind != SPEC_N_MAP) return NULL;
	for (struct spec_node *e = envs->first; e && !l->nomem; e = e->next) {
		if (e->kind != SPEC_N_MAP) continue; /* the binder reports it */
		struct spec_node *over = hg_arena_take(l->a, sizeof *over);
		void *scratch = hg_arena_take(l->a, spec_root->size);
		if (nomem(l, over) || nomem(l, scratch)) return NULL;
		*over = *e;
		over->next = NULL;
		struct spec_node *own = environment_keys(l, k->of, over);
		if (!own) return NULL;
		/* the binder sees branch and protected, and nothing of the overlay */
		e->first = own->first;
		e->last = own->last;
		e->count = own->count;
		layer_set(over, e->key.p);
		snprintf(what, sizeof what, "environments.%.*s", (int)HG_MIN(e->key.n, 64),
		        e->key.p);
		struct spec_node *nested = spec_node_get(over, "environments");
		if (nested) {
			struct hg_err *err = spec_report_error(l->report, HG_E_CONFIG_UNKNOWN_KEY,
			        nested->key_line, nested->key_column);
			spec_err_say(err, "an environment cannot contain environments");
			spec_node_remove(over, nested);
		}
		spec_tidy_tree(l, over, flat_app);
		bool partial = l->partial;
		l->partial = true;
		spec_bind(l, spec_root, over, what, scratch);
		l->partial = partial;
		if (chosen && hg_str_eq(e->key, hg_str(chosen))) {
			found = over;
			*ret_own = e;
		}
	}
	return found;
}

static void environment_unknown(
        struct spec_loading *l, const struct spec_node *tree, const char *chosen)
{
	const struct spec_node *envs = spec_node_get(tree, "environments");
	struct hg_err *e = spec_report_error(l->report, HG_E_CONFIG_ENVIRONMENT,
	        envs ? envs->key_line : 0, envs ? envs->key_column : 0);
	char text[sizeof e->hint - 64];
	struct hg_out o = hg_out_over(text, sizeof text - 1);
	spec_err_say(e, "there is no environment \"%.64s\"", chosen);
	if (!envs || !envs->first) {
		hg_err_hint(e, "the file has no `environments:`");
		return;
	}
	for (const struct spec_node *c = envs->first; c; c = c->next) {
		if (hg_str_distance(c->key, hg_str(chosen)) <= 2) {
			hg_err_hint(
			        e, "did you mean \"%.*s\"?", (int)HG_MIN(c->key.n, 64), c->key.p);
			return;
		}
		hg_out_fmt(&o, "%s%.*s", c == envs->first ? "" : ", ", HG_STR_ARG(c->key));
	}
	text[o.n] = 0;
	hg_err_hint(e, "there are: %s", text);
}

/* ---- health and domain ---- */

static struct spec_node *text_node(struct spec_loading *l, const struct spec_node *like,
        const char *key, struct hg_str text, const char *by)
{
	struct spec_node *n = spec_node_like(l->a, like, SPEC_N_SCALAR, key);
	if (nomem(l, n)) return NULL;
	n->text = text;
	n->by = by;
	return n;
}

static struct spec_node *child_map(struct spec_loading *l, struct spec_node *map,
        const struct spec_node *like, const char *key)
{
	struct spec_node *n = spec_node_get(map, key);
	if (n) return n;
	n = spec_node_like(l->a, like, SPEC_N_MAP, key);
	if (nomem(l, n)) return NULL;
	n->by = like->key.p;
	spec_node_add(map, n);
	return n;
}

static void expand_health(struct spec_loading *l, struct spec_node *app)
{
	const struct spec_node *health = spec_node_get(app, "health");
	if (!health || health->kind != SPEC_N_SCALAR || !health->text.n) return;
	struct spec_node *probes = child_map(l, app, health, "probes");
	if (!probes || probes->kind != SPEC_N_MAP) return;
	static const char *const which[] = {"startup", "readiness"};
	for (size_t i = 0; i < HG_COUNT(which); i++) {
		if (spec_node_get(probes, which[i])) continue;
		struct spec_node *probe = child_map(l, probes, health, which[i]);
		struct spec_node *http = text_node(l, health, "http", health->text, "health");
		if (!probe || !http) return;
		spec_node_add(probe, http);
		if (i) continue;
		struct spec_node *every = text_node(l, health, "every", HG_STR("1s"), "health");
		struct spec_node *failures =
		        text_node(l, health, "failures", HG_STR("60"), "health");
		if (!every || !failures) return;
		spec_node_add(probe, every);
		spec_node_add(probe, failures);
	}
}

static void expand_domain(struct spec_loading *l, struct spec_node *app)
{
	const struct spec_node *domain = spec_node_get(app, "domain");
	struct spec_node *routes = spec_node_get(app, "routes");
	if (!domain || domain->kind != SPEC_N_SCALAR || !domain->text.n) return;
	if (!routes) {
		routes = spec_node_like(l->a, domain, SPEC_N_LIST, "routes");
		struct spec_node *route = spec_node_like(l->a, domain, SPEC_N_MAP, NULL);
		struct spec_node *path = text_node(l, domain, "path", HG_STR("/"), "domain");
		if (nomem(l, routes) || nomem(l, route) || !path) return;
		routes->by = route->by = "domain";
		spec_node_add(route, path);
		spec_node_add(routes, route);
		spec_node_add(app, routes);
	}
	for (struct spec_node *r = routes->first; r; r = r->next) {
		if (r->kind != SPEC_N_MAP || spec_node_get(r, "host")) continue;
		struct spec_node *host = text_node(l, domain, "host", domain->text, "domain");
		if (!host) return;
		spec_node_add(r, host);
	}
}

void spec_expand_apps(struct spec_loading *l, struct spec_node *tree)
{
	struct spec_node *apps = spec_node_get(tree, "apps");
	if (!apps || apps->kind != SPEC_N_MAP) return;
	for (struct spec_node *a = apps->first; a; a = a->next) {
		if (a->kind != SPEC_N_MAP) continue;
		expand_health(l, a);
		expand_domain(l, a);
	}
}

/* ---- all of it ---- */

static void project_default(struct spec_loading *l, struct spec *s)
{
	if (s->project.n) return;
	if (s->app_count == 1) {
		s->project = s->apps[0].name;
	} else if (s->app_count > 1) {
		struct hg_err *e = spec_report_error(l->report, HG_E_CONFIG_MISSING, 1, 1);
		spec_err_say(e, "\"project\" is missing");
		hg_err_hint(e, "add `project: NAME` at the top of the file");
	}
}

static enum hg_rc load(struct spec_loading *l, const struct spec_source *from,
        struct spec_node *tree, struct spec **ret_spec)
{
	struct spec *s = hg_arena_take(l->a, sizeof *s);
	struct spec_origin *origin = hg_arena_take(l->a, sizeof *origin);
	struct spec_node *own = NULL, *app = NULL;
	if (nomem(l, s) || nomem(l, origin)) return HG_E_NOMEM;
	app = spec_node_get(tree, "app");
	struct hg_str flat_app = app && app->kind == SPEC_N_SCALAR ? app->text : (struct hg_str){0};
	spec_tidy_tree(l, tree, flat_app);
	struct spec_node *over = overlays_check(l, tree, flat_app, from->environment, &own);
	if (from->environment && !over) environment_unknown(l, tree, from->environment);
	if (over) { /* the base may be incomplete without it, but not wrong */
		l->partial = true;
		spec_bind(l, spec_root, tree, "", s);
		l->partial = false;
		if (l->report->error_count) return spec_report_rc(l->report);
		*s = (struct spec){0};
		spec_merge(spec_root, tree, over);
	}
	spec_expand_apps(l, tree);
	spec_bind(l, spec_root, tree, "", s);
	if (!l->report->error_count) project_default(l, s);
	for (uint32_t i = 0; i < s->app_count; i++) /* on is the default where it is spoken of */
		if (!s->apps[i].upstream.tls.set) s->apps[i].upstream.tls.enabled = false;
	*origin = (struct spec_origin){.tree = tree,
	        .environment = own,
	        .root = spec_root,
	        .environment_name = over ? own->key.p : NULL,
	        .file = l->report->file,
	        .text = l->report->text,
	        .dir = hg_arena_str(l->a, hg_str(from->dir ? from->dir : ""))};
	if (nomem(l, origin->dir.p)) return HG_E_NOMEM;
	s->origin = origin;
	if (!l->report->error_count) *ret_spec = s;
	return spec_report_rc(l->report);
}

enum hg_rc spec_load(const struct spec_source *from, struct hg_arena *a, struct spec_report *report,
        struct spec **ret_spec)
{
	struct spec_loading l = {.a = a, .report = report};
	struct spec_node *tree = NULL;
	spec_report_init(report, hg_str(from->file), from->text);
	enum hg_rc rc = spec_yaml_parse(from->text, a, report, &tree);
	if (rc < 0) goto out;
	struct hg_str text = hg_arena_str(a, from->text),
	              file = hg_arena_str(a, hg_str(from->file));
	if (nomem(&l, text.p) || nomem(&l, file.p)) goto out;
	report->text = text;
	report->file = file;
	if (!tree || (tree->kind == SPEC_N_SCALAR && !tree->text.n)) {
		struct hg_err *e = spec_report_error(report, HG_E_CONFIG_MISSING, 0, 0);
		spec_err_say(e, "the configuration is empty");
		hg_err_hint(e, "`headgate init` writes a first one");
	} else if (tree->kind != SPEC_N_MAP) {
		struct hg_err *e =
		        spec_report_error(report, HG_E_CONFIG_TYPE, tree->line, tree->column);
		spec_err_say(e, "the configuration must be a mapping of keys, not a %s",
		        tree->kind == SPEC_N_LIST ? "list" : "text");
		hg_err_hint(e, "start with `version: 1`");
	} else {
		rc = load(&l, from, tree, ret_spec);
	}
out:
	spec_report_sort(report);
	return spec_report_rc(report);
}

static enum hg_rc file_error(struct spec_report *r, const char *why)
{
	struct hg_err *e = spec_report_error(r, HG_E_CONFIG_FILE, 0, 0);
	spec_err_say(e, "could not read the configuration \"%.*s\": %s",
	        (int)HG_MIN(r->file.n, 160), r->file.p, why);
	return e->rc;
}

/* The whole file into the arena, at most SPEC_FILE_MAX bytes. */
static enum hg_rc file_read(
        int fd, struct hg_arena *a, struct spec_report *r, struct hg_str *ret_text)
{
	struct stat st;
	char *text;
	size_t n = 0;
	if (fstat(fd, &st) != 0) return file_error(r, strerror(errno));
	if (!S_ISREG(st.st_mode)) return file_error(r, "it is not a regular file");
	if (st.st_size > (off_t)SPEC_FILE_MAX) {
		struct hg_err *e = spec_report_error(r, HG_E_CONFIG_LIMIT, 0, 0);
		spec_err_say(e, "the file has too many bytes; the limit is %u", SPEC_FILE_MAX);
		return e->rc;
	}
	text = hg_arena_take(a, (size_t)st.st_size + 1);
	if (!text) return file_error(r, "no memory");
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, text + n, (size_t)st.st_size - n);
		if (got < 0 && errno == EINTR) continue;
		if (got < 0) return file_error(r, strerror(errno));
		if (got == 0) break; /* it was cut short meanwhile */
		n += (size_t)got;
	}
	*ret_text = (struct hg_str){text, n};
	return HG_OK;
}

enum hg_rc spec_load_file(const char *path, const char *environment, struct hg_arena *a,
        struct spec_report *report, struct spec **ret_spec)
{
	struct spec_source from = {.file = path, .environment = environment};
	spec_report_init(report, hg_str(path), (struct hg_str){0});
	/* O_NONBLOCK: a FIFO must not hold us up before we know it is one */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		int why = errno;
		enum hg_rc rc = file_error(report, strerror(why));
		if (why == ENOENT)
			hg_err_hint(&report->errors[0],
			        "`headgate init` writes a first one; another file "
			        "is named with -f");
		return rc;
	}
	enum hg_rc rc = file_read(fd, a, report, &from.text);
	close(fd);
	return rc < 0 ? rc : spec_load(&from, a, report, ret_spec);
}
