/*
 * What control tells observe: one document (JSON), in a sealed memfd that goes by the warden
 * (WD_OBSERVE), which keeps the newest for an observe that is started while control is away.
 *
 * Each room has a member and a section of the document; a section that is missing leaves its member
 * at the defaults. The reader believes nothing: types, ranges and lengths are checked, and what is
 * wrong is refused as a whole, so that observe goes on with the document before.
 */
#ifndef OBSERVE_COLLECT_CONF_H
#define OBSERVE_COLLECT_CONF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define OBSERVE_CONF_MAX     ((size_t)32 << 20) /* bytes of a document */
#define OBSERVE_CONF_ARENA   (4 * OBSERVE_CONF_MAX)
#define OBSERVE_APPS_MAX     1024u /* = SNAP_APPS_MAX */
#define OBSERVE_TARGETS_MAX  1000u
#define OBSERVE_LABELS_MAX   32u
#define OBSERVE_REMOTES_MAX  16u
#define OBSERVE_RELABELS_MAX 100u
#define OBSERVE_RULES_MAX    256u       /* files */
#define OBSERVE_RULES_TEXT   (1u << 20) /* bytes of one */
#define OBSERVE_INTERVAL_MAX 3600000u   /* ms, of anything that is asked again and again */

/* The metrics store: observe/tsdb/tsdb.h says what they mean. */
struct observe_conf_store {
	uint64_t keep_ms, keep_bytes, memory_bytes;
	uint32_t series_per_app;
};

struct observe_conf_label {
	struct hg_str name, value;
};

/* An app whose replicas expose metrics. */
struct observe_conf_app {
	uint32_t id; /* as in the endpoint table */
	struct hg_str name, path;
	uint32_t interval_ms, timeout_ms; /* 0: the scraper's defaults */
	uint32_t sample_limit;            /* 0: none */
};

/* Something else that exposes metrics. */
struct observe_conf_target {
	struct hg_str job, address, path; /* address as in observe/scrape/scrape.h */
	uint32_t interval_ms, timeout_ms; /* 0: the scraper's defaults */
	uint32_t sample_limit;            /* 0: none */
	bool honor_labels;
	const struct observe_conf_label *labels;
	uint32_t label_n;
};

/* A rule of relabelling; a text that is empty is not given. */
struct observe_conf_relabel {
	struct hg_str action, separator, regex, target, replacement;
	bool has_replacement, has_separator;
	const struct hg_str *source;
	uint32_t source_n;
};

/* Who is sent samples by remote write: observe/remote/remote.h. */
struct observe_conf_remote_target {
	struct hg_str name, url;
	struct hg_str user, password, token; /* the secrets themselves; empty: none */
	const struct observe_conf_label *headers;
	uint32_t header_n;
	uint32_t timeout_ms, shards;
	const struct observe_conf_relabel *relabel;
	uint32_t relabel_n;
};

struct observe_conf_remote {
	bool receive;
	const struct observe_conf_label *labels; /* of what is sent */
	uint32_t label_n;
	const struct observe_conf_remote_target *targets;
	uint32_t target_n;
};

/* A rule file, as control has read and checked it. */
struct observe_conf_rule_file {
	struct hg_str name, text;
};

struct observe_conf_rules {
	const struct observe_conf_rule_file *files;
	uint32_t file_n;
	uint32_t every_ms; /* of groups that do not say; 0: the room's default */
	struct hg_str url; /* where people reach this Headgate; may be empty */
};

struct observe_conf {
	struct observe_conf_store store;
	struct observe_conf_remote remote;
	const struct observe_conf_app *apps;
	uint32_t app_n;
	const struct observe_conf_target *targets;
	uint32_t target_n;
	struct observe_conf_rules rules;
	bool told; /* false: the defaults, as control has said nothing yet */
};

/* What holds until control has said anything. */
void observe_conf_defaults(struct observe_conf *ret_conf);
/*
 * `text`: UTF-8. Strings lie in the arena, which the caller has emptied before. HG_E_INVALID names
 * the section and the key; HG_E_NOMEM. After a failure *ret_conf is as it was.
 */
HG_MUST enum hg_rc observe_conf_read(
        struct hg_str text, struct hg_arena *a, struct observe_conf *ret_conf, struct hg_err *err);
/* The document; what observe_conf_read gives back is the same. Look at to->failed. */
void observe_conf_write(const struct observe_conf *c, struct hg_buf *to);

#endif
