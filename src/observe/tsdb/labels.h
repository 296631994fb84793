/*
 * Label sets: what names a series. Pure; nothing here allocates but the builder and the copies.
 *
 * A set is an array of pairs sorted by name (bytes, as memcmp sees them), no name twice, no empty
 * value: a label with an empty value is no label. The metric's name is the label `__name__`. Names
 * and values are UTF-8 of any length; a set borrows them (valid as long as whoever lent them says).
 */
#ifndef OBSERVE_TSDB_LABELS_H
#define OBSERVE_TSDB_LABELS_H

#include "base/arena.h"
#include "base/buf.h"

#define LABEL_METRIC HG_STR("__name__")

struct label {
	struct hg_str name, value;
};

struct labels {
	const struct label *at;
	uint32_t n;
};

/* The value of a label, or an empty string: PromQL makes no difference between the two. */
struct hg_str labels_get(struct labels ls, struct hg_str name);
/* Order of bytes, as memcmp and then the length: < 0, 0, > 0. */
int label_text_compare(struct hg_str a, struct hg_str b);
/* Prometheus' order of label sets: pair by pair, name before value; the shorter set first. */
int labels_compare(struct labels a, struct labels b);
bool labels_equal(struct labels a, struct labels b);
/* Where `ls` is, or would be, among n items of `size` bytes that begin with their struct labels and
 * are sorted by them, each once; *ret_found says which. */
uint32_t labels_place(
        const void *items, uint32_t n, size_t size, struct labels ls, bool *ret_found);
/* The same for equal sets, in every process and build. Not for tables that an enemy may fill. */
uint64_t labels_hash(struct labels ls);
/* Only the named labels count (`on`), or all but them and `__name__` (`without`, `ignoring`);
 * `names` need no order. */
uint64_t labels_hash_on(struct labels ls, const struct hg_str *names, uint32_t n);
uint64_t labels_hash_without(struct labels ls, const struct hg_str *names, uint32_t n);
/* True when the set is as described above: sorted, no name twice, nothing empty. */
bool labels_valid(struct labels ls);
/* As Prometheus writes a series: `up{instance="a:1", job="x"}`; without a metric name only the
 * braces, `{}` for none. A name that is no identifier is quoted: `{"my.name", "a-b"="c"}`. */
void labels_print(struct hg_buf *to, struct labels ls);
/* The text with Go's strconv.Quote around it, as PromQL reads it back. */
void label_text_quote(struct hg_buf *to, struct hg_str s);

/* A copy with its bytes in the arena; .at is NULL on failure (and for an empty set: look at n). */
HG_MUST enum hg_rc labels_copy(struct hg_arena *a, struct labels ls, struct labels *ret_copy);
/* A copy in one block, given back by labels_free. */
HG_MUST enum hg_rc labels_clone(struct labels ls, struct labels *ret_copy);
void labels_free(struct labels owned);

/*
 * Makes a set step by step. Names and values are borrowed until the set was used. After a failure
 * (memory; more than LABELS_MAX labels) everything does nothing and labels_builder_done says so.
 */
#define LABELS_MAX 1024

struct labels_builder {
	struct label *at;
	uint32_t n, cap;
	bool sorted, failed;
};

/* {0} is an empty builder as well. labels_builder_reset keeps the memory. */
void labels_builder_init(struct labels_builder *b);
void labels_builder_fini(struct labels_builder *b);
void labels_builder_reset(struct labels_builder *b);
/* Forgets what was there and begins with this set. */
void labels_builder_from(struct labels_builder *b, struct labels ls);
/* Adds or replaces; an empty value drops the label. */
void labels_builder_set(struct labels_builder *b, struct hg_str name, struct hg_str value);
/* Adds without looking for the name: for parsers; when a name comes twice the last one wins. */
void labels_builder_add(struct labels_builder *b, struct hg_str name, struct hg_str value);
void labels_builder_drop(struct labels_builder *b, struct hg_str name);
/* Drops all but (keep) or exactly (drop) the named ones. */
void labels_builder_keep_only(struct labels_builder *b, const struct hg_str *names, uint32_t n);
void labels_builder_drop_all(struct labels_builder *b, const struct hg_str *names, uint32_t n);
/* What it would be now; empty when there is none. */
struct hg_str labels_builder_get(struct labels_builder *b, struct hg_str name);
/* Sorts, drops doubles and empties. The set is the builder's, until it is changed or freed.
 * HG_E_NOMEM, HG_E_TOO_LARGE. */
HG_MUST enum hg_rc labels_builder_done(struct labels_builder *b, struct labels *ret_ls);

enum label_match { LABEL_EQ, LABEL_NE, LABEL_RE, LABEL_NRE };

struct re; /* wire/re.h */

/* `re` is only looked at for LABEL_RE and LABEL_NRE: compiled with RE_LABEL, not owned; matching
 * fills its cache, so that it belongs to one thread. */
struct label_matcher {
	enum label_match op;
	struct hg_str name, value; /* for a regular expression: its text */
	struct re *re;
};

/* `value`: what labels_get gives, empty for a label that is not there. */
bool label_matcher_matches(const struct label_matcher *m, struct hg_str value);
/* All of them. */
bool label_matchers_match(const struct label_matcher *m, uint32_t n, struct labels ls);

#endif
