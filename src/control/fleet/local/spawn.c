/* From a release to a process: argv, environment, address, and the message to the warden. */
#include "control/fleet/fleet_priv.h"

#include "os/shm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPAWN_MEMORY_MAX (1u << 20)
#define BASE_PATH        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What a command and an environment are expanded from. */
struct scope {
	const struct fleet_release *rel;
	const char *app;
	const struct spec_pair *more; /* laid over the release's environment */
	uint32_t more_count;
	bool no_address; /* nothing listens: there is neither PORT nor SOCKET */
	bool inherits;   /* its listener is descriptor 3 (sd_listen_fds(3)) */
	char port[8], release[12], replica[12];
	char socket[112];
	char path[PATH_MAX + sizeof BASE_PATH + 1];
	char id[24];
};

static bool lookup(void *ctx, struct hg_str name, struct hg_str *ret_value)
{
	const struct scope *s = ctx;
	const struct {
		struct hg_str name;
		const char *value;
	} own[] = {{HG_STR("PORT"), s->port}, {HG_STR("SOCKET"), s->socket},
	        {HG_STR("LISTEN_FDS"), "1"}};
	for (size_t i = 0; !s->no_address && i < HG_COUNT(own); i++) {
		if (!hg_str_eq(name, own[i].name)) continue;
		*ret_value = hg_str(own[i].value);
		return true;
	}
	for (uint32_t i = 0; i < s->more_count; i++) {
		if (!hg_str_eq(name, s->more[i].name)) continue;
		*ret_value = s->more[i].value;
		return true;
	}
	for (uint32_t i = 0; i < s->rel->env_count; i++) {
		if (!hg_str_eq(name, s->rel->env[i].name)) continue;
		*ret_value = s->rel->env[i].value;
		return true;
	}
	return false;
}

static void scope_fill(struct scope *s, const struct fleet_release *rel, const char *app)
{
	*s = (struct scope){.rel = rel, .app = app, .port = "8080"};
	(void)snprintf(s->socket, sizeof s->socket, "/run/socket");
	(void)snprintf(s->path, sizeof s->path, "%s%s" BASE_PATH, rel->path, *rel->path ? ":" : "");
}

/* A folder that control may not list, it may not judge (see os/sandbox_view.c: covers are 0711). */
static bool hidden(const char *path)
{
	char folder[PATH_MAX];
	if (!hg_str_copy(hg_str(path), folder, sizeof folder)) return false;
	for (char *slash; (slash = strrchr(folder, '/')) && slash > folder;) {
		*slash = 0;
		if (access(folder, R_OK) == 0) return false;
		if (errno != ENOENT) return true;
	}
	return false;
}

/*
 * Can it be executed, by somebody? The replica runs as another user than control: where control
 * may not look, the start itself will tell.
 */
static bool executable(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0) return errno == EACCES || (errno == ENOENT && hidden(path));
	return S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

/* Without ".", ".." and double slashes, by its letters alone. */
static void plain(const char *path, char to[PATH_MAX])
{
	struct hg_str rest = hg_str(path);
	size_t n = 0;
	while (rest.n > 0) {
		struct hg_str part = hg_str_cut(&rest, '/');
		if (part.n == 0 || hg_str_eq(part, HG_STR("."))) continue;
		if (hg_str_eq(part, HG_STR(".."))) {
			while (n > 0 && to[--n] != '/')
				;
			continue;
		}
		if (n + part.n + 2 > PATH_MAX) break;
		to[n++] = '/';
		memcpy(to + n, part.p, part.n);
		n += part.n;
	}
	to[n] = 0;
}

/* A program that is named where the artifact was built is the one of the copy: what is built there
 * next is another release. */
static void kept_instead(const struct fleet_release *rel, char full[PATH_MAX])
{
	char named[PATH_MAX], source[PATH_MAX];
	int n = -1;
	if (!*rel->source) return;
	plain(full, named);
	plain(rel->source, source);
	size_t len = strlen(source);
	if (strcmp(named, source) == 0)
		n = snprintf(full, PATH_MAX, "%s%s", rel->path, strrchr(source, '/'));
	else if (strncmp(named, source, len) == 0 && named[len] == '/')
		n = snprintf(full, PATH_MAX, "%s%s", rel->path, named + len);
	if (n >= PATH_MAX) full[0] = 0;
}

/* The program as PATH finds it, so that the warden need not search. False: nowhere. */
static bool find_program(const char *name, const char *path, const struct fleet_release *rel,
        struct hg_arena *mem, char **ret_full)
{
	char full[PATH_MAX];
	bool named = strchr(name, '/') != NULL;
	struct hg_str rest = named ? hg_str(rel->dir) : hg_str(path);
	while (rest.n > 0) {
		struct hg_str one = named ? rest : hg_str_cut(&rest, ':');
		int n = name[0] == '/'
		                ? snprintf(full, sizeof full, "%s", name)
		                : snprintf(full, sizeof full, "%.*s/%s", HG_STR_ARG(one), name);
		if (n < (int)sizeof full && named) kept_instead(rel, full);
		bool found = n < (int)sizeof full && executable(full);
		if (!found && named) return false;
		if (!found) continue;
		*ret_full = (char *)(uintptr_t)hg_arena_str(mem, hg_str(full)).p;
		return *ret_full != NULL;
	}
	return false;
}

static enum hg_rc split(struct scope *s, struct hg_str command, struct hg_arena *mem,
        char ***ret_argv, uint32_t *ret_argc, struct hg_err *err)
{
	enum hg_rc rc = spec_command_split(command, lookup, s, mem, ret_argv, ret_argc, err);
	if (rc < 0) return rc;
	if (*ret_argc == 0)
		return hg_err_set(
		        err, HG_E_FLEET_COMMAND, "the command of app \"%s\" is empty", s->app);
	if (!find_program((*ret_argv)[0], s->path, s->rel, mem, &(*ret_argv)[0])) {
		rc = hg_err_set(err, HG_E_FLEET_COMMAND,
		        "could not find program \"%s\" of app \"%s\"", (*ret_argv)[0], s->app);
		hg_err_detail(err, "searched: %s; folder: %s", s->path, s->rel->dir);
		hg_err_hint(err, "Name it with its folder, or name its folder as `artifact`.");
	}
	return rc;
}

enum hg_rc fleet_command_check(
        const struct fleet_release *rel, const char *command, const char *app, struct hg_err *err)
{
	struct hg_arena mem;
	char **argv;
	uint32_t argc;
	struct scope *s = malloc(sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	hg_arena_init(&mem, "command check", SPAWN_MEMORY_MAX);
	scope_fill(s, rel, app);
	enum hg_rc rc = split(s, hg_str(command), &mem, &argv, &argc, err);
	hg_arena_fini(&mem);
	free(s);
	return rc;
}

static void env_add(struct hg_buf *b, uint32_t *count, const char *name, struct hg_str value)
{
	hg_buf_fmt(b, "%s=", name);
	hg_buf_str(b, value);
	hg_buf_byte(b, 0);
	(*count)++;
}

static bool sets(const struct spec_pair *env, uint32_t n, struct hg_str name)
{
	for (uint32_t i = 0; i < n; i++)
		if (hg_str_eq(env[i].name, name)) return true;
	return false;
}

static bool app_sets(const struct scope *s, const char *name)
{
	return sets(s->rel->env, s->rel->env_count, hg_str(name)) ||
	       sets(s->more, s->more_count, hg_str(name));
}

static void env_pair(struct hg_buf *b, uint32_t *count, const struct spec_pair *p)
{
	hg_buf_str(b, p->name);
	hg_buf_byte(b, '=');
	hg_buf_str(b, p->value);
	hg_buf_byte(b, 0);
	(*count)++;
}

enum hg_rc fleet_env_check(const struct spec_pair *env, uint32_t n, struct hg_err *err)
{
	for (uint32_t i = 0; i < n; i++) {
		struct hg_str name = env[i].name, value = env[i].value;
		if (name.n > 0 && hg_str_find(name, '=') == name.n &&
		        hg_str_find(name, 0) == name.n && hg_str_find(value, 0) == value.n)
			continue;
		return hg_err_set(err, HG_E_INVALID,
		        "\"%.*s\" cannot be a name, or its value not a value, of an environment",
		        (int)HG_MIN(name.n, 64u), name.p);
	}
	return HG_OK;
}

static void env_default(
        struct scope *s, struct hg_buf *b, uint32_t *count, const char *name, const char *value)
{
	if (!app_sets(s, name)) env_add(b, count, name, hg_str(value));
}

/* A clean environment: nothing of ours is inherited but what is named here. */
static uint32_t env_write(struct scope *s, const char *home, bool socket, struct hg_buf *b)
{
	uint32_t count = 0;
	const char *tz = getenv("TZ");
	env_default(s, b, &count, "PATH", s->path);
	env_default(s, b, &count, "HOME", home);
	env_default(s, b, &count, "LANG", "C.UTF-8");
	if (tz) env_default(s, b, &count, "TZ", tz);
	for (uint32_t i = 0; i < s->rel->env_count; i++) {
		const struct spec_pair *p = &s->rel->env[i];
		if (!sets(s->more, s->more_count, p->name)) env_pair(b, &count, p);
	}
	for (uint32_t i = 0; i < s->more_count; i++)
		env_pair(b, &count, &s->more[i]);
	/* Ours last and always: an app must not be told a wrong address. */
	if (!app_sets(s, "PORT") && !socket && !s->no_address)
		env_add(b, &count, "PORT", hg_str(s->port));
	if (socket && !s->inherits) env_add(b, &count, "SOCKET", hg_str(s->socket));
	if (s->inherits && !app_sets(s, "LISTEN_FDS"))
		env_add(b, &count, "LISTEN_FDS", HG_STR("1"));
	/* The number is known when the process is there: the warden writes it. */
	if (s->inherits) env_add(b, &count, "LISTEN_PID", HG_STR("0"));
	env_default(s, b, &count, "HEADGATE_APP", s->app);
	env_default(s, b, &count, "HEADGATE_RELEASE", s->release);
	env_default(s, b, &count, "HEADGATE_REPLICA", s->replica);
	env_default(s, b, &count, "HEADGATE_ID", s->id);
	return count;
}

static bool port_taken(const struct fleet *f, uint16_t port)
{
	for (uint32_t i = 0; i < f->app_count; i++) {
		const struct fleet_app *a = f->apps[i];
		for (uint32_t k = 0; k < a->core.high; k++) {
			if (a->at[k] && a->core.slot[k].process &&
			        sock_addr_port(&a->at[k]->addr) == port)
				return true;
		}
	}
	return false;
}

/* Its command or its environment names LISTEN_FDS. */
static bool inherits(const struct fleet_release *rel)
{
	for (uint32_t i = 0; i < rel->env_count; i++)
		if (hg_str_eq(rel->env[i].name, HG_STR("LISTEN_FDS"))) return true;
	return spec_command_uses(hg_str(rel->command), HG_STR("LISTEN_FDS"));
}

static enum hg_rc address_choose(struct fleet_replica *r, const struct fleet_release *rel,
        struct scope *s, bool *ret_socket, struct hg_err *err)
{
	const struct fl_replica *core = fleet_core(r);
	s->inherits = inherits(rel);
	*ret_socket = s->inherits || spec_command_uses(hg_str(rel->command), HG_STR("SOCKET"));
	if (*ret_socket) {
		char text[200];
		int n = snprintf(text, sizeof text, "%s/run/%s.%u.%u.%u/socket",
		        r->f->o.child->data_dir, r->app->name, core->release, core->number,
		        (uint32_t)r->id);
		char full[220];
		(void)snprintf(full, sizeof full, "unix:%s", text);
		if (n >= 108 || !sock_addr_parse(hg_str(full), &r->addr) ||
		        !hg_str_copy(hg_str(full), r->address, sizeof r->address))
			return hg_err_set(err, HG_E_FLEET_COMMAND,
			        "the path of $SOCKET is too long: \"%s\"", text);
		(void)hg_str_copy(hg_str(text), s->socket, sizeof s->socket);
		return HG_OK;
	}
	for (int i = 0; i < 50; i++) {
		uint16_t port = sock_free_port();
		if (port == 0) break;
		if (port_taken(r->f, port)) continue;
		sock_addr_tcp4(INADDR_LOOPBACK, port, &r->addr);
		char text[SOCK_TEXT_MAX];
		(void)sock_addr_text(&r->addr, text, sizeof text);
		(void)hg_str_copy(hg_str(text), r->address, sizeof r->address);
		(void)snprintf(s->port, sizeof s->port, "%u", port);
		return HG_OK;
	}
	return hg_err_set(err, HG_E_AGAIN, "no free port was found for app \"%s\"", r->app->name);
}

/* argv, environment and writable paths as WD_SPAWN carries them; the memfd is the caller's. */
static enum hg_rc blob_make(struct scope *s, struct hg_str command, bool socket, struct wd_msg *m,
        int *ret_fd, struct hg_err *err)
{
	struct hg_arena mem;
	struct hg_buf b;
	char **argv;
	uint32_t argc;
	hg_arena_init(&mem, "spawn", SPAWN_MEMORY_MAX);
	hg_buf_init(&b, WD_BLOB_MAX);
	enum hg_rc rc = split(s, command, &mem, &argv, &argc, err);
	if (rc < 0) goto out;
	for (uint32_t i = 0; i < argc; i++) {
		hg_buf_cstr(&b, argv[i]);
		hg_buf_byte(&b, 0);
	}
	m->blob_argc = argc;
	m->blob_envc = env_write(s, s->rel->dir, socket, &b);
	for (uint32_t i = 0; i < s->rel->writable_count; i++) {
		hg_buf_cstr(&b, s->rel->writable[i]);
		hg_buf_byte(&b, 0);
	}
	if (b.failed) {
		rc = hg_err_set(err, HG_E_TOO_LARGE,
		        "command and environment of app \"%s\" are larger than 256 KiB", s->app);
		goto out;
	}
	m->blob_size = (uint32_t)b.n;
	int fd = shm_sealed("headgate-spawn", hg_buf_view(&b));
	if (fd < 0) {
		rc = hg_err_set(err, HG_E_IO, "could not hand over a command: %s", strerror(-fd));
		goto out;
	}
	*ret_fd = fd;
out:
	hg_buf_free(&b);
	hg_arena_fini(&mem);
	return rc;
}

static enum hg_rc message_to(const struct fleet_app *a, const struct fleet_release *rel,
        uint32_t number, uint64_t id, struct wd_msg *m, struct hg_err *err)
{
	m->id = id;
	(void)hg_str_copy(hg_str(a->name), m->who.app, sizeof m->who.app);
	m->who.release = rel->number;
	m->who.replica = number;
	m->who.incarnation = (uint32_t)id;
	m->uid = rel->uid;
	m->flags = rel->flags;
	m->memory_max = rel->memory_max;
	m->cpu_max_milli = rel->cpu_max_milli;
	m->memory_low = rel->memory_low;
	m->cpu_milli = rel->cpu_milli;
	if (!hg_str_copy(hg_str(rel->dir), m->dir, sizeof m->dir))
		return hg_err_set(err, HG_E_FLEET_COMMAND,
		        "the folder of app \"%s\" is too long: \"%s\"", a->name, rel->dir);
	return HG_OK;
}

static enum hg_rc message_fill(struct fleet_replica *r, const struct fleet_release *rel,
        uint64_t id, struct wd_msg *m, struct hg_err *err)
{
	(void)hg_str_copy(hg_str(r->address), m->address, sizeof m->address);
	return message_to(r->app, rel, fleet_core(r)->number, id, m, err);
}

static enum hg_rc scope_new(struct fleet *f, struct fleet_app *a, uint32_t release, uint32_t number,
        uint64_t id, struct scope **ret_scope, struct hg_err *err)
{
	const struct fleet_release *rel = fleet_release_find(f, a, release);
	if (!rel)
		return hg_err_set(err, HG_E_NOT_FOUND,
		        "release %u of app \"%s\" is not in the store", release, a->name);
	struct scope *s = malloc(sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	scope_fill(s, rel, a->name);
	(void)snprintf(s->release, sizeof s->release, "%u", release);
	(void)snprintf(s->replica, sizeof s->replica, "%u", number);
	(void)snprintf(s->id, sizeof s->id, "%llu", (unsigned long long)id);
	*ret_scope = s;
	return HG_OK;
}

static enum hg_rc scope_of(
        struct fleet_replica *r, uint64_t id, struct scope **ret_scope, struct hg_err *err)
{
	const struct fl_replica *core = fleet_core(r);
	return scope_new(r->f, r->app, core->release, core->number, id, ret_scope, err);
}

enum hg_rc fleet_spawn(struct fleet_replica *r, struct hg_err *err)
{
	struct wd_msg m = {.type = WD_SPAWN, .kind = WD_KIND_REPLICA};
	struct scope *s = NULL;
	bool socket;
	int fd = -1;
	uint64_t id = r->f->next_id++, before = r->id, old = r->row ? before : 0;
	bool forgotten = r->forgotten;
	r->id = id;
	enum hg_rc rc = scope_of(r, id, &s, err);
	if (rc < 0) goto out;
	HG_ASSERT(s);
	rc = address_choose(r, s->rel, s, &socket, err);
	if (rc < 0) goto out;
	rc = message_fill(r, s->rel, id, &m, err);
	if (rc < 0) goto out;
	if (s->inherits) m.flags |= WD_F_LISTEN;
	rc = blob_make(s, hg_str(s->rel->command), socket, &m, &fd, err);
	if (rc < 0) goto out;
	/* On disk before it is asked for: a control that dies here finds out whether it was. */
	fleet_row_spawn(r, old);
	if (before && !forgotten) fleet_send_simple(r->f, WD_FORGET, before, 0);
	r->forgotten = false;
	fleet_send(r->f, &m, fd);
out:
	if (rc < 0) r->id = before;
	free(s);
	return rc;
}

enum hg_rc fleet_spawn_probe(struct fleet_replica *r, enum probe_kind kind, struct hg_err *err)
{
	const struct fleet_probe_conf *c = &r->app->conf->probe[kind];
	struct wd_msg m = {.type = WD_SPAWN, .kind = WD_KIND_ONESHOT, .deadline_ms = c->timeout_ms};
	struct scope *s = NULL;
	int fd = -1;
	uint64_t id = r->f->next_id++;
	enum hg_rc rc = scope_of(r, id, &s, err);
	if (rc < 0) goto out;
	HG_ASSERT(s);
	bool socket = r->addr.sa.sa_family == AF_UNIX;
	(void)snprintf(s->port, sizeof s->port, "%u", sock_addr_port(&r->addr));
	if (socket) (void)hg_str_copy(hg_str(r->addr.un.sun_path), s->socket, sizeof s->socket);
	rc = message_fill(r, s->rel, id, &m, err);
	if (rc < 0) goto out;
	rc = blob_make(s, hg_str(c->what), socket, &m, &fd, err);
	if (rc < 0) goto out;
	r->oneshot[kind] = id;
	fleet_send(r->f, &m, fd);
out:
	free(s);
	return rc;
}

enum hg_rc fleet_spawn_command(struct fleet *f, const struct fleet_oneshot *o, struct hg_err *err)
{
	/* Should control die meanwhile the warden still ends it. */
	struct wd_msg m = {.type = WD_SPAWN,
	        .kind = WD_KIND_ONESHOT,
	        .deadline_ms = (uint64_t)o->timeout_ms + 1000};
	struct scope *s = NULL;
	int fd = -1;
	enum hg_rc rc = scope_new(f, o->app, o->release, 0, o->id, &s, err);
	if (rc < 0) goto out;
	HG_ASSERT(s);
	s->more = o->env;
	s->more_count = o->env_count;
	s->no_address = true;
	rc = message_to(o->app, s->rel, 0, o->id, &m, err);
	if (rc == HG_OK) rc = blob_make(s, o->command, false, &m, &fd, err);
	if (rc == HG_OK) fleet_send(f, &m, fd);
out:
	free(s);
	return rc;
}

enum hg_rc fleet_spawn_hook(
        struct fleet *f, const struct fleet_hook *h, uint64_t id, struct hg_err *err)
{
	struct wd_msg m = {.type = WD_SPAWN,
	        .kind = WD_KIND_ONESHOT,
	        .id = id,
	        .flags = WD_F_READ_ONLY_ROOT | WD_F_PRIVATE_TMP,
	        .deadline_ms = (uint64_t)h->timeout_ms + 1000};
	int fd = -1;
	struct fleet_release *rel = calloc(1, sizeof *rel);
	struct scope *s = malloc(sizeof *s);
	enum hg_rc rc = rel && s ? HG_OK : hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (rc < 0) goto out;
	rel->dir = h->dir;
	rel->path = rel->source = "";
	scope_fill(s, rel, h->name);
	s->more = h->env;
	s->more_count = h->env_count;
	s->no_address = true;
	s->release[0] = s->replica[0] = s->id[0] = 0;
	m.who.incarnation = (uint32_t)id;
	(void)hg_str_copy(hg_str(h->name), m.who.app, sizeof m.who.app);
	if (!hg_str_copy(hg_str(h->dir), m.dir, sizeof m.dir))
		rc = hg_err_set(err, HG_E_FLEET_COMMAND, "the folder is too long: \"%s\"", h->dir);
	if (rc == HG_OK) rc = blob_make(s, h->command, false, &m, &fd, err);
	if (rc == HG_OK) fleet_send(f, &m, fd);
out:
	free(rel);
	free(s);
	return rc;
}
