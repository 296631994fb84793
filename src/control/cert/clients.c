#include "control/cert/clients.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cert/cert.h"
#include "control/cert/certs_priv.h"
#include "os/file.h"
#include "os/tls_client.h"

#define KEPT_MAX (2u * TLS_CLIENT_CAS_MAX * 2u * CERT_FILE_MAX)

struct one {
	char *name, *file, *crl_file; /* absolute; crl_file NULL: none */
	char *certs, *crl;            /* texts */
	struct tls_cert is;
	int64_t crl_until_s;
	uint64_t stamp; /* of the files when they were read here, 0: never */
	bool complained;
	uint8_t warned, crl_warned;
};

struct clients_plan {
	struct one one[TLS_CLIENT_CAS_MAX];
	uint32_t count;
};

struct clients {
	struct clients_options o;
	struct clients_plan *now;
	struct loop_timer watch;
};

/* ---- plans ---- */

static void one_free(struct one *o)
{
	free(o->name);
	free(o->file);
	free(o->crl_file);
	free(o->certs);
	free(o->crl);
}

void clients_plan_free(struct clients_plan *p)
{
	if (!p) return;
	for (uint32_t i = 0; i < p->count; i++)
		one_free(&p->one[i]);
	free(p);
}

static uint64_t stamp_of(const struct one *o)
{
	const char *const path[] = {o->file, o->crl_file};
	return certs_stamp(path, HG_COUNT(path));
}

static enum hg_rc texts_check(struct one *o, struct hg_err *err)
{
	char why[TLS_WHY_MAX] = "memory is exhausted";
	struct tls_ca ca = {hg_str(o->certs), hg_str(o->crl)};
	if (tls_ca_check(&ca, &o->is, &o->crl_until_s, why) == HG_OK) return HG_OK;
	bool list = strstr(why, "revocation list") && o->crl_file;
	return hg_err_set(
	        err, HG_E_CERT_FILE, "could not use \"%s\": %s", list ? o->crl_file : o->file, why);
}

/* Into a fresh one's texts. */
static enum hg_rc files_read(struct one *o, struct hg_err *err)
{
	uint64_t stamp = stamp_of(o);
	enum hg_rc rc = cert_text_read(o->file, &o->certs, err);
	if (rc == HG_OK && o->crl_file) rc = cert_text_read(o->crl_file, &o->crl, err);
	if (rc == HG_OK && !o->crl_file && !(o->crl = strdup("")))
		rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (rc == HG_OK) rc = texts_check(o, err);
	if (rc == HG_OK) o->stamp = stamp;
	return rc;
}

static bool texts_take(struct one *o, const char *certs, const char *crl)
{
	free(o->certs);
	free(o->crl);
	o->certs = strdup(certs);
	o->crl = strdup(crl);
	return o->certs && o->crl;
}

static void path_of(const char *data_dir, const char *name, char *to, size_t cap)
{
	snprintf(to, cap, "%s/certs%s", data_dir, name);
}

static bool kept_take(const struct clients *c, struct one *o)
{
	char path[4300];
	struct hg_buf text = {0};
	struct hg_err err = {0};
	bool found = false;
	path_of(c->o.data_dir, "/clients.json", path, sizeof path);
	if (file_read(path, KEPT_MAX, &text, &err) == HG_OK && text.p) {
		json_t *doc = json_loadb(text.p, text.n, 0, NULL), *one;
		size_t i;
		json_array_foreach(json_object_get(doc, "authorities"), i, one)
		{
			const char *file = json_string_value(json_object_get(one, "file"));
			const char *certs = json_string_value(json_object_get(one, "certs"));
			const char *crl = json_string_value(json_object_get(one, "crl"));
			if (found || !file || !certs || !crl || strcmp(file, o->file) != 0)
				continue;
			found = texts_take(o, certs, crl) && texts_check(o, &err) == HG_OK;
		}
		json_decref(doc);
	}
	hg_buf_free(&text);
	return found;
}

/* Given, else read here, else kept. */
static enum hg_rc texts_find(const struct clients *c, struct one *o, struct hg_str file,
        const struct certs_given *given, uint32_t n, struct hg_err *err)
{
	for (uint32_t i = 0; i < n; i++) {
		struct hg_str name = given[i].cert;
		if (!hg_str_starts(name, HG_STR("ca:"))) continue;
		if (!hg_str_eq((struct hg_str){name.p + 3, name.n - 3}, file)) continue;
		o->stamp = stamp_of(o);
		if (!texts_take(o, given[i].chain.p, given[i].key.p))
			return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
		return texts_check(o, err);
	}
	enum hg_rc rc = files_read(o, err);
	if (rc != HG_E_CERT_FILE && rc != HG_E_DENIED) return rc;
	return kept_take(c, o) ? HG_OK : rc;
}

enum hg_rc clients_check(struct clients *c, const struct spec *s, const char *dir,
        const struct certs_given *given, uint32_t given_count, struct clients_plan **ret_plan,
        struct hg_err *err)
{
	const struct spec_edge_tls *tls = &s->edge.tls;
	uint32_t n = s->edge.listen.https.set ? tls->client_ca_count : 0;
	struct clients_plan *p = calloc(1, sizeof *p);
	if (!p) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = HG_OK;
	HG_ASSERT(n <= TLS_CLIENT_CAS_MAX);
	for (uint32_t i = 0; i < n && rc == HG_OK; i++) {
		const struct spec_client_ca *from = &tls->client_ca[i];
		struct one *o = &p->one[p->count++];
		o->name = strndup(from->name.p, from->name.n);
		o->file = certs_absolute(dir, from->file);
		if (from->crl.n) o->crl_file = certs_absolute(dir, from->crl);
		if (!o->name || !o->file || (from->crl.n && !o->crl_file))
			rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
		else
			rc = texts_find(c, o, from->file, given, given_count, err);
	}
	if (rc == HG_OK)
		*ret_plan = p;
	else
		clients_plan_free(p);
	return rc;
}

enum hg_rc clients_keep(struct clients *c, struct clients_plan *p, struct hg_err *err)
{
	char path[4300];
	HG_ASSERT(p);
	path_of(c->o.data_dir, "/clients.json", path, sizeof path);
	if (p->count == 0 && access(path, F_OK) < 0) return HG_OK;
	json_t *list = json_array();
	for (uint32_t i = 0; i < p->count; i++)
		json_array_append_new(
		        list, json_pack("{s:s,s:s,s:s}", "file", p->one[i].file, "certs",
		                      p->one[i].certs, "crl", p->one[i].crl));
	bool whole = json_array_size(list) == p->count;
	json_t *doc = json_pack("{s:s,s:o}", "schema", "headgate.clients/1", "authorities", list);
	char *text = doc && whole ? json_dumps(doc, JSON_COMPACT) : NULL;
	enum hg_rc rc = text ? HG_OK : hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	char folder[4300];
	path_of(c->o.data_dir, "", folder, sizeof folder);
	int made = file_mkdirs(folder, 0700);
	if (rc == HG_OK && made < 0)
		rc = hg_err_set(err, HG_E_IO, "could not make \"%s\": %s", folder, strerror(-made));
	if (rc == HG_OK) rc = file_write_atomic(path, 0600, hg_str(text), err);
	free(text);
	json_decref(doc);
	return rc;
}

/* ---- looking at them ---- */

/* True when it says something else now. */
static bool renew(struct clients *c, struct one *o)
{
	uint64_t stamp = stamp_of(o);
	struct one fresh = {.file = o->file, .crl_file = o->crl_file};
	struct hg_err err = {0};
	if (stamp == 0 || stamp == o->stamp) return false;
	enum hg_rc rc = files_read(&fresh, &err);
	bool changed = rc == HG_OK &&
	               (strcmp(fresh.certs, o->certs) != 0 || strcmp(fresh.crl, o->crl) != 0);
	if (rc < 0 && !o->complained)
		hg_log(c->o.log, HG_WARN, "client_ca.unusable", HG_S("error", err.message));
	o->complained = rc < 0;
	if (rc == HG_OK) o->stamp = fresh.stamp;
	if (changed && texts_take(o, fresh.certs, fresh.crl)) {
		o->is = fresh.is;
		o->crl_until_s = fresh.crl_until_s;
		o->warned = o->crl_warned = 0;
		hg_log(c->o.log, HG_INFO, "client_ca.renewed", HG_S("name", o->name));
	}
	free(fresh.certs);
	free(fresh.crl);
	return changed;
}

static void expiry_look(struct clients *c)
{
	int64_t now_s = (int64_t)(c->o.wall_ms() / 1000);
	for (uint32_t i = 0; c->now && i < c->now->count; i++) {
		struct one *o = &c->now->one[i];
		uint8_t step;
		if (certs_near_end(o->is.until_s, now_s, o->warned, &step))
			hg_log(c->o.log, HG_WARN, "client_ca.expires", HG_S("name", o->name),
			        HG_I("seconds_left", o->is.until_s - now_s));
		o->warned = step;
		/* Lists live for days: only one that is over lets nobody in. */
		uint8_t over = o->crl_until_s && o->crl_until_s <= now_s;
		if (over && !o->crl_warned)
			hg_log(c->o.log, HG_ERROR, "client_ca.crl_expired", HG_S("name", o->name),
			        HG_S("file", o->crl_file ? o->crl_file : ""));
		o->crl_warned = over;
	}
}

static void on_watch(struct loop *l, struct loop_timer *t)
{
	struct clients *c = HG_CONTAINER(t, struct clients, watch);
	struct hg_err err = {0};
	bool changed = false;
	for (uint32_t i = 0; c->now && i < c->now->count; i++)
		changed = renew(c, &c->now->one[i]) || changed;
	if (changed && clients_keep(c, c->now, &err) < 0)
		hg_log(c->o.log, HG_ERROR, "client_ca.keep", HG_S("error", err.message));
	if (changed && c->o.on_change) c->o.on_change(c->o.arg);
	expiry_look(c);
	if (loop_timer_start(l, t, CERTS_WATCH_MS, on_watch) < 0)
		hg_log(c->o.log, HG_ERROR, "client_ca.timer");
}

/* ---- life ---- */

enum hg_rc clients_new(
        const struct clients_options *o, struct clients **ret_clients, struct hg_err *err)
{
	struct clients *c = calloc(1, sizeof *c);
	if (!c) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	c->o = *o;
	enum hg_rc rc = loop_timer_start(o->loop, &c->watch, CERTS_WATCH_MS, on_watch);
	if (rc < 0) {
		free(c);
		return hg_err_set(err, rc, "could not start a timer");
	}
	*ret_clients = c;
	return HG_OK;
}

void clients_free(struct clients *c)
{
	if (!c) return;
	loop_timer_stop(c->o.loop, &c->watch);
	clients_plan_free(c->now);
	free(c);
}

void clients_apply(struct clients *c, struct clients_plan *p)
{
	clients_plan_free(c->now);
	c->now = p;
	expiry_look(c);
}

uint32_t clients_count(const struct clients *c)
{
	return c->now ? c->now->count : 0;
}

struct clients_view clients_at(const struct clients *c, uint32_t i)
{
	const struct one *o = &c->now->one[i];
	return (struct clients_view){
	        o->name, o->file, hg_str(o->certs), hg_str(o->crl), &o->is, o->crl_until_s};
}
