/* What a release is made of, as JSON for the store and back. */
#include "control/fleet/fleet_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool path_join(const char *base, struct hg_str rel, char to[PATH_MAX])
{
	if (rel.n == 0 || hg_str_eq(rel, HG_STR(".")))
		return snprintf(to, PATH_MAX, "%s", base) < PATH_MAX;
	if (rel.p[0] == '/') return hg_str_copy(rel, to, PATH_MAX);
	return snprintf(to, PATH_MAX, "%s/%.*s", base, HG_STR_ARG(rel)) < PATH_MAX;
}

static json_t *text(struct hg_str s)
{
	return json_stringn(s.n ? s.p : "", s.n);
}

/* Only what is set: releases of before have no such keys, and are still the same. */
static bool limits_put(json_t *o, const struct spec_resources *r)
{
	const struct {
		const char *key;
		uint64_t v;
	} rows[] = {{"memory_max", r->limits.memory_bytes}, {"cpu_max_milli", r->limits.cpu_milli},
	        {"memory_low", r->requests.memory_bytes}, {"cpu_milli", r->requests.cpu_milli}};
	bool ok = true;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		if (!rows[i].v) continue;
		json_int_t v = (json_int_t)HG_MIN(rows[i].v, (uint64_t)INT64_MAX);
		ok = json_object_set_new(o, rows[i].key, json_integer(v)) == 0 && ok;
	}
	return ok;
}

/* How its replicas want to be spoken to; likewise. */
static bool transport_put(json_t *o, const struct spec_app *s)
{
	bool ok = !s->proxy_protocol ||
	          json_object_set_new(o, "proxy_protocol", json_integer(s->proxy_protocol)) == 0;
	if (s->upstream.tls.enabled)
		ok = ok && json_object_set_new(o, "upstream_tls", json_integer(1)) == 0;
	if (s->upstream.protocol != SPEC_UPSTREAM_PROTOCOL_HTTP2) return ok;
	return ok && json_object_set_new(o, "http2", json_true()) == 0;
}

static json_t *release_object(
        const struct spec_app *s, const char *dir, const char *folder, const char *digest)
{
	json_t *o = json_object(), *env = json_object(), *writable = json_array();
	char path[PATH_MAX];
	bool ok = o && env && writable;
	for (uint32_t i = 0; ok && i < s->env_count; i++)
		ok = json_object_setn_new(
		             env, s->env[i].name.p, s->env[i].name.n, text(s->env[i].value)) == 0;
	for (uint32_t i = 0; ok && i < s->sandbox.writable_count; i++) {
		ok = path_join(dir, s->sandbox.writable[i], path) &&
		     json_array_append_new(writable, json_string(path)) == 0;
	}
	unsigned flags = (s->sandbox.read_only_root ? WD_F_READ_ONLY_ROOT : 0) |
	                 (s->sandbox.private_tmp ? WD_F_PRIVATE_TMP : 0);
	ok = ok && json_object_set_new(o, "command", text(s->command)) == 0 &&
	     json_object_set_new(o, "dir", json_string(dir)) == 0 &&
	     json_object_set_new(o, "path", json_string(folder)) == 0 &&
	     json_object_set_new(o, "artifact", json_string(digest)) == 0 &&
	     json_object_set_new(o, "uid", json_integer(s->sandbox.user)) == 0 &&
	     json_object_set_new(o, "flags", json_integer(flags)) == 0 &&
	     json_object_set(o, "env", env) == 0 && json_object_set(o, "writable", writable) == 0 &&
	     limits_put(o, &s->resources) && transport_put(o, s);
	json_decref(env);
	json_decref(writable);
	if (ok) return o;
	json_decref(o);
	return NULL;
}

/* What the copy under `folder` was made of, so that a command that names it finds the copy. */
bool fleet_release_place(
        json_t *o, const char *artifact, const char *folder, const char *digest, bool kept)
{
	return json_object_set_new(o, "path", json_string(folder)) == 0 &&
	       json_object_set_new(o, "artifact", json_string(digest)) == 0 &&
	       json_object_set_new(o, "source", json_string(kept ? artifact : "")) == 0;
}

enum hg_rc fleet_release_dump(
        json_t *o, const char *app, struct hg_arena *mem, const char **ret_json, struct hg_err *err)
{
	char *text = o ? json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
	if (!text)
		return hg_err_set(err, HG_E_FLEET_COMMAND,
		        "app \"%s\" has text that is not UTF-8, or too much of it", app);
	*ret_json = hg_arena_str(mem, hg_str(text)).p;
	free(text);
	return *ret_json ? HG_OK : hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

struct resumed {
	const char *artifact;
	char *digest, *folder;
	bool found;
};

static void on_resumed(void *arg, const struct store_release *row)
{
	struct resumed *to = arg;
	json_t *o = json_loadb(row->spec.p, row->spec.n, JSON_REJECT_DUPLICATES, NULL);
	const char *source = json_string_value(json_object_get(o, "source"));
	const char *folder = json_string_value(json_object_get(o, "path"));
	to->found = source && folder && strcmp(source, to->artifact) == 0 &&
	            access(folder, R_OK) == 0 &&
	            hg_str_copy(hg_str(folder), to->folder, PATH_MAX) &&
	            hg_str_copy(row->digest, to->digest, FLEET_DIGEST_MAX);
	json_decref(o);
}

/* A control that replaces a dead one goes on with what was applied: an artifact that was rebuilt or
 * removed meanwhile is a matter of the next reload. */
static bool artifact_resumed(const struct fleet *f, const struct fleet_conf *c,
        const char *artifact, char digest[FLEET_DIGEST_MAX], char folder[PATH_MAX])
{
	const struct fleet_app *a = fleet_app_find(f, hg_str(c->name));
	struct resumed r = {.artifact = artifact, .digest = digest, .folder = folder};
	if (f->applied || f->o.child->incarnation <= 1 || !a || !a->file_release) return false;
	return store_releases(f->o.store, a->id, a->file_release, on_resumed, &r, NULL) == HG_OK &&
	       r.found;
}

static enum hg_rc artifact_take(struct fleet *f, struct fleet_conf *c, const char *artifact,
        char digest[FLEET_DIGEST_MAX], char folder[PATH_MAX], struct hg_err *err)
{
	c->kept = artifact_resumed(f, c, artifact, digest, folder);
	if (c->kept) return HG_OK;
	enum hg_rc rc = fleet_artifact_take(f, c->name, artifact, digest, folder, err);
	if (rc < 0 && !digest[0]) return rc;
	c->kept = rc == HG_OK;
	if (!c->kept && f->o.log)
		hg_log(f->o.log, HG_WARN, "artifact.not_kept", HG_S("app", c->name),
		        HG_S("error", err ? err->message : ""));
	if (!c->kept && err) *err = (struct hg_err){0};
	return HG_OK;
}

enum hg_rc fleet_release_json(struct fleet *f, struct fleet_conf *c, const struct spec_app *s,
        const char *base_dir, const char *dir, struct hg_err *err)
{
	char folder[PATH_MAX] = "", digest[FLEET_DIGEST_MAX] = "", artifact[PATH_MAX] = "";
	if (s->artifact.n) {
		if (!path_join(base_dir, s->artifact, artifact))
			return hg_err_set(err, HG_E_FLEET_ARTIFACT,
			        "the path of the artifact of app \"%s\" is too long", c->name);
		enum hg_rc rc = artifact_take(f, c, artifact, digest, folder, err);
		if (rc < 0) return rc;
	}
	json_t *o = release_object(s, dir, folder, digest);
	if (o && artifact[0] && !fleet_release_place(o, artifact, folder, digest, c->kept)) {
		json_decref(o);
		o = NULL;
	}
	enum hg_rc rc = fleet_release_dump(o, c->name, &c->mem, &c->release_json, err);
	json_decref(o);
	if (rc < 0) return rc;
	c->digest = hg_arena_str(&c->mem, hg_str(digest)).p;
	c->artifact = hg_arena_str(&c->mem, hg_str(artifact)).p;
	if (!c->digest || !c->artifact) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	return HG_OK;
}

/* ---- the same again? ---- */

/* Where an artifact lies is no part of what the release is made of: its digest is. */
static json_t *without_place(struct hg_str json)
{
	json_t *o = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
	if (!o) return NULL;
	(void)json_object_del(o, "path");
	(void)json_object_del(o, "source");
	return o;
}

struct same {
	json_t *wanted;
	const char *digest;
	uint32_t serving, newest, number;
};

static void on_same(void *arg, const struct store_release *r)
{
	struct same *s = arg;
	s->newest = HG_MAX(s->newest, r->number);
	if (!hg_str_eq(r->digest, hg_str(s->digest))) return;
	json_t *o = without_place(r->spec);
	bool equal = o && json_equal(o, s->wanted);
	json_decref(o);
	/* Newest first; but of several the one that serves is the same. */
	if (equal && (!s->number || r->number == s->serving)) s->number = r->number;
}

enum hg_rc fleet_release_same(struct fleet *f, const struct fleet_app *a, const char *json,
        const char *digest, uint32_t *ret_number, uint32_t *ret_newest, struct hg_err *err)
{
	struct same s = {.wanted = without_place(hg_str(json)),
	        .digest = digest,
	        .serving = a->core.release};
	if (!s.wanted) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = store_releases(f->o.store, a->id, 0, on_same, &s, err);
	json_decref(s.wanted);
	*ret_number = s.number;
	*ret_newest = HG_MAX(HG_MAX(s.newest, a->file_release), a->core.release);
	return rc;
}

static const char *keep(struct fleet_release *r, const json_t *v)
{
	if (!json_is_string(v)) return NULL;
	return hg_arena_str(&r->mem, (struct hg_str){json_string_value(v), json_string_length(v)})
	        .p;
}

static uint64_t amount(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));
	return v > 0 ? (uint64_t)v : 0;
}

static bool read_object(struct fleet_release *r, json_t *o)
{
	json_t *env = json_object_get(o, "env"), *list = json_object_get(o, "writable"), *v;
	const char *name;
	size_t i;
	r->command = keep(r, json_object_get(o, "command"));
	r->dir = keep(r, json_object_get(o, "dir"));
	r->path = keep(r, json_object_get(o, "path"));
	r->source = keep(r, json_object_get(o, "source"));
	if (!r->source) r->source = ""; /* kept by a former program */
	r->uid = (uint32_t)json_integer_value(json_object_get(o, "uid"));
	r->flags = (uint32_t)json_integer_value(json_object_get(o, "flags"));
	r->proxy = (uint32_t)HG_MIN(amount(o, "proxy_protocol"), (uint64_t)2);
	r->tls = amount(o, "upstream_tls") != 0;
	r->http2 = json_is_true(json_object_get(o, "http2"));
	r->memory_max = amount(o, "memory_max");
	r->cpu_max_milli = amount(o, "cpu_max_milli");
	r->memory_low = amount(o, "memory_low");
	r->cpu_milli = amount(o, "cpu_milli");
	r->env = hg_arena_array(&r->mem, json_object_size(env) + 1, sizeof *r->env);
	r->writable = hg_arena_array(&r->mem, json_array_size(list) + 1, sizeof *r->writable);
	if (!r->command || !r->dir || !r->path || !r->env || !r->writable) return false;
	json_object_foreach(env, name, v)
	{
		struct spec_pair *p = &r->env[r->env_count++];
		p->name = hg_arena_str(&r->mem, hg_str(name));
		p->value = hg_str(keep(r, v));
		if (!p->name.p || !p->value.p) return false;
	}
	json_array_foreach(list, i, v)
	{
		if (!(r->writable[r->writable_count++] = keep(r, v))) return false;
	}
	return true;
}

enum hg_rc fleet_release_read(
        struct hg_str json, uint32_t number, struct fleet_release **ret_release, struct hg_err *err)
{
	struct fleet_release *r = calloc(1, sizeof *r);
	if (!r) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	hg_arena_init(&r->mem, "release", FLEET_CONF_MAX);
	r->number = number;
	json_t *o = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
	bool ok = o && read_object(r, o);
	json_decref(o);
	if (!ok) {
		fleet_release_free(r);
		return hg_err_set(
		        err, HG_E_DB_CORRUPT, "release %u of the store cannot be read", number);
	}
	*ret_release = r;
	return HG_OK;
}

void fleet_release_free(struct fleet_release *r)
{
	if (!r) return;
	hg_arena_fini(&r->mem);
	free(r);
}

struct wanted {
	uint32_t number;
	struct fleet_release *found;
};

static void on_release(void *arg, const struct store_release *row)
{
	struct wanted *w = arg;
	if (fleet_release_read(row->spec, row->number, &w->found, NULL) < 0) w->found = NULL;
}

const struct fleet_release *fleet_release_find(
        struct fleet *f, struct fleet_app *a, uint32_t number)
{
	for (struct fleet_release *r = a->releases; r; r = r->next)
		if (r->number == number) return r;
	struct wanted w = {.number = number};
	if (store_releases(f->o.store, a->id, number, on_release, &w, NULL) < 0 || !w.found)
		return NULL;
	w.found->next = a->releases;
	a->releases = w.found;
	return w.found;
}
