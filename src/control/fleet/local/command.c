/* Commands that run once beside the replicas: gates, migrations, whatever a caller waits for. */
#include "control/fleet/fleet_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMANDS_MAX   16u
#define COMMAND_END_MS 5000u /* from SIGKILL to its end */

struct fleet_command {
	struct hg_list node;
	struct fleet *f;
	struct loop_timer timer;
	uint64_t id;
	uint32_t timeout_ms;
	bool late, lost;
	fleet_command_fn done;
	void *arg;
};

static void finish(struct fleet_command *c, int status, const char *why)
{
	fleet_command_fn done = c->done;
	void *arg = c->arg;
	loop_timer_stop(c->f->o.loop, &c->timer);
	hg_list_remove(&c->node);
	c->f->command_count--;
	free(c);
	done(arg, status, why);
}

static void too_late(struct fleet_command *c)
{
	char why[64];
	(void)snprintf(why, sizeof why, "it took longer than %u ms", c->timeout_ms);
	finish(c, -1, why);
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct fleet_command *c = HG_CONTAINER(t, struct fleet_command, timer);
	if (c->lost) {
		finish(c, -1, "the warden is dead");
		return;
	}
	if (c->late) {
		too_late(c);
		return;
	}
	/* Its end is waited for: what comes next must not run beside it. */
	c->late = true;
	fleet_send_simple(c->f, WD_SIGNAL, c->id, SIGKILL);
	if (!c->lost && loop_timer_start(l, t, COMMAND_END_MS, on_timer) < 0) too_late(c);
}

bool fleet_command_ended(struct fleet *f, const struct wd_msg *m)
{
	HG_LIST_EACH (node, &f->commands) {
		struct fleet_command *c = HG_CONTAINER(node, struct fleet_command, node);
		char why[160];
		if (c->id != m->id) continue;
		if (c->late) {
			too_late(c);
		} else if (m->type == WD_EXITED) {
			finish(c, m->status, "");
		} else {
			(void)snprintf(why, sizeof why, "it could not be started: %s failed: %s",
			        wd_step_text(m->step), strerror(m->error));
			finish(c, -1, why);
		}
		return true;
	}
	return false;
}

/* Told from the loop: who sends may be the caller himself. */
void fleet_commands_lost(struct fleet *f)
{
	HG_LIST_EACH (node, &f->commands) {
		struct fleet_command *c = HG_CONTAINER(node, struct fleet_command, node);
		c->lost = true;
		/* Without memory for a timer its time-out tells of it. */
		(void)!loop_timer_start(f->o.loop, &c->timer, 0, on_timer);
	}
}

void fleet_commands_free(struct fleet *f)
{
	for (struct hg_list *n; (n = hg_list_pop(&f->commands));) {
		struct fleet_command *c = HG_CONTAINER(n, struct fleet_command, node);
		loop_timer_stop(f->o.loop, &c->timer);
		free(c);
	}
	f->command_count = 0;
}

static enum hg_rc command_new(struct fleet *f, uint32_t timeout_ms, fleet_command_fn done,
        void *arg, struct fleet_command **ret_command, struct hg_err *err)
{
	/* Until the warden's list is complete its answers could be taken for a part of it. */
	if (f->known) return hg_err_set(err, HG_E_AGAIN, "control has only just started");
	if (f->command_count >= COMMANDS_MAX)
		return hg_err_set(
		        err, HG_E_AGAIN, "%u commands are running already", f->command_count);
	struct fleet_command *c = calloc(1, sizeof *c);
	if (!c) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*c = (struct fleet_command){.f = f,
	        .id = f->next_id++,
	        .timeout_ms = HG_MAX(timeout_ms, 1u),
	        .done = done,
	        .arg = arg};
	if (loop_timer_start(f->o.loop, &c->timer, c->timeout_ms, on_timer) < 0) {
		free(c);
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	}
	hg_list_append(&f->commands, &c->node);
	f->command_count++;
	*ret_command = c;
	return HG_OK;
}

/* It was not even asked for. */
static void command_drop(struct fleet_command *c)
{
	loop_timer_stop(c->f->o.loop, &c->timer);
	hg_list_remove(&c->node);
	c->f->command_count--;
	free(c);
}

enum hg_rc fleet_command_run(struct fleet *f, struct hg_str app, uint32_t release,
        struct hg_str command, const struct spec_pair *env, uint32_t env_count, uint32_t timeout_ms,
        fleet_command_fn done, void *arg, struct hg_err *err)
{
	struct fleet_app *a = NULL;
	struct fleet_command *c = NULL;
	enum hg_rc rc = fleet_app_for(f, app, &a, err);
	if (rc == HG_OK) rc = fleet_env_check(env, env_count, err);
	if (rc == HG_OK) rc = command_new(f, timeout_ms, done, arg, &c, err);
	if (rc < 0) return rc;
	HG_ASSERT(a && c);
	struct fleet_oneshot shot = {.app = a,
	        .release = release,
	        .id = c->id,
	        .command = command,
	        .env = env,
	        .env_count = env_count,
	        .timeout_ms = c->timeout_ms};
	rc = fleet_spawn_command(f, &shot, err);
	if (rc < 0) command_drop(c);
	return rc;
}

enum hg_rc fleet_hook_run(struct fleet *f, const struct fleet_hook *h, fleet_command_fn done,
        void *arg, struct hg_err *err)
{
	struct fleet_command *c = NULL;
	enum hg_rc rc = fleet_env_check(h->env, h->env_count, err);
	if (rc == HG_OK) rc = command_new(f, h->timeout_ms, done, arg, &c, err);
	if (rc < 0) return rc;
	HG_ASSERT(c);
	rc = fleet_spawn_hook(f, h, c->id, err);
	if (rc < 0) command_drop(c);
	return rc;
}
