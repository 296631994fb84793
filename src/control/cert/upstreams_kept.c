/* How replicas were last spoken to by TLS, in the data folder. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cert/upstreams_priv.h"
#include "os/file.h"

static void path_of(const char *data_dir, const char *name, char *to, size_t cap)
{
	snprintf(to, cap, "%s/certs%s", data_dir, name);
}

static json_t *one_json(const struct upstreams_one *o)
{
	return json_pack("{s:s,s:s,s:s*,s:s*,s:s*,s:s*,s:s*,s:s*,s:b,s:b}", "app", o->app, "name",
	        o->name, "ca_file", o->ca_file, "ca", o->ca, "cert", o->cert, "key_file", o->key,
	        "chain", o->texts.chain, "key", o->texts.key, "verify", o->verify, "allow_1_2",
	        o->allow_1_2);
}

enum hg_rc upstreams_kept_write(
        const char *data_dir, const struct upstreams_plan *p, struct hg_err *err)
{
	char path[4300], folder[4300];
	path_of(data_dir, "/upstreams.json", path, sizeof path);
	path_of(data_dir, "", folder, sizeof folder);
	if (p->count == 0 && access(path, F_OK) < 0) return HG_OK;
	json_t *list = json_array();
	for (uint32_t i = 0; i < p->count; i++)
		json_array_append_new(list, one_json(&p->one[i]));
	bool whole = json_array_size(list) == p->count;
	json_t *doc = json_pack("{s:s,s:o}", "schema", "headgate.upstreams/1", "apps", list);
	char *text = doc && whole ? json_dumps(doc, JSON_COMPACT) : NULL;
	enum hg_rc rc = text ? HG_OK : hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	int made = file_mkdirs(folder, 0700);
	if (rc == HG_OK && made < 0)
		rc = hg_err_set(err, HG_E_IO, "could not make \"%s\": %s", folder, strerror(-made));
	if (rc == HG_OK) rc = file_write_atomic(path, 0600, hg_str(text), err);
	if (text) explicit_bzero(text, strlen(text));
	free(text);
	json_decref(doc);
	return rc;
}

static char *copy_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? strdup(s) : NULL;
}

static bool one_read(const json_t *j, struct upstreams_one *o)
{
	*o = (struct upstreams_one){.app = copy_of(j, "app"),
	        .name = copy_of(j, "name"),
	        .ca_file = copy_of(j, "ca_file"),
	        .ca = copy_of(j, "ca"),
	        .cert = copy_of(j, "cert"),
	        .key = copy_of(j, "key_file"),
	        .texts = {copy_of(j, "chain"), copy_of(j, "key"), 0, 0},
	        .verify = !json_is_false(json_object_get(j, "verify")),
	        .allow_1_2 = json_is_true(json_object_get(j, "allow_1_2"))};
	if (o->texts.chain) o->texts.chain_n = strlen(o->texts.chain);
	if (o->texts.key) o->texts.key_n = strlen(o->texts.key);
	return o->app && o->name && !o->ca_file == !o->ca && !o->cert == !o->texts.chain &&
	       !o->cert == !o->texts.key;
}

struct upstreams_plan *upstreams_kept_read(const char *data_dir)
{
	char path[4300];
	struct hg_buf text = {0};
	struct hg_err err = {0};
	struct upstreams_plan *p = calloc(1, sizeof *p);
	path_of(data_dir, "/upstreams.json", path, sizeof path);
	enum hg_rc rc = file_read(path, 2 * CERT_TOTAL_MAX, &text, &err);
	json_t *doc = rc == HG_OK ? json_loadb(text.p ? text.p : "", text.n, 0, NULL) : NULL;
	json_t *list = json_object_get(doc, "apps"), *one;
	size_t i;
	if (p) p->one = calloc(json_array_size(list) + 1, sizeof *p->one);
	json_array_foreach(list, i, one)
	{
		if (!p || !p->one) break;
		if (one_read(one, &p->one[p->count]))
			p->count++;
		else
			upstreams_one_free(&p->one[p->count]);
	}
	json_decref(doc);
	if (text.p) explicit_bzero(text.p, text.n);
	hg_buf_free(&text);
	if (p && p->one) return p;
	free(p);
	return NULL;
}
