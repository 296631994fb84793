/* The certificates as they were last handed over, in the data folder. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cert/certs_priv.h"
#include "os/file.h"

static void path_of(const char *data_dir, const char *name, char *to, size_t cap)
{
	snprintf(to, cap, "%s/certs%s", data_dir, name);
}

/* What is there already needs no room on a disk that may be full. */
static bool is_kept(const char *path, const char *text)
{
	struct hg_buf had = {0};
	struct hg_err err = {0};
	bool same = file_read(path, 2 * CERT_TOTAL_MAX, &had, &err) == HG_OK &&
	            hg_str_eq(hg_buf_view(&had), hg_str(text));
	if (had.p) explicit_bzero(had.p, had.n);
	hg_buf_free(&had);
	return same;
}

enum hg_rc certs_kept_write(const char *data_dir, const struct certs_plan *p, struct hg_err *err)
{
	char path[4300];
	json_t *list = json_array();
	for (uint32_t i = 0; i < p->count; i++) {
		const struct certs_one *o = &p->one[i];
		json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "cert", o->cert, "chain",
		                                    o->texts.chain, "key", o->texts.key));
	}
	json_t *doc = json_pack("{s:s,s:o}", "schema", "headgate.certs/1", "certificates", list);
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	enum hg_rc rc = HG_OK;
	path_of(data_dir, "", path, sizeof path);
	int made = file_mkdirs(path, 0700);
	if (!text || json_array_size(list) != p->count) {
		rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	} else if (made < 0) {
		rc = hg_err_set(err, HG_E_IO, "could not make \"%s\": %s", path, strerror(-made));
	} else {
		path_of(data_dir, "/kept.json", path, sizeof path);
		if (!is_kept(path, text)) rc = file_write_atomic(path, 0600, hg_str(text), err);
	}
	if (text) explicit_bzero(text, strlen(text));
	free(text);
	json_decref(doc);
	return rc;
}

static char *copy_of(const json_t *o, const char *name, size_t *ret_n)
{
	const char *s = json_string_value(json_object_get(o, name));
	if (!s) return NULL;
	*ret_n = strlen(s);
	return strdup(s);
}

enum hg_rc certs_kept_find(const char *data_dir, const char *cert, struct cert_texts *ret_texts)
{
	char path[4300];
	struct hg_buf text = {0};
	struct hg_err err = {0};
	json_t *one;
	size_t i;
	path_of(data_dir, "/kept.json", path, sizeof path);
	enum hg_rc rc = file_read(path, 2 * CERT_TOTAL_MAX, &text, &err);
	json_t *doc = rc == HG_OK ? json_loadb(text.p ? text.p : "", text.n, 0, NULL) : NULL;
	rc = HG_E_NOT_FOUND;
	json_array_foreach(json_object_get(doc, "certificates"), i, one)
	{
		const char *of = json_string_value(json_object_get(one, "cert"));
		if (!of || strcmp(of, cert) != 0) continue;
		struct cert_texts t = {0};
		t.chain = copy_of(one, "chain", &t.chain_n);
		t.key = copy_of(one, "key", &t.key_n);
		rc = t.chain && t.key ? HG_OK : HG_E_NOT_FOUND;
		if (rc == HG_OK) *ret_texts = t;
		if (rc < 0) cert_texts_free(&t);
		break;
	}
	json_decref(doc);
	if (text.p) explicit_bzero(text.p, text.n);
	hg_buf_free(&text);
	return rc;
}
