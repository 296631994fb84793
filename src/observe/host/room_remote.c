/* Remote write as a room of the process: its section of the document in the words of the room. */
#include "observe/host/host_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "observe/remote/remote.h"
#include "os/clock.h"

static int64_t wall_ms(void)
{
	return (int64_t)clock_wall_ms();
}

#define REMOTE_RULES_MAX (OBSERVE_REMOTES_MAX * OBSERVE_RELABELS_MAX)

_Static_assert(sizeof(struct observe_conf_label) == sizeof(struct label) &&
                       offsetof(struct observe_conf_label, value) == offsetof(struct label, value),
        "a label is a label");
_Static_assert(
        sizeof(struct observe_conf_label) == sizeof(struct remote_header) &&
                offsetof(struct observe_conf_label, value) == offsetof(struct remote_header, value),
        "and a header one too");

static struct remote_target_conf remote_target(
        const struct observe_conf_remote_target *t, struct relabel_conf *rule)
{
	for (uint32_t i = 0; i < t->relabel_n; i++) {
		const struct observe_conf_relabel *r = &t->relabel[i];
		rule[i] = (struct relabel_conf){.source = r->source,
		        .source_n = r->source_n,
		        .separator = r->has_separator
		                             ? (struct hg_str){r->separator.p ? r->separator.p : "",
		                                       r->separator.n}
		                             : (struct hg_str){0},
		        .regex = r->regex,
		        .target = r->target,
		        .replacement =
		                r->has_replacement
		                        ? (struct hg_str){r->replacement.p ? r->replacement.p : "",
		                                  r->replacement.n}
		                        : (struct hg_str){0}};
		/* One that is not known is refused as what it then is. */
		if (!relabel_action_parse(r->action, &rule[i].action))
			rule[i].action = RELABEL_HASHMOD;
	}
	return (struct remote_target_conf){.name = t->name,
	        .url = t->url,
	        .user = t->user,
	        .password = t->password,
	        .bearer = t->token,
	        .headers = (const struct remote_header *)t->headers,
	        .header_n = t->header_n,
	        .timeout_ms = t->timeout_ms,
	        .shards = t->shards,
	        .relabel = rule,
	        .relabel_n = t->relabel_n};
}

struct host_remote {
	struct host *host;
	struct remote *remote;
	char dir[512];
};

static void remote_conf_(void *room, const struct observe_conf *c)
{
	struct host_remote *hr = room;
	struct remote_target_conf target[OBSERVE_REMOTES_MAX];
	struct hg_err err = {0};
	struct relabel_conf *rule = calloc(REMOTE_RULES_MAX, sizeof *rule), *at = rule;
	struct remote_conf conf = {.receive = c->remote.receive,
	        .external = (const struct label *)c->remote.labels,
	        .external_n = c->remote.label_n,
	        .targets = target,
	        .target_n = c->remote.target_n};
	for (uint32_t i = 0; rule && i < conf.target_n; i++) {
		target[i] = remote_target(&c->remote.targets[i], at);
		at += c->remote.targets[i].relabel_n;
	}
	enum hg_rc rc = rule ? remote_apply(hr->remote, &conf, &err) : HG_E_NOMEM;
	if (rc < 0)
		hg_log(&hr->host->log, HG_ERROR, "remote.conf_refused", HG_S("error", err.message),
		        HG_S("code", hg_rc_info(rc)->code));
	free(rule);
}

static bool remote_http_(void *room, struct serve_call *call, const struct serve_request *req)
{
	return remote_http(((struct host_remote *)room)->remote, call, req);
}

static void remote_metrics_(void *room, struct hg_buf *to)
{
	remote_metrics(((struct host_remote *)room)->remote, to);
}

static void remote_free_(void *room)
{
	remote_free(((struct host_remote *)room)->remote);
	free(room);
}

enum hg_rc host_remote_make(struct host *h, struct host_room *to, struct hg_err *err)
{
	struct host_remote *hr = calloc(1, sizeof *hr);
	to->name = "remote";
	if (!hr) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	hr->host = h;
	(void)snprintf(hr->dir, sizeof hr->dir, "%s/remote", h->child->data_dir);
	struct remote_options o = {.loop = h->loop,
	        .db = h->store.db,
	        .dir = hr->dir,
	        .now_ms = wall_ms,
	        .log = &h->log};
	enum hg_rc rc = remote_new(&o, &hr->remote, err);
	if (rc < 0) {
		free(hr);
		return rc;
	}
	*to = (struct host_room){.name = "remote",
	        .room = hr,
	        .http = remote_http_,
	        .conf = remote_conf_,
	        .metrics = remote_metrics_,
	        .free = remote_free_};
	return HG_OK;
}
