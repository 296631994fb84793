/* What outlives control, as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/acme/acme_priv.h"
#include "os/file.h"

#define SCHEMA "headgate.acme/1"

/* ---- life ---- */

static void wipe(char **text)
{
	if (*text) explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static void held_free(struct acme_held *h)
{
	wipe(&h->key);
	free(h->chain);
	h->chain = NULL;
}

void acme_state_free(struct acme_state *s)
{
	wipe(&s->key);
	wipe(&s->order.key);
	for (uint32_t i = 0; i < s->count; i++)
		held_free(&s->held[i]);
	for (size_t i = 0; i < HG_COUNT(s->given); i++) {
		wipe(&s->given[i].text);
		free(s->given[i].path);
	}
	free(s->cert);
	free(s->held);
	*s = (struct acme_state){0};
}

bool acme_names_equal(const struct acme_cert *a, const struct acme_cert *b)
{
	if (a->name_count != b->name_count) return false;
	for (uint32_t i = 0; i < a->name_count; i++) {
		bool found = false;
		for (uint32_t k = 0; k < b->name_count; k++)
			found = found || strcmp(a->names[i], b->names[k]) == 0;
		if (!found) return false;
	}
	return true;
}

struct acme_account *acme_account_at(struct acme_state *s, const char *directory)
{
	for (uint32_t i = 0; i < s->account_count; i++)
		if (strcmp(s->account[i].directory, directory) == 0) return &s->account[i];
	/* Those of authorities that are not asked any more: the oldest goes. */
	if (s->account_count == ACME_ACCOUNTS_MAX) {
		memmove(s->account, s->account + 1, (ACME_ACCOUNTS_MAX - 1) * sizeof *s->account);
		s->account_count--;
	}
	struct acme_account *to = &s->account[s->account_count++];
	*to = (struct acme_account){0};
	(void)hg_str_copy(hg_str(directory), to->directory, sizeof to->directory);
	return to;
}

enum hg_rc acme_state_arrange(
        struct acme_state *s, const struct acme_cert *want, uint32_t n, int64_t now_ms)
{
	struct acme_cert *cert = calloc(n + s->count + 1, sizeof *cert);
	struct acme_held *held = calloc(n + s->count + 1, sizeof *held);
	if (!cert || !held) {
		free(cert);
		free(held);
		return HG_E_NOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		cert[i] = want[i];
		for (uint32_t k = 0; k < s->count; k++) {
			if (s->cert[k].name_count == 0 || !acme_names_equal(&s->cert[k], &want[i]))
				continue;
			cert[i] = s->cert[k];
			held[i] = s->held[k];
			s->cert[k].name_count = 0; /* taken */
			s->held[k] = (struct acme_held){0};
			break;
		}
	}
	uint32_t count = n;
	for (uint32_t k = 0; k < s->count; k++) {
		bool keep = s->cert[k].name_count > 0 && s->cert[k].until_ms > now_ms;
		if (!keep) {
			held_free(&s->held[k]);
			continue;
		}
		cert[count] = s->cert[k];
		held[count++] = s->held[k];
	}
	free(s->cert);
	free(s->held);
	s->cert = cert;
	s->held = held;
	s->count = count;
	s->used = n;
	return HG_OK;
}

/* ---- reading ---- */

static bool text_get(const json_t *o, const char *key, char *to, size_t cap)
{
	const json_t *v = json_object_get(o, key);
	to[0] = 0;
	if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
		return false;
	return hg_str_copy(hg_str(json_string_value(v)), to, cap);
}

static char *text_dup(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s && s[0] ? strdup(s) : NULL;
}

/* Times far from any real one would overflow what is computed with them. */
static int64_t time_get(const json_t *o, const char *key)
{
	int64_t v = json_integer_value(json_object_get(o, key));
	return v < 0 || v > (int64_t)1 << 50 ? 0 : v;
}

static uint32_t count_get(const json_t *o, const char *key, uint32_t max)
{
	int64_t v = json_integer_value(json_object_get(o, key));
	return v < 0 ? 0 : (uint32_t)HG_MIN(v, (int64_t)max);
}

static bool names_get(const json_t *o, struct acme_cert *to)
{
	const json_t *list = json_object_get(o, "names"), *one;
	size_t i;
	if (json_array_size(list) == 0 || json_array_size(list) > ACME_NAMES_MAX) return false;
	json_array_foreach(list, i, one)
	{
		const char *s = json_string_value(one);
		if (!s || !hg_str_copy(hg_str(s), to->names[i], ACME_NAME_MAX) || !s[0])
			return false;
		to->name_count++;
	}
	return true;
}

static void accounts_read(const json_t *doc, struct acme_state *s)
{
	const json_t *one;
	size_t i;
	json_array_foreach(json_object_get(doc, "accounts"), i, one)
	{
		char directory[ACME_URL_MAX];
		if (!text_get(one, "directory", directory, sizeof directory)) continue;
		struct acme_account *to = acme_account_at(s, directory);
		(void)text_get(one, "url", to->url, sizeof to->url);
		to->after_ms = time_get(one, "after_ms");
	}
	json_array_foreach(json_object_get(doc, "orders_ms"), i, one)
	{
		int64_t at = json_integer_value(one);
		if (at > 0 && at < (int64_t)1 << 50) acme_book_add(&s->book, at);
	}
}

static bool cert_read(const json_t *o, struct acme_cert *c, struct acme_held *h)
{
	if (!names_get(o, c)) return false;
	c->from_ms = time_get(o, "from_ms");
	c->until_ms = time_get(o, "until_ms");
	c->renew_ms = time_get(o, "renew_ms");
	c->ari_ms = time_get(o, "ari_ms");
	c->window_from_ms = time_get(o, "window_from_ms");
	c->window_until_ms = time_get(o, "window_until_ms");
	c->failures = count_get(o, "failures", UINT32_MAX);
	c->next_ms = time_get(o, "next_ms");
	c->ca = count_get(o, "authority_at", ACME_CAS_MAX);
	c->proved = json_is_true(json_object_get(o, "proved"));
	c->wanted = json_is_true(json_object_get(o, "wanted"));
	(void)text_get(o, "why", c->why, sizeof c->why);
	(void)text_get(o, "authority", h->authority, sizeof h->authority);
	(void)text_get(o, "id", h->id, sizeof h->id);
	h->chain = text_dup(o, "chain");
	h->key = text_dup(o, "key");
	if (h->chain && h->key) return true;
	held_free(h);
	c->from_ms = c->until_ms = c->renew_ms = c->ari_ms = 0;
	return true;
}

static bool certs_read(const json_t *doc, struct acme_state *s)
{
	const json_t *list = json_object_get(doc, "certificates"), *one;
	size_t i, n = HG_MIN(json_array_size(list), (size_t)4 * ACME_CERTS_MAX);
	s->cert = calloc(n + 1, sizeof *s->cert);
	s->held = calloc(n + 1, sizeof *s->held);
	if (!s->cert || !s->held) return false;
	for (i = 0; i < n; i++) {
		one = json_array_get(list, i);
		struct acme_cert *c = &s->cert[s->count];
		if (cert_read(one, c, &s->held[s->count]))
			s->count++;
		else
			*c = (struct acme_cert){0};
	}
	return true;
}

static void order_read(const json_t *doc, struct acme_state *s)
{
	const json_t *o = json_object_get(doc, "order"), *one;
	struct acme_order *to = &s->order;
	size_t i;
	if (!json_is_object(o) || !names_get(o, &to->names) ||
	        !text_get(o, "directory", to->directory, sizeof to->directory)) {
		*to = (struct acme_order){0};
		return;
	}
	(void)text_get(o, "url", to->order, sizeof to->order);
	to->staging = json_is_true(json_object_get(o, "staging"));
	to->began_ms = time_get(o, "began_ms");
	to->challenge = (enum acme_challenge)count_get(o, "challenge", ACME_DNS_01);
	to->key = text_dup(o, "key");
	to->active = to->key != NULL;
	json_array_foreach(json_object_get(o, "placed"), i, one)
	{
		struct acme_placed *p = &to->placed[to->placed_count];
		if (to->placed_count == ACME_NAMES_MAX) break;
		if (text_get(one, "name", p->name, sizeof p->name) &&
		        text_get(one, "token", p->token, sizeof p->token))
			to->placed_count++;
	}
}

enum hg_rc acme_state_read(struct hg_str text, struct acme_state *ret_state)
{
	char schema[32];
	struct acme_state *s = calloc(1, sizeof *s);
	json_t *doc = text.n ? json_loadb(text.p, text.n, 0, NULL) : NULL, *one;
	enum hg_rc rc = s ? HG_E_INVALID : HG_E_NOMEM;
	size_t i;
	if (s && text_get(doc, "schema", schema, sizeof schema) && strcmp(schema, SCHEMA) == 0) {
		s->key = text_dup(doc, "key");
		accounts_read(doc, s);
		order_read(doc, s);
		rc = certs_read(doc, s) ? HG_OK : HG_E_NOMEM;
		json_array_foreach(json_object_get(doc, "files"), i, one)
		{
			if (i == HG_COUNT(s->given)) break;
			s->given[i] =
			        (struct acme_given){text_dup(one, "path"), text_dup(one, "text")};
		}
	}
	json_decref(doc);
	if (rc == HG_OK) *ret_state = *s;
	if (s && rc < 0) acme_state_free(s);
	free(s);
	return rc;
}

/* ---- writing ---- */

static json_t *names_json(const struct acme_cert *c)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < c->name_count; i++)
		json_array_append_new(list, json_string(c->names[i]));
	return list;
}

static json_t *cert_json(const struct acme_cert *c, const struct acme_held *h)
{
	json_t *o = json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:s,s:s,s:s}",
	        "names", names_json(c), "from_ms", (json_int_t)c->from_ms, "until_ms",
	        (json_int_t)c->until_ms, "renew_ms", (json_int_t)c->renew_ms, "ari_ms",
	        (json_int_t)c->ari_ms, "window_from_ms", (json_int_t)c->window_from_ms,
	        "window_until_ms", (json_int_t)c->window_until_ms, "failures",
	        (json_int_t)c->failures, "next_ms", (json_int_t)c->next_ms, "authority_at",
	        (json_int_t)c->ca, "proved", c->proved, "wanted", c->wanted, "why", c->why,
	        "authority", h->authority, "id", h->id);
	if (o && h->chain && h->key) {
		json_object_set_new(o, "chain", json_string(h->chain));
		json_object_set_new(o, "key", json_string(h->key));
	}
	return o;
}

static json_t *order_json(const struct acme_order *from)
{
	json_t *placed = json_array();
	for (uint32_t i = 0; i < from->placed_count; i++)
		json_array_append_new(placed, json_pack("{s:s,s:s}", "name", from->placed[i].name,
		                                      "token", from->placed[i].token));
	return json_pack("{s:o,s:s,s:s,s:b,s:I,s:i,s:s,s:o}", "names", names_json(&from->names),
	        "directory", from->directory, "url", from->order, "staging", from->staging,
	        "began_ms", (json_int_t)from->began_ms, "challenge", (int)from->challenge, "key",
	        from->key, "placed", placed);
}

static json_t *state_json(const struct acme_state *s)
{
	json_t *accounts = json_array(), *orders = json_array(), *certs = json_array();
	json_t *files = json_array();
	for (uint32_t i = 0; i < s->account_count; i++)
		json_array_append_new(accounts,
		        json_pack("{s:s,s:s,s:I}", "directory", s->account[i].directory, "url",
		                s->account[i].url, "after_ms", (json_int_t)s->account[i].after_ms));
	for (uint32_t i = 0; i < s->book.count; i++)
		json_array_append_new(orders, json_integer(s->book.at_ms[i]));
	for (uint32_t i = 0; i < s->count; i++)
		json_array_append_new(certs, cert_json(&s->cert[i], &s->held[i]));
	for (size_t i = 0; i < HG_COUNT(s->given); i++) {
		if (!s->given[i].path || !s->given[i].text) continue;
		json_array_append_new(files,
		        json_pack("{s:s,s:s}", "path", s->given[i].path, "text", s->given[i].text));
	}
	json_t *doc = json_pack("{s:s,s:o,s:o,s:o,s:o}", "schema", SCHEMA, "accounts", accounts,
	        "orders_ms", orders, "certificates", certs, "files", files);
	if (doc && s->key) json_object_set_new(doc, "key", json_string(s->key));
	if (doc && s->order.active) json_object_set_new(doc, "order", order_json(&s->order));
	bool whole = json_array_size(certs) == s->count &&
	             (!s->key || json_object_get(doc, "key")) &&
	             (!s->order.active || json_object_get(doc, "order"));
	if (doc && !whole) {
		json_decref(doc);
		doc = NULL;
	}
	return doc;
}

enum hg_rc acme_state_write(const struct acme_state *s, struct hg_buf *to)
{
	json_t *doc = state_json(s);
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	if (!text) return HG_E_NOMEM;
	hg_buf_cstr(to, text);
	wipe(&text);
	return to->failed ? HG_E_NOMEM : HG_OK;
}

/* ---- the file ---- */

enum hg_rc acme_state_load(
        const char *data_dir, struct acme_state *ret_state, bool *ret_damaged, struct hg_err *err)
{
	char path[4300], aside[4320];
	struct hg_buf text = {0};
	(void)snprintf(path, sizeof path, "%s/certs/acme.json", data_dir);
	*ret_state = (struct acme_state){0};
	*ret_damaged = false;
	enum hg_rc rc = file_read(path, ACME_STATE_MAX, &text, err);
	if (rc == HG_E_NOT_FOUND) return HG_OK;
	if (rc == HG_OK) rc = acme_state_read(hg_buf_view(&text), ret_state);
	if (text.p) explicit_bzero(text.p, text.n);
	hg_buf_free(&text);
	if (rc != HG_E_INVALID) return rc;
	/* The account's key may be in it: it is put aside, not written over. */
	(void)snprintf(aside, sizeof aside, "%s.damaged", path);
	if (rename(path, aside) < 0) return hg_err_set(err, HG_E_IO, "could not move \"%s\"", path);
	*ret_damaged = true;
	return HG_OK;
}

enum hg_rc acme_state_save(const char *data_dir, const struct acme_state *s, struct hg_err *err)
{
	char path[4300];
	struct hg_buf text;
	hg_buf_init(&text, ACME_STATE_MAX);
	(void)snprintf(path, sizeof path, "%s/certs", data_dir);
	int made = file_mkdirs(path, 0700);
	enum hg_rc rc = acme_state_write(s, &text);
	if (rc < 0) {
		rc = hg_err_set(err, rc, "the state of ACME is too large");
	} else if (made < 0) {
		rc = hg_err_set(err, HG_E_IO, "could not make \"%s\": %s", path, strerror(-made));
	} else {
		(void)snprintf(path, sizeof path, "%s/certs/acme.json", data_dir);
		rc = file_write_atomic(path, 0600, hg_buf_view(&text), err);
	}
	if (text.p) explicit_bzero(text.p, text.n);
	hg_buf_free(&text);
	return rc;
}
