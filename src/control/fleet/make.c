/* Releases made by people: the configuration in force with a few things laid over. */
#include "control/fleet/fleet_priv.h"

#include "wire/json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void fleet_release_event(struct fleet *f, struct fleet_app *a, uint32_t number, const char *digest,
        const char *version)
{
	const struct fleet_release *r = fleet_release_find(f, a, number);
	struct hg_buf text;
	struct json_out j;
	hg_buf_init(&text, FLEET_CONF_MAX);
	json_out_init(&j, &text);
	json_out_object(&j);
	json_out_key(&j, "replicas");
	json_out_u64(&j, a->conf->replicas);
	json_out_key(&j, "command");
	json_out_cstr(&j, r ? r->command : "");
	/* Names only: values may be secrets, and events are read by viewers and kept in logs. */
	json_out_key(&j, "env");
	json_out_array(&j);
	for (uint32_t i = 0; r && i < r->env_count; i++)
		json_out_str(&j, r->env[i].name);
	json_out_end(&j);
	json_out_key(&j, "digest");
	json_out_cstr(&j, digest);
	if (*version) {
		json_out_key(&j, "version");
		json_out_cstr(&j, version);
	}
	json_out_end(&j);
	fleet_journal(
	        f, "release.created", a, number, 0, json_out_ok(&j) ? hg_buf_text(&text) : NULL);
	hg_buf_free(&text);
}

/* ---- what is laid over ---- */

struct draft {
	struct hg_arena mem;
	json_t *o;
	char version[FLEET_VERSION_MAX];
	char digest[FLEET_DIGEST_MAX];
	const char *json;
	bool kept;
};

static bool lay_env(json_t *o, const struct spec_pair *env, uint32_t n)
{
	json_t *to = json_object_get(o, "env");
	bool ok = json_is_object(to);
	for (uint32_t i = 0; ok && i < n; i++) {
		struct hg_str v = env[i].value;
		ok = json_object_setn_new(to, env[i].name.p, env[i].name.n,
		             json_stringn(v.n ? v.p : "", v.n)) == 0;
	}
	return ok;
}

static bool lay_text(struct draft *d, const struct fleet_conf *c, const struct fleet_change *ch)
{
	bool ok = true;
	for (uint32_t i = 0; ok && ch->version.n && i < c->version_count; i++) {
		const struct fleet_version *v = &c->versions[i];
		if (hg_str_eq(v->name, ch->version)) ok = lay_env(d->o, v->env, v->env_count);
	}
	ok = ok && lay_env(d->o, ch->env, ch->env_count);
	if (ok && ch->command.n)
		ok = json_object_set_new(
		             d->o, "command", json_stringn(ch->command.p, ch->command.n)) == 0;
	return ok;
}

/* Read anew in any case: who has rebuilt it means the new one. */
static enum hg_rc lay_artifact(struct fleet *f, struct draft *d, const struct fleet_conf *c,
        const struct fleet_change *ch, struct hg_err *err)
{
	char path[PATH_MAX], folder[PATH_MAX];
	struct hg_str from = ch->artifact.n ? ch->artifact : hg_str(c->artifact);
	if (!from.n) return HG_OK;
	if (from.p[0] != '/' || !hg_str_copy(from, path, sizeof path))
		return hg_err_set(err, HG_E_FLEET_ARTIFACT,
		        "the path of the artifact is not absolute, or too long");
	enum hg_rc rc = fleet_artifact_take(f, c->name, path, d->digest, folder, err);
	if (rc < 0) return rc;
	d->kept = true;
	if (fleet_release_place(d->o, path, folder, d->digest, true)) return HG_OK;
	return hg_err_set(err, HG_E_FLEET_ARTIFACT, "the path of the artifact is not UTF-8");
}

static enum hg_rc draft_make(struct fleet *f, const struct fleet_app *a,
        const struct fleet_change *ch, struct draft *d, struct hg_err *err)
{
	struct fleet_release *rel = NULL;
	if (!hg_str_copy(ch->version, d->version, sizeof d->version))
		return hg_err_set(err, HG_E_INVALID, "the name of a version has at most %d bytes",
		        FLEET_VERSION_MAX - 1);
	d->o = json_loads(a->conf->release_json, 0, NULL);
	if (!d->o) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (!lay_text(d, a->conf, ch))
		return hg_err_set(err, HG_E_FLEET_COMMAND,
		        "command or environment for app \"%s\" is not UTF-8", a->name);
	enum hg_rc rc = lay_artifact(f, d, a->conf, ch, err);
	if (rc == HG_OK) rc = fleet_release_dump(d->o, a->name, &d->mem, &d->json, err);
	if (rc == HG_OK) rc = fleet_release_read(hg_str(d->json), 0, &rel, err);
	if (rc < 0) return rc;
	HG_ASSERT(rel);
	rc = fleet_command_check(rel, rel->command, a->name, err);
	fleet_release_free(rel);
	return rc;
}

struct row_of {
	struct fleet_release_info info;
	bool kept;
};

static void on_row(void *arg, const struct store_release *r)
{
	struct row_of *to = arg;
	to->info.number = r->number;
	to->info.created_ms = r->created_ms;
	to->kept = r->kept;
	(void)hg_str_copy(r->version, to->info.version, sizeof to->info.version);
	(void)hg_str_copy(r->digest, to->info.digest, sizeof to->info.digest);
}

/* It is there already: it may get a name, or its artifact back. */
static enum hg_rc again(struct fleet *f, const struct fleet_app *a, const struct draft *d,
        uint32_t number, struct hg_err *err)
{
	struct row_of row = {0};
	enum hg_rc rc = store_releases(f->o.store, a->id, number, on_row, &row, err);
	if (rc < 0) return rc;
	bool renamed = d->version[0] && strcmp(d->version, row.info.version) != 0;
	if (!renamed && row.kept == d->kept) return HG_OK;
	struct store_release to = {.app = a->id,
	        .number = number,
	        .version = hg_str(renamed ? d->version : row.info.version),
	        .kept = d->kept};
	return store_release_note(f->o.store, &to, err);
}

static enum hg_rc release_store(struct fleet *f, struct fleet_app *a, const struct draft *d,
        uint32_t *ret_release, bool *ret_fresh, struct hg_err *err)
{
	uint32_t number, newest;
	enum hg_rc rc = fleet_release_same(f, a, d->json, d->digest, &number, &newest, err);
	if (rc < 0) return rc;
	*ret_fresh = number == 0;
	*ret_release = number;
	if (number) return again(f, a, d, number, err);
	struct store_release row = {.app = a->id,
	        .digest = hg_str(d->digest),
	        .spec = hg_str(d->json),
	        .created_ms = clock_wall_ms(),
	        .version = hg_str(d->version),
	        .kept = d->kept};
	rc = store_release_add(f->o.store, &row, ret_release, err);
	if (rc == HG_OK) fleet_release_event(f, a, *ret_release, d->digest, d->version);
	return rc;
}

enum hg_rc fleet_release_make(struct fleet *f, struct hg_str app, const struct fleet_change *c,
        uint32_t *ret_release, bool *ret_fresh, struct hg_err *err)
{
	struct fleet_app *a = NULL;
	struct draft d = {0};
	enum hg_rc rc = fleet_app_for(f, app, &a, err);
	if (rc < 0) return rc;
	HG_ASSERT(a);
	rc = fleet_env_check(c->env, c->env_count, err);
	if (rc < 0) return rc;
	/* A release of the file that is not on disk yet has its number already. */
	if (a->dirty) fleet_app_save(f, a);
	if (a->dirty || !a->conf)
		return hg_err_set(err, HG_E_AGAIN,
		        "the store cannot be written: no release of app \"%s\" can be made now",
		        a->name);
	hg_arena_init(&d.mem, "release", FLEET_CONF_MAX);
	rc = draft_make(f, a, c, &d, err);
	if (rc == HG_OK) {
		rc = release_store(f, a, &d, ret_release, ret_fresh, err);
		fleet_store_result(f, rc, err);
	}
	if (rc == HG_OK) fleet_releases_sweep(f, a);
	json_decref(d.o);
	hg_arena_fini(&d.mem);
	return rc;
}

enum hg_rc fleet_release_info(struct fleet *f, struct hg_str app, uint32_t release,
        struct fleet_release_info *ret_info, struct hg_err *err)
{
	const struct fleet_app *a = fleet_app_find(f, app);
	struct row_of row = {0};
	if (!a)
		return hg_err_set(err, HG_E_FLEET_APP, "there is no app \"%.*s\"",
		        (int)HG_MIN(app.n, 64u), app.p);
	enum hg_rc rc = HG_E_NOT_FOUND;
	if (release) rc = store_releases(f->o.store, a->id, release, on_row, &row, err);
	if (rc == HG_E_NOT_FOUND)
		return hg_err_set(err, rc, "app \"%s\" has no release %u", a->name, release);
	if (rc == HG_OK) *ret_info = row.info;
	return rc;
}
