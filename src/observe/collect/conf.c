#include "observe/collect/conf.h"

#include <jansson.h>

#include "wire/json.h"

#define VERSION    1
#define TEXT_MAX   1024u
#define DAY_MS     (24ull * 3600 * 1000)
#define KEEP_MS    (15 * DAY_MS)
#define KEEP_BYTES (4ull << 30)
#define MEMORY     (256ull << 20)
#define PER_APP    20000u
#define MEMORY_MIN (8ull << 20)

void observe_conf_defaults(struct observe_conf *ret_conf)
{
	*ret_conf = (struct observe_conf){.store = {.keep_ms = KEEP_MS,
	                                          .keep_bytes = KEEP_BYTES,
	                                          .memory_bytes = MEMORY,
	                                          .series_per_app = PER_APP}};
}

/* What reads a section; the first thing that is wrong stays. */
struct reader {
	struct hg_arena *a;
	struct hg_err *err;
	enum hg_rc rc;
	const char *section;
};

static void bad(struct reader *r, const char *key, const char *what)
{
	if (r->rc < 0) return;
	r->rc = hg_err_set(r->err, HG_E_INVALID, "%s.%s %s", r->section, key, what);
}

static void no_memory(struct reader *r)
{
	if (r->rc == HG_OK)
		r->rc = hg_err_set(r->err, HG_E_NOMEM, "%s: memory is exhausted", r->section);
}

/* A number that is not there leaves `to` as it is. */
static void take_u64(struct reader *r, const json_t *from, const char *key, uint64_t least,
        uint64_t most, uint64_t *to)
{
	const json_t *v = json_object_get(from, key);
	if (!v) return;
	json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
	if (n < 0 || (uint64_t)n < least || (uint64_t)n > most) {
		bad(r, key, "is no number in its range");
		return;
	}
	*to = (uint64_t)n;
}

static void take_u32(struct reader *r, const json_t *from, const char *key, uint32_t least,
        uint32_t most, uint32_t *to)
{
	uint64_t n = *to;
	take_u64(r, from, key, least, most, &n);
	*to = (uint32_t)n;
}

static void take_text(struct reader *r, const json_t *from, const char *key, size_t least,
        size_t most, struct hg_str *to)
{
	const json_t *v = json_object_get(from, key);
	if (!json_is_string(v) || json_string_length(v) < least || json_string_length(v) > most) {
		bad(r, key, "is no text, empty, or too long");
		return;
	}
	*to = hg_arena_str(r->a, (struct hg_str){json_string_value(v), json_string_length(v)});
	if (!to->p) no_memory(r);
}

static void take_str(struct reader *r, const json_t *from, const char *key, struct hg_str *to)
{
	take_text(r, from, key, 1, TEXT_MAX, to);
}

/* The items of a list, zeroed; NULL and *ret_n 0 when there are none or too many. */
static void *take_list(struct reader *r, const json_t *list, const char *key, uint32_t most,
        size_t size, uint32_t *ret_n)
{
	*ret_n = 0;
	if (!list) return NULL;
	if (!json_is_array(list) || json_array_size(list) > most) {
		bad(r, key, "is no list, or has too many items");
		return NULL;
	}
	if (json_array_size(list) == 0) return NULL;
	void *at = hg_arena_array(r->a, json_array_size(list), size);
	if (!at) {
		no_memory(r);
		return NULL;
	}
	*ret_n = (uint32_t)json_array_size(list);
	return at;
}

/* ---- store ---- */

static void store_read(struct reader *r, const json_t *j, struct observe_conf *c)
{
	struct observe_conf_store *s = &c->store;
	take_u64(r, j, "keep_ms", 3600000, 36500 * DAY_MS, &s->keep_ms);
	take_u64(r, j, "keep_bytes", 1 << 20, 1ull << 50, &s->keep_bytes);
	take_u64(r, j, "memory_bytes", MEMORY_MIN, 1ull << 44, &s->memory_bytes);
	take_u32(r, j, "series_per_app", 1, 100000000, &s->series_per_app);
}

static void number(struct json_out *j, const char *key, uint64_t v)
{
	json_out_key(j, key);
	json_out_u64(j, v);
}

static void text(struct json_out *j, const char *key, struct hg_str v)
{
	json_out_key(j, key);
	json_out_str(j, v);
}

static void store_write(const struct observe_conf *c, struct json_out *j)
{
	json_out_object(j);
	number(j, "keep_ms", c->store.keep_ms);
	number(j, "keep_bytes", c->store.keep_bytes);
	number(j, "memory_bytes", c->store.memory_bytes);
	number(j, "series_per_app", c->store.series_per_app);
	json_out_end(j);
}

/* ---- apps ---- */

static void apps_read(struct reader *r, const json_t *list, struct observe_conf *c)
{
	uint32_t n;
	struct observe_conf_app *at = take_list(r, list, "list", OBSERVE_APPS_MAX, sizeof *at, &n);
	for (uint32_t i = 0; i < n; i++) {
		const json_t *j = json_array_get(list, i);
		struct observe_conf_app *a = &at[i];
		take_u32(r, j, "id", 0, UINT32_MAX, &a->id);
		take_str(r, j, "name", &a->name);
		take_str(r, j, "path", &a->path);
		take_u32(r, j, "interval_ms", 0, OBSERVE_INTERVAL_MAX, &a->interval_ms);
		take_u32(r, j, "timeout_ms", 0, OBSERVE_INTERVAL_MAX, &a->timeout_ms);
		take_u32(r, j, "sample_limit", 0, UINT32_MAX, &a->sample_limit);
		if (a->id == 0) bad(r, "id", "is missing");
	}
	c->apps = at;
	c->app_n = n;
}

static void apps_write(const struct observe_conf *c, struct json_out *j)
{
	json_out_array(j);
	for (uint32_t i = 0; i < c->app_n; i++) {
		const struct observe_conf_app *a = &c->apps[i];
		json_out_object(j);
		number(j, "id", a->id);
		text(j, "name", a->name);
		text(j, "path", a->path);
		number(j, "interval_ms", a->interval_ms);
		number(j, "timeout_ms", a->timeout_ms);
		number(j, "sample_limit", a->sample_limit);
		json_out_end(j);
	}
	json_out_end(j);
}

/* ---- targets ---- */

static const struct observe_conf_label *labels_read(
        struct reader *r, const json_t *list, uint32_t *ret_n)
{
	uint32_t n;
	struct observe_conf_label *at =
	        take_list(r, list, "labels", OBSERVE_LABELS_MAX, sizeof *at, &n);
	for (uint32_t i = 0; i < n; i++) {
		take_str(r, json_array_get(list, i), "name", &at[i].name);
		take_str(r, json_array_get(list, i), "value", &at[i].value);
	}
	*ret_n = n;
	return at;
}

static void labels_write(
        struct json_out *j, const char *key, const struct observe_conf_label *at, uint32_t n)
{
	json_out_key(j, key);
	json_out_array(j);
	for (uint32_t i = 0; i < n; i++) {
		json_out_object(j);
		text(j, "name", at[i].name);
		text(j, "value", at[i].value);
		json_out_end(j);
	}
	json_out_end(j);
}

static void targets_read(struct reader *r, const json_t *list, struct observe_conf *c)
{
	uint32_t n;
	struct observe_conf_target *at =
	        take_list(r, list, "list", OBSERVE_TARGETS_MAX, sizeof *at, &n);
	for (uint32_t i = 0; i < n; i++) {
		const json_t *j = json_array_get(list, i);
		struct observe_conf_target *t = &at[i];
		take_str(r, j, "job", &t->job);
		take_str(r, j, "address", &t->address);
		take_str(r, j, "path", &t->path);
		take_u32(r, j, "interval_ms", 0, OBSERVE_INTERVAL_MAX, &t->interval_ms);
		take_u32(r, j, "timeout_ms", 0, OBSERVE_INTERVAL_MAX, &t->timeout_ms);
		take_u32(r, j, "sample_limit", 0, UINT32_MAX, &t->sample_limit);
		t->honor_labels = json_is_true(json_object_get(j, "honor_labels"));
		t->labels = labels_read(r, json_object_get(j, "labels"), &t->label_n);
	}
	c->targets = at;
	c->target_n = n;
}

static void targets_write(const struct observe_conf *c, struct json_out *j)
{
	json_out_array(j);
	for (uint32_t i = 0; i < c->target_n; i++) {
		const struct observe_conf_target *t = &c->targets[i];
		json_out_object(j);
		text(j, "job", t->job);
		text(j, "address", t->address);
		text(j, "path", t->path);
		number(j, "interval_ms", t->interval_ms);
		number(j, "timeout_ms", t->timeout_ms);
		number(j, "sample_limit", t->sample_limit);
		json_out_key(j, "honor_labels");
		json_out_bool(j, t->honor_labels);
		labels_write(j, "labels", t->labels, t->label_n);
		json_out_end(j);
	}
	json_out_end(j);
}

/* ---- remote ---- */

/* A text that may be missing, and then is empty. */
static void take_str_if(struct reader *r, const json_t *from, const char *key, struct hg_str *to)
{
	if (json_object_get(from, key)) take_str(r, from, key, to);
}

static void text_if(struct json_out *j, const char *key, struct hg_str v)
{
	if (v.n) text(j, key, v);
}

static void flag(struct json_out *j, const char *key, bool v)
{
	json_out_key(j, key);
	json_out_bool(j, v);
}

static void sources_read(struct reader *r, const json_t *list, struct observe_conf_relabel *to)
{
	uint32_t n;
	struct hg_str *at = take_list(r, list, "source", OBSERVE_LABELS_MAX, sizeof *at, &n);
	for (uint32_t i = 0; i < n; i++)
		take_str(r, json_array_get(list, i), "label", &at[i]);
	to->source = at;
	to->source_n = n;
}

static void relabel_read(
        struct reader *r, const json_t *list, struct observe_conf_remote_target *to)
{
	uint32_t n;
	struct observe_conf_relabel *at =
	        take_list(r, list, "relabel", OBSERVE_RELABELS_MAX, sizeof *at, &n);
	for (uint32_t i = 0; i < n; i++) {
		const json_t *j = json_array_get(list, i);
		take_str(r, j, "action", &at[i].action);
		take_str_if(r, j, "separator", &at[i].separator);
		take_str_if(r, j, "regex", &at[i].regex);
		take_str_if(r, j, "target", &at[i].target);
		take_str_if(r, j, "replacement", &at[i].replacement);
		at[i].has_separator = json_is_true(json_object_get(j, "has_separator"));
		at[i].has_replacement = json_is_true(json_object_get(j, "has_replacement"));
		sources_read(r, json_object_get(j, "source"), &at[i]);
	}
	to->relabel = at;
	to->relabel_n = n;
}

static void remote_read(struct reader *r, const json_t *j, struct observe_conf *c)
{
	struct observe_conf_remote *to = &c->remote;
	const json_t *list = json_object_get(j, "targets");
	struct observe_conf_remote_target *at =
	        take_list(r, list, "targets", OBSERVE_REMOTES_MAX, sizeof *at, &to->target_n);
	to->receive = json_is_true(json_object_get(j, "receive"));
	to->labels = labels_read(r, json_object_get(j, "labels"), &to->label_n);
	for (uint32_t i = 0; i < to->target_n; i++) {
		const json_t *from = json_array_get(list, i);
		struct observe_conf_remote_target *t = &at[i];
		take_str(r, from, "name", &t->name);
		take_str(r, from, "url", &t->url);
		take_str_if(r, from, "user", &t->user);
		take_str_if(r, from, "password", &t->password);
		take_str_if(r, from, "token", &t->token);
		t->headers = labels_read(r, json_object_get(from, "headers"), &t->header_n);
		take_u32(r, from, "timeout_ms", 1, OBSERVE_INTERVAL_MAX, &t->timeout_ms);
		take_u32(r, from, "shards", 1, 16, &t->shards);
		relabel_read(r, json_object_get(from, "relabel"), t);
	}
	to->targets = at;
}

static void relabel_write(struct json_out *j, const struct observe_conf_relabel *r)
{
	json_out_object(j);
	text(j, "action", r->action);
	text_if(j, "separator", r->separator);
	text_if(j, "regex", r->regex);
	text_if(j, "target", r->target);
	text_if(j, "replacement", r->replacement);
	flag(j, "has_separator", r->has_separator);
	flag(j, "has_replacement", r->has_replacement);
	json_out_key(j, "source");
	json_out_array(j);
	for (uint32_t i = 0; i < r->source_n; i++) {
		json_out_object(j);
		text(j, "label", r->source[i]);
		json_out_end(j);
	}
	json_out_end(j);
	json_out_end(j);
}

static void remote_write(const struct observe_conf *c, struct json_out *j)
{
	const struct observe_conf_remote *from = &c->remote;
	json_out_object(j);
	flag(j, "receive", from->receive);
	labels_write(j, "labels", from->labels, from->label_n);
	json_out_key(j, "targets");
	json_out_array(j);
	for (uint32_t i = 0; i < from->target_n; i++) {
		const struct observe_conf_remote_target *t = &from->targets[i];
		json_out_object(j);
		text(j, "name", t->name);
		text(j, "url", t->url);
		text_if(j, "user", t->user);
		text_if(j, "password", t->password);
		text_if(j, "token", t->token);
		labels_write(j, "headers", t->headers, t->header_n);
		number(j, "timeout_ms", t->timeout_ms);
		number(j, "shards", t->shards);
		json_out_key(j, "relabel");
		json_out_array(j);
		for (uint32_t k = 0; k < t->relabel_n; k++)
			relabel_write(j, &t->relabel[k]);
		json_out_end(j);
		json_out_end(j);
	}
	json_out_end(j);
	json_out_end(j);
}

/* ---- rules ---- */

static void rules_read(struct reader *r, const json_t *j, struct observe_conf *c)
{
	uint32_t n;
	const json_t *list = json_object_get(j, "files");
	struct observe_conf_rule_file *at =
	        take_list(r, list, "files", OBSERVE_RULES_MAX, sizeof *at, &n);
	for (uint32_t i = 0; i < n; i++) {
		take_str(r, json_array_get(list, i), "name", &at[i].name);
		take_text(r, json_array_get(list, i), "text", 0, OBSERVE_RULES_TEXT, &at[i].text);
	}
	c->rules.files = at;
	c->rules.file_n = n;
	take_u32(r, j, "every_ms", 0, OBSERVE_INTERVAL_MAX, &c->rules.every_ms);
	take_text(r, j, "url", 0, TEXT_MAX, &c->rules.url);
}

static void rules_write(const struct observe_conf *c, struct json_out *j)
{
	json_out_object(j);
	json_out_key(j, "files");
	json_out_array(j);
	for (uint32_t i = 0; i < c->rules.file_n; i++) {
		json_out_object(j);
		text(j, "name", c->rules.files[i].name);
		text(j, "text", c->rules.files[i].text);
		json_out_end(j);
	}
	json_out_end(j);
	number(j, "every_ms", c->rules.every_ms);
	text(j, "url", c->rules.url);
	json_out_end(j);
}

/* ---- the document ---- */

/* Who adds a member to struct observe_conf adds a row here. */
static const struct section {
	const char *name;
	void (*read)(struct reader *r, const json_t *j, struct observe_conf *c);
	void (*write)(const struct observe_conf *c, struct json_out *j);
} sections[] = {
        {"store", store_read, store_write},
        {"apps", apps_read, apps_write},
        {"targets", targets_read, targets_write},
        {"remote", remote_read, remote_write},
        {"rules", rules_read, rules_write},
};

enum hg_rc observe_conf_read(
        struct hg_str doc, struct hg_arena *a, struct observe_conf *ret_conf, struct hg_err *err)
{
	json_error_t e;
	struct reader r = {.a = a, .err = err, .section = "conf"};
	struct observe_conf c;
	uint32_t version = 0;
	json_t *j = json_loadb(doc.p ? doc.p : "", doc.n, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(j)) {
		json_decref(j);
		return hg_err_set(err, HG_E_INVALID, "what observe was told is no JSON object");
	}
	observe_conf_defaults(&c);
	take_u32(&r, j, "version", VERSION, VERSION, &version);
	if (version != VERSION) bad(&r, "version", "is another program's");
	for (size_t i = 0; i < HG_COUNT(sections) && r.rc == HG_OK; i++) {
		const json_t *s = json_object_get(j, sections[i].name);
		r.section = sections[i].name;
		if (s) sections[i].read(&r, s, &c);
	}
	json_decref(j);
	c.told = true;
	if (r.rc == HG_OK) *ret_conf = c;
	return r.rc;
}

void observe_conf_write(const struct observe_conf *c, struct hg_buf *to)
{
	struct json_out j;
	json_out_init(&j, to);
	json_out_object(&j);
	number(&j, "version", VERSION);
	for (size_t i = 0; i < HG_COUNT(sections); i++) {
		json_out_key(&j, sections[i].name);
		sections[i].write(c, &j);
	}
	json_out_end(&j);
	if (!json_out_ok(&j)) to->failed = true;
}
