/* Maintenance: the edge answers for an app, until a time or until it is told otherwise. Kept in the
 * store, so that it outlives every process of Headgate. */
#include "control/fleet/fleet_priv.h"

#include "wire/ip.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define STATE_MAX   8192u
#define LOOK_MAX_MS 60000u /* the wall clock may be set meanwhile */

static void key_of(const struct fleet_app *a, char to[WD_NAME_MAX + 16])
{
	(void)snprintf(to, WD_NAME_MAX + 16, "maintenance.%s", a->name);
}

/* Makes the set of who is let through; false: one is no network. */
static bool through_make(const struct fleet_maintenance *m, struct fleet_app *a)
{
	struct ip_prefix p[FLEET_MAINTENANCE_NETS];
	uint8_t addr[16];
	for (uint32_t i = 0; i < m->allow_count; i++) {
		if (!ip_parse_net(hg_str(m->allow[i]), addr, &p[i].bits)) return false;
		p[i].addr = ip_addr_of(addr);
		p[i].value = SNAP_ACCESS_ALLOW;
	}
	a->through_count = (uint32_t)ipset_compile(p, m->allow_count, a->through);
	return true;
}

static json_t *state_json(const struct fleet_maintenance *m)
{
	json_t *allow = json_array();
	for (uint32_t i = 0; i < m->allow_count; i++)
		json_array_append_new(allow, json_string(m->allow[i]));
	return json_pack("{s:b,s:I,s:s,s:o}", "on", m->on, "until_ms", (json_int_t)m->until_ms,
	        "message", m->message, "allow", allow);
}

static bool state_read(struct hg_str text, struct fleet_maintenance *m)
{
	json_t *j = json_loadb(text.p, text.n, 0, NULL), *one;
	size_t i;
	*m = (struct fleet_maintenance){.on = json_is_true(json_object_get(j, "on")),
	        .until_ms = (uint64_t)json_integer_value(json_object_get(j, "until_ms"))};
	const char *message = json_string_value(json_object_get(j, "message"));
	bool ok = j && (!message || hg_str_copy(hg_str(message), m->message, sizeof m->message));
	json_array_foreach(json_object_get(j, "allow"), i, one)
	{
		const char *net = json_string_value(one);
		ok = ok && net && i < FLEET_MAINTENANCE_NETS &&
		     hg_str_copy(hg_str(net), m->allow[i], sizeof m->allow[i]);
		if (ok) m->allow_count++;
	}
	json_decref(j);
	return ok;
}

static enum hg_rc state_write(struct fleet *f, const struct fleet_app *a,
        const struct fleet_maintenance *m, struct hg_err *err)
{
	char key[WD_NAME_MAX + 16];
	json_t *j = state_json(m);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	key_of(a, key);
	enum hg_rc rc = text ? store_kv_set(f->o.store, key, hg_str(text), err)
	                     : hg_err_set(err, HG_E_INVALID, "the message is not UTF-8");
	if (text) fleet_store_result(f, rc, err);
	if (rc == HG_OK) fleet_journal(f, "app.maintenance", a, a->core.release, 0, text);
	json_decref(j);
	free(text);
	return rc;
}

static void on_look(struct loop *l, struct loop_timer *t)
{
	struct fleet *f = HG_CONTAINER(t, struct fleet, maintain);
	uint64_t now = clock_wall_ms();
	bool ended = false;
	(void)l;
	for (uint32_t i = 0; i < f->app_count; i++) {
		struct fleet_app *a = f->apps[i];
		struct hg_err err = {0};
		if (!a->maintenance.on || !a->maintenance.until_ms || a->maintenance.until_ms > now)
			continue;
		/* A store that cannot be written is tried again; the edge has ended it by itself.
		 */
		if (state_write(f, a, &(struct fleet_maintenance){0}, &err) < 0) continue;
		a->maintenance = (struct fleet_maintenance){0};
		ended = true;
	}
	if (ended && f->applied) fleet_publish(f);
	fleet_maintenance_watch(f);
}

void fleet_maintenance_watch(struct fleet *f)
{
	uint64_t next = 0, now = clock_wall_ms();
	for (uint32_t i = 0; i < f->app_count; i++) {
		const struct fleet_maintenance *m = &f->apps[i]->maintenance;
		if (m->on && m->until_ms && (!next || m->until_ms < next)) next = m->until_ms;
	}
	loop_timer_stop(f->o.loop, &f->maintain);
	if (!next) return;
	uint64_t in = next > now ? next - now : 1000;
	/* Without memory for a timer it ends at the edge, and with the next change here. */
	(void)!loop_timer_start(
	        f->o.loop, &f->maintain, HG_MAX(HG_MIN(in, LOOK_MAX_MS), 1u), on_look);
}

void fleet_maintenance_load(struct fleet *f)
{
	for (uint32_t i = 0; i < f->app_count; i++) {
		struct fleet_app *a = f->apps[i];
		char key[WD_NAME_MAX + 16];
		struct hg_buf text;
		struct hg_err err = {0};
		if (a->maintenance_read) continue;
		a->maintenance_read = true;
		key_of(a, key);
		hg_buf_init(&text, STATE_MAX);
		enum hg_rc rc = store_kv_get(f->o.store, key, &text, &err);
		bool good = rc == HG_OK && state_read(hg_buf_view(&text), &a->maintenance) &&
		            through_make(&a->maintenance, a);
		if (!good) a->maintenance = (struct fleet_maintenance){0};
		hg_buf_free(&text);
	}
	fleet_maintenance_watch(f);
}

enum hg_rc fleet_maintenance_check(const struct fleet_maintenance *m, struct hg_err *err)
{
	uint8_t addr[16];
	uint32_t bits;
	for (const char *p = m->message; *p; p++) {
		if ((unsigned char)*p >= 0x20 && *p != 0x7f) continue;
		return hg_err_set(err, HG_E_INVALID, "the message must be one line of text");
	}
	for (uint32_t i = 0; i < m->allow_count; i++) {
		if (ip_parse_net(hg_str(m->allow[i]), addr, &bits)) continue;
		return hg_err_set(err, HG_E_INVALID,
		        "\"%s\" is no address and no network such as 192.0.2.0/24", m->allow[i]);
	}
	return HG_OK;
}

enum hg_rc fleet_maintenance_set(
        struct fleet *f, struct hg_str app, const struct fleet_maintenance *m, struct hg_err *err)
{
	struct fleet_app *a = NULL;
	enum hg_rc rc = fleet_app_for(f, app, &a, err);
	if (rc == HG_OK) rc = fleet_maintenance_check(m, err);
	if (rc < 0) return rc;
	HG_ASSERT(a);
	/* To the disk first: what the edge says must be what the next control knows. */
	rc = state_write(f, a, m, err);
	if (rc < 0) return rc;
	a->maintenance = *m;
	a->maintenance_read = true;
	HG_ASSERT(through_make(m, a));
	if (f->applied) fleet_publish(f);
	fleet_maintenance_watch(f);
	return HG_OK;
}
