/* Keys that tokens were last checked with, in the data folder. */
#include "control/cert/identities_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"

#define KEPT_MAX (64u << 20)

static void path_of(const char *data_dir, const char *name, char *to, size_t cap)
{
	snprintf(to, cap, "%s/certs%s", data_dir, name);
}

enum hg_rc identities_kept_write(
        const char *data_dir, const struct identities_plan *p, struct hg_err *err)
{
	char path[4300], folder[4300];
	uint32_t n = 0;
	path_of(data_dir, "/identities.json", path, sizeof path);
	path_of(data_dir, "", folder, sizeof folder);
	json_t *list = json_array();
	for (uint32_t i = 0; i < p->count + 2; i++) {
		const struct identity_one *o = i < p->count    ? p->one[i]
		                               : i == p->count ? p->rates_password
		                                               : p->rates_ca;
		if (!o || !o->source || !o->text) continue;
		n++;
		json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "app", o->app, "source",
		                                    o->source, "text", o->text));
	}
	bool whole = json_array_size(list) == n;
	json_t *doc = json_pack("{s:s,s:o}", "schema", "headgate.identities/1", "apps", list);
	if (n == 0 && access(path, F_OK) < 0) {
		json_decref(doc);
		return HG_OK;
	}
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

static bool member_is(const json_t *o, const char *name, const char *want)
{
	const char *have = json_string_value(json_object_get(o, name));
	return have && strcmp(have, want) == 0;
}

char *identities_kept_find(const char *data_dir, const char *app, const char *source)
{
	char path[4300], *found = NULL;
	struct hg_buf text = {0};
	struct hg_err err = {0};
	json_t *one;
	size_t i;
	path_of(data_dir, "/identities.json", path, sizeof path);
	enum hg_rc rc = file_read(path, KEPT_MAX, &text, &err);
	json_t *doc = rc == HG_OK ? json_loadb(text.p ? text.p : "", text.n, 0, NULL) : NULL;
	json_array_foreach(json_object_get(doc, "apps"), i, one)
	{
		const char *kept = json_string_value(json_object_get(one, "text"));
		if (found || !kept || !member_is(one, "app", app)) continue;
		if (member_is(one, "source", source)) found = strdup(kept);
	}
	json_decref(doc);
	if (text.p) explicit_bzero(text.p, text.n);
	hg_buf_free(&text);
	return found;
}
