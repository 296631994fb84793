#include "control/cert/upstreams_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct upstreams {
	struct upstreams_options o;
	struct upstreams_plan *now;
	struct loop_timer watch;
};

/* Where distributions keep what everybody trusts. */
static const char *const system_files[] = {"/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

/* ---- parts ---- */

void upstreams_one_free(struct upstreams_one *o)
{
	free(o->app);
	free(o->name);
	free(o->ca_file);
	free(o->cert);
	free(o->key);
	free(o->ca);
	cert_texts_free(&o->texts);
	tls_remote_unref(o->remote);
	*o = (struct upstreams_one){0};
}

void upstreams_plan_free(struct upstreams_plan *p)
{
	if (!p) return;
	for (uint32_t i = 0; i < p->count; i++)
		upstreams_one_free(&p->one[i]);
	free(p->one);
	free(p->system);
	free(p);
}

static uint64_t stamp_of(const struct upstreams_one *o)
{
	const char *const path[] = {o->ca_file, o->cert, o->key};
	return certs_stamp(path, HG_COUNT(path));
}

static bool own_ca(const struct upstreams_one *o)
{
	return o->ca_file != NULL;
}

static struct tls_remote_conf conf_of(const struct upstreams_one *o, const char *system)
{
	const char *ca = own_ca(o) ? o->ca : system;
	struct tls_remote_conf c = {.ca = hg_str(o->verify && ca ? ca : ""),
	        .chain = {o->texts.chain, o->texts.chain_n},
	        .key = {o->texts.key, o->texts.key_n},
	        .name = hg_str(o->name),
	        .verify = o->verify,
	        .allow_1_2 = o->allow_1_2};
	return c;
}

enum hg_rc upstreams_remote_make(
        struct upstreams_one *o, const char *system, struct tls_remote *like, struct hg_err *err)
{
	char why[TLS_WHY_MAX];
	struct tls_remote_conf conf = conf_of(o, system);
	struct tls_remote *fresh;
	enum hg_rc rc = tls_remote_new(&conf, like, &fresh, why);
	if (rc == HG_E_NOMEM) return hg_err_set(err, rc, "memory is exhausted");
	if (rc < 0)
		return hg_err_set(err, HG_E_CERT_FILE, "could not use \"%s\": %s",
		        own_ca(o) ? o->ca_file : "the system's authorities", why);
	tls_remote_unref(o->remote);
	o->remote = fresh;
	return HG_OK;
}

static enum hg_rc nomem(struct hg_err *err)
{
	return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

/* ---- texts ---- */

static enum hg_rc system_read(
        const struct upstreams *u, struct upstreams_plan *p, struct hg_err *err)
{
	const char *const own[] = {u->o.system_file};
	const char *const *file = own[0] ? own : system_files;
	size_t n = own[0] ? 1 : HG_COUNT(system_files);
	for (size_t i = 0; i < n; i++) {
		if (access(file[i], R_OK) < 0) continue;
		p->system_file = file[i];
		p->system_stamp = certs_stamp(&file[i], 1);
		return cert_text_read(file[i], &p->system, err);
	}
	hg_err_set(err, HG_E_CERT_FILE, "this system has no file of authorities it trusts");
	hg_err_hint(err, "install ca-certificates, or name one: `upstream: {tls: {ca: FILE}}`");
	return HG_E_CERT_FILE;
}

struct finding {
	const struct certs_given *given;
	uint32_t given_count;
	const struct upstreams_plan *kept;
};

static const struct certs_given *given_find(
        const struct finding *f, struct hg_str prefix, struct hg_str path)
{
	for (uint32_t i = 0; i < f->given_count; i++) {
		struct hg_str name = f->given[i].cert;
		if (!hg_str_starts(name, prefix)) continue;
		if (hg_str_eq((struct hg_str){name.p + prefix.n, name.n - prefix.n}, path))
			return &f->given[i];
	}
	return NULL;
}

static struct upstreams_one *kept_find(const struct upstreams_plan *p, struct hg_str app)
{
	for (uint32_t i = 0; p && i < p->count; i++)
		if (hg_str_eq(hg_str(p->one[i].app), app)) return &p->one[i];
	return NULL;
}

static bool same_path(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static enum hg_rc ca_find(
        struct upstreams_one *o, struct hg_str path, const struct finding *f, struct hg_err *err)
{
	const struct certs_given *g = given_find(f, HG_STR("up-ca:"), path);
	if (g) return (o->ca = strndup(g->chain.p, g->chain.n)) ? HG_OK : nomem(err);
	enum hg_rc rc = cert_text_read(o->ca_file, &o->ca, err);
	if (rc != HG_E_CERT_FILE && rc != HG_E_DENIED) return rc;
	const struct upstreams_one *k = kept_find(f->kept, hg_str(o->app));
	if (!k || !same_path(k->ca_file, o->ca_file)) return rc;
	return (o->ca = strdup(k->ca)) ? HG_OK : nomem(err);
}

static enum hg_rc pair_check(struct upstreams_one *o, struct hg_err *err)
{
	char why[TLS_WHY_MAX];
	struct tls_pem pem = {{o->texts.chain, o->texts.chain_n}, {o->texts.key, o->texts.key_n}};
	enum hg_rc rc = tls_pem_check(&pem, &o->is, why);
	if (rc == HG_E_INVALID)
		return hg_err_set(err, HG_E_CERT_FILE, "could not use \"%s\": %s",
		        strstr(why, "key") ? o->key : o->cert, why);
	return rc < 0 ? nomem(err) : HG_OK;
}

static enum hg_rc pair_find(
        struct upstreams_one *o, struct hg_str path, const struct finding *f, struct hg_err *err)
{
	const struct certs_given *g = given_find(f, HG_STR("up:"), path);
	if (g) {
		struct certs_other from = {g->chain, g->key};
		if (certs_texts_copy(&from, &o->texts) < 0) return nomem(err);
		return pair_check(o, err);
	}
	enum hg_rc rc = cert_texts_read(o->cert, o->key, &o->texts, &o->is, err);
	if (rc != HG_E_CERT_FILE && rc != HG_E_DENIED) return rc;
	const struct upstreams_one *k = kept_find(f->kept, hg_str(o->app));
	if (!k || !same_path(k->cert, o->cert) || !same_path(k->key, o->key)) return rc;
	struct certs_other from = {
	        {k->texts.chain, k->texts.chain_n}, {k->texts.key, k->texts.key_n}};
	if (certs_texts_copy(&from, &o->texts) < 0) return nomem(err);
	return pair_check(o, err);
}

/* ---- plans ---- */

static enum hg_rc paths_set(struct upstreams_one *o, const struct spec_app *app, const char *dir)
{
	const struct spec_upstream_tls *t = &app->upstream.tls;
	bool ca = t->verify && t->ca.n, pair = t->certificate.n > 0;
	*o = (struct upstreams_one){.app = strndup(app->name.p, app->name.n),
	        .name = strndup(t->name.p, t->name.n),
	        .ca_file = ca ? certs_absolute(dir, t->ca) : NULL,
	        .cert = pair ? certs_absolute(dir, t->certificate) : NULL,
	        .key = pair ? certs_absolute(dir, t->key) : NULL,
	        .verify = t->verify,
	        .allow_1_2 = t->min_version == SPEC_UPSTREAM_TLS_MIN_VERSION_1_2};
	bool there = o->app && o->name && (!ca || o->ca_file) && (!pair || (o->cert && o->key));
	return there ? HG_OK : HG_E_NOMEM;
}

static struct tls_remote *like_of(const struct upstreams_plan *p, const struct upstreams_one *o)
{
	for (uint32_t i = 0; p && i < p->count; i++) {
		const struct upstreams_one *k = &p->one[i];
		bool same =
		        own_ca(k) == own_ca(o) && (!own_ca(o) || same_path(k->ca_file, o->ca_file));
		if (k != o && k->remote && k->verify && same) return k->remote;
	}
	return NULL;
}

static enum hg_rc remote_find(const struct upstreams *u, struct upstreams_plan *p,
        struct upstreams_one *o, struct hg_err *err)
{
	bool system = o->verify && !own_ca(o);
	enum hg_rc rc = system && !p->system ? system_read(u, p, err) : HG_OK;
	return rc < 0 ? rc : upstreams_remote_make(o, p->system, like_of(p, o), err);
}

static enum hg_rc app_read(const struct upstreams *u, struct upstreams_plan *p,
        const struct spec *s, const struct spec_app *app, const char *dir, const struct finding *f,
        struct hg_err *err)
{
	const struct spec_upstream_tls *t = &app->upstream.tls;
	struct upstreams_one *o = &p->one[p->count++];
	const char *at = "upstream.tls.ca";
	if (paths_set(o, app, dir) < 0) return nomem(err);
	uint64_t stamp = stamp_of(o);
	enum hg_rc rc = o->ca_file ? ca_find(o, t->ca, f, err) : HG_OK;
	if (rc == HG_OK && o->cert) {
		at = "upstream.tls.certificate";
		rc = pair_find(o, t->certificate, f, err);
		if (rc == HG_E_CERT_FILE && strstr(err->message, o->key)) at = "upstream.tls.key";
	}
	if (rc == HG_OK) {
		at = "upstream.tls.ca";
		rc = remote_find(u, p, o, err);
	}
	o->stamp = stamp;
	if (rc < 0 && rc != HG_E_NOMEM) spec_app_place(s, app->name, at, err);
	return rc;
}

/* A release of before may need it: it stays, whatever has become of its files. */
static enum hg_rc app_carry(const struct upstreams *u, struct upstreams_plan *p,
        const struct spec_app *app, struct upstreams_plan *kept, struct hg_err *err)
{
	struct upstreams_one *k = kept_find(kept, app->name);
	if (!k) return HG_OK;
	struct upstreams_one *o = &p->one[p->count++];
	*o = *k;
	*k = kept->one[--kept->count];
	o->old = true;
	return remote_find(u, p, o, err);
}

enum hg_rc upstreams_check(struct upstreams *u, const struct spec *s, const char *dir,
        const struct certs_given *given, uint32_t given_count, struct upstreams_plan **ret_plan,
        struct hg_err *err)
{
	struct upstreams_plan *p = calloc(1, sizeof *p);
	struct upstreams_plan *kept = upstreams_kept_read(u->o.data_dir);
	if (p) p->one = calloc(s->app_count + 1, sizeof *p->one);
	if (!p || !p->one || !kept) {
		upstreams_plan_free(p);
		upstreams_plan_free(kept);
		return nomem(err);
	}
	enum hg_rc rc = HG_OK;
	struct finding f = {given, given_count, kept};
	for (uint32_t i = 0; rc == HG_OK && i < s->app_count; i++) {
		const struct spec_app *app = &s->apps[i];
		rc = app->upstream.tls.enabled ? app_read(u, p, s, app, dir, &f, err)
		                               : app_carry(u, p, app, kept, err);
	}
	upstreams_plan_free(kept);
	if (rc == HG_OK)
		*ret_plan = p;
	else
		upstreams_plan_free(p);
	return rc;
}

enum hg_rc upstreams_keep(struct upstreams *u, struct upstreams_plan *p, struct hg_err *err)
{
	HG_ASSERT(p);
	return upstreams_kept_write(u->o.data_dir, p, err);
}

/* ---- looking at them ---- */

/* Texts and remote of a fresh one go into `o`. */
static void fresh_take(struct upstreams_one *o, struct upstreams_one *fresh)
{
	free(o->ca);
	cert_texts_free(&o->texts);
	tls_remote_unref(o->remote);
	o->ca = fresh->ca;
	o->texts = fresh->texts;
	o->remote = fresh->remote;
	o->is = fresh->is;
	o->warned = 0;
}

static bool renew(struct upstreams *u, struct upstreams_one *o)
{
	uint64_t stamp = stamp_of(o);
	struct hg_err err = {0};
	if (o->old || stamp == 0 || stamp == o->stamp || (!o->ca_file && !o->cert)) return false;
	struct upstreams_one fresh = *o;
	fresh.ca = NULL;
	fresh.remote = NULL;
	fresh.texts = (struct cert_texts){0};
	enum hg_rc rc = HG_OK;
	if (o->ca_file) rc = cert_text_read(o->ca_file, &fresh.ca, &err);
	if (rc == HG_OK && o->cert)
		rc = cert_texts_read(o->cert, o->key, &fresh.texts, &fresh.is, &err);
	if (rc == HG_OK) rc = upstreams_remote_make(&fresh, u->now->system, o->remote, &err);
	struct tls_remote_conf conf = conf_of(&fresh, u->now->system);
	if (rc < 0 || tls_remote_is(o->remote, &conf)) {
		/* Half written, perhaps: the old one serves on. Said once, tried every time. */
		if (rc < 0 && !o->complained)
			hg_log(u->o.log, HG_WARN, "upstream_tls.unusable", HG_S("app", o->app),
			        HG_S("error", err.message));
		o->complained = rc < 0;
		if (rc == HG_OK) o->stamp = stamp;
		free(fresh.ca);
		cert_texts_free(&fresh.texts);
		tls_remote_unref(fresh.remote);
		return false;
	}
	fresh_take(o, &fresh);
	o->stamp = stamp;
	o->complained = false;
	hg_log(u->o.log, HG_INFO, "upstream_tls.renewed", HG_S("app", o->app));
	return true;
}

/* Fresh remotes for those who trust what this system trusts, by `system`; all or none. */
static enum hg_rc system_take(struct upstreams_plan *p, const char *system, struct hg_err *err)
{
	struct upstreams_one *made = calloc(p->count + 1, sizeof *made);
	struct tls_remote *like = NULL;
	enum hg_rc rc = HG_OK;
	if (!made) return nomem(err);
	for (uint32_t i = 0; rc == HG_OK && i < p->count; i++) {
		if (!p->one[i].verify || own_ca(&p->one[i])) continue;
		made[i] = p->one[i];
		made[i].remote = NULL;
		rc = upstreams_remote_make(&made[i], system, like, err);
		like = made[i].remote;
	}
	for (uint32_t i = 0; i < p->count; i++) {
		struct upstreams_one *o = &p->one[i];
		if (rc == HG_OK && made[i].remote) {
			tls_remote_unref(o->remote);
			o->remote = made[i].remote;
		} else {
			tls_remote_unref(made[i].remote);
		}
	}
	free(made);
	return rc;
}

/* True when the system trusts others now: a package was upgraded, an authority put in or out. */
static bool system_renew(struct upstreams *u)
{
	struct upstreams_plan *p = u->now;
	struct hg_err err = {0};
	char *fresh = NULL;
	if (!p || !p->system) return false;
	uint64_t stamp = certs_stamp(&p->system_file, 1);
	if (stamp == 0 || stamp == p->system_stamp) return false;
	enum hg_rc rc = cert_text_read(p->system_file, &fresh, &err);
	bool changed = rc == HG_OK && strcmp(fresh, p->system) != 0;
	if (changed) rc = system_take(p, fresh, &err);
	if (rc < 0 && !p->complained)
		hg_log(u->o.log, HG_WARN, "upstream_tls.unusable", HG_S("file", p->system_file),
		        HG_S("error", err.message));
	p->complained = rc < 0;
	if (rc == HG_OK) p->system_stamp = stamp;
	if (!changed || rc < 0) {
		free(fresh);
		return false;
	}
	free(p->system);
	p->system = fresh;
	hg_log(u->o.log, HG_INFO, "upstream_tls.renewed", HG_S("file", p->system_file));
	return true;
}

static void expiry_look(struct upstreams *u)
{
	int64_t now_s = (int64_t)(u->o.wall_ms() / 1000);
	for (uint32_t i = 0; u->now && i < u->now->count; i++) {
		struct upstreams_one *o = &u->now->one[i];
		uint8_t step;
		if (!o->cert || o->old) continue;
		if (certs_near_end(o->is.until_s, now_s, o->warned, &step))
			hg_log(u->o.log, HG_WARN, "upstream_tls.certificate_expires",
			        HG_S("app", o->app), HG_S("file", o->cert),
			        HG_I("seconds_left", o->is.until_s - now_s));
		o->warned = step;
	}
}

static void on_watch(struct loop *l, struct loop_timer *t)
{
	struct upstreams *u = HG_CONTAINER(t, struct upstreams, watch);
	struct hg_err err = {0};
	bool changed = system_renew(u);
	for (uint32_t i = 0; u->now && i < u->now->count; i++)
		changed = renew(u, &u->now->one[i]) || changed;
	if (changed && upstreams_keep(u, u->now, &err) < 0)
		hg_log(u->o.log, HG_ERROR, "upstream_tls.keep", HG_S("error", err.message));
	if (changed && u->o.on_change) u->o.on_change(u->o.arg);
	expiry_look(u);
	if (loop_timer_start(l, t, CERTS_WATCH_MS, on_watch) < 0)
		hg_log(u->o.log, HG_ERROR, "upstream_tls.timer");
}

/* ---- life ---- */

enum hg_rc upstreams_new(
        const struct upstreams_options *o, struct upstreams **ret_upstreams, struct hg_err *err)
{
	struct upstreams *u = calloc(1, sizeof *u);
	if (!u) return nomem(err);
	u->o = *o;
	enum hg_rc rc = loop_timer_start(o->loop, &u->watch, CERTS_WATCH_MS, on_watch);
	if (rc < 0) {
		free(u);
		return hg_err_set(err, rc, "could not start a timer");
	}
	*ret_upstreams = u;
	return HG_OK;
}

void upstreams_free(struct upstreams *u)
{
	if (!u) return;
	loop_timer_stop(u->o.loop, &u->watch);
	upstreams_plan_free(u->now);
	free(u);
}

void upstreams_apply(struct upstreams *u, struct upstreams_plan *p)
{
	upstreams_plan_free(u->now);
	u->now = p;
	expiry_look(u);
}

uint32_t upstreams_count(const struct upstreams *u)
{
	return u && u->now ? u->now->count : 0;
}

struct cert_remote_conf upstreams_at(const struct upstreams *u, uint32_t i)
{
	const struct upstreams_one *o = &u->now->one[i];
	return (struct cert_remote_conf){hg_str(o->app), conf_of(o, u->now->system)};
}

struct tls_remote *upstreams_remote(const struct upstreams *u, struct hg_str app)
{
	const struct upstreams_one *o = u ? kept_find(u->now, app) : NULL;
	return o ? o->remote : NULL;
}
