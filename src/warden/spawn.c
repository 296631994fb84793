/* The child's side of WD_SPAWN, between fork and exec: orders and steps as in enum wd_step. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/shm.h"
#include "warden/warden_priv.h"

struct blob {
	const char **argv, **env;
	struct sandbox_path writable[SANDBOX_PATHS_MAX];
	size_t writable_count;
};

struct birth {
	struct warden *w;
	const struct replica *r;
	const struct wd_msg *m;
	struct blob blob;
	char dir[PATH_ROOM - 16]; /* the private directory */
	int report_fd;
	uint32_t applied;
	char listen_pid[32];
};

HG_NORETURN static void fail(const struct birth *b, enum wd_step step, int err)
{
	struct spawn_report say = {(int32_t)step, err ? err : EIO, b->applied};
	(void)!write(b->report_fd, &say, sizeof say);
	hg_child_exit(127);
}

/* The next string of the blob; NULL when it does not end inside. */
static const char *next(const char **at, const char *end)
{
	const char *s = *at;
	const char *zero = s < end ? memchr(s, 0, (size_t)(end - s)) : NULL;
	if (!zero) return NULL;
	*at = zero + 1;
	return s;
}

static const char **strings(const char **at, const char *end, uint32_t n)
{
	const char **list = calloc((size_t)n + 1, sizeof *list);
	if (!list) return NULL;
	for (uint32_t i = 0; i < n; i++) {
		list[i] = next(at, end);
		if (list[i]) continue;
		free(list);
		return NULL;
	}
	return list;
}

static const char *absolute(const char *dir, const char *path)
{
	char *to = malloc(PATH_ROOM);
	if (!to) return NULL;
	int n = snprintf(to, PATH_ROOM, "%s%s%s", path[0] == '/' ? "" : dir,
	        path[0] == '/' ? "" : "/", path);
	if (n <= 1 || n >= PATH_ROOM) {
		free(to);
		return NULL;
	}
	while (n > 1 && to[n - 1] == '/')
		to[--n] = 0;
	return to;
}

static int read_blob(struct birth *b, int fd)
{
	const char *at = shm_map(fd, b->m->blob_size, false);
	if (!at) return ENOMEM;
	const char *end = at + b->m->blob_size;
	b->blob.argv = strings(&at, end, b->m->blob_argc);
	b->blob.env = b->blob.argv ? strings(&at, end, b->m->blob_envc) : NULL;
	if (!b->blob.env || !b->blob.argv[0] || !b->blob.argv[0][0]) return EBADMSG;
	while (at < end) {
		const char *path = next(&at, end);
		if (!path || b->blob.writable_count == SANDBOX_PATHS_MAX - 4) return EBADMSG;
		if (!path[0]) continue;
		path = absolute(b->m->dir, path);
		if (!path) return ENAMETOOLONG;
		b->blob.writable[b->blob.writable_count++] = (struct sandbox_path){path, -1};
	}
	return 0;
}

static void place_fds(struct birth *b)
{
	char path[32];
	int fds[3];
	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		/* Opened anew: ours does not block, and the flag is shared by all its copies. */
		snprintf(path, sizeof path, "/proc/self/fd/%d", b->r->log.keep[i]);
		fds[i + 1] = open(path, O_RDWR | O_CLOEXEC);
	}
	for (int i = 0; i < 3; i++) {
		fds[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0) fail(b, WD_STEP_FDS, errno);
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(fds[i], i) < 0) fail(b, WD_STEP_FDS, errno);
	}
	/* Nothing of ours crosses exec; until then cgroups and filters may still be needed. */
	if (syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */) < 0) {
		fail(b, WD_STEP_FDS, errno);
	}
}

static void join_cgroup(struct birth *b)
{
	uint32_t parts = b->r->cgroup_parts;
	if (!parts) return;
	int rc = cgroup_join(&b->w->cgroup, b->r->log.name, parts);
	if (rc < 0) return; /* limits are then watched from outside */
	if (parts & 1u << CGROUP_MEMORY) b->applied |= WD_A_MEMORY;
	if (parts & 1u << CGROUP_CPU) b->applied |= WD_A_CPU;
	if (parts & 1u << CGROUP_PIDS) b->applied |= WD_A_PIDS;
	b->applied |= WD_A_CGROUP_KILL;
}

/* Whose symbolic links are followed, besides root's: the operator's, when the app is not him. */
static uid_t trusted(const struct birth *b)
{
	return b->w->as_root && b->w->owner == b->r->uid ? 0 : b->w->owner;
}

/* Whoever may write around DATA may put something else in its place. */
static bool holds_data(const struct birth *b, int fd)
{
	char path[PATH_MAX], data[PATH_MAX];
	int data_fd = file_open(b->w->data_dir, O_PATH, 0);
	bool known = data_fd >= 0 && file_path_of(data_fd, data, sizeof data) &&
	             file_path_of(fd, path, sizeof path);
	if (data_fd >= 0) close(data_fd);
	if (!known) return true;
	size_t n = strlen(path);
	return strncmp(data, path, n) == 0 && (!data[n] || data[n] == '/');
}

/*
 * Missing writable directories are made and given to the app; what exists is left as it is. From
 * here on each is its descriptor: another app may be writing somewhere on the way.
 */
static void open_writable(struct birth *b)
{
	struct file_owner owner = {.uid = b->r->uid, .gid = b->w->as_root ? b->r->uid : getegid()};
	for (size_t i = 0; i < b->blob.writable_count; i++) {
		struct sandbox_path *p = &b->blob.writable[i];
		p->fd = file_open_guarded(p->name, trusted(b), &owner);
		if (p->fd == -ELOOP || p->fd == -ESTALE) fail(b, WD_STEP_WRITABLE, -p->fd);
		if (p->fd == -FILE_E_OWNER) fail(b, WD_STEP_ROOT, EPERM);
		if (p->fd < 0 || !b->w->as_root) continue;
		if (holds_data(b, p->fd)) fail(b, WD_STEP_WRITABLE, EXDEV);
	}
}

/* The folder of the program, when its name says where it is. */
static bool program_dir(const struct birth *b, char real[PATH_MAX])
{
	const char *arg = b->blob.argv[0];
	char *slash;
	if (!strchr(arg, '/')) return false;
	const char *path = absolute(b->m->dir, arg);
	int fd = path ? file_open_guarded(path, trusted(b), NULL) : -1;
	bool known = fd >= 0 && file_path_of(fd, real, PATH_MAX);
	if (fd >= 0) close(fd);
	if (!known || !(slash = strrchr(real, '/')) || slash == real) return false;
	*slash = 0;
	return true;
}

static void add_reach(struct birth *b, struct sandbox_view *v, const char *path)
{
	/* What cannot be trusted is not opened: it may still be open anyway. */
	v->reach[v->reach_count++] =
	        (struct sandbox_path){path, file_open_guarded(path, trusted(b), NULL)};
}

/* The texts that the view names; they live as long as it. */
struct view_names {
	char staging[PATH_ROOM], tmp[PATH_ROOM], releases[PATH_ROOM], program[PATH_MAX];
};

static void fill_view(struct birth *b, struct sandbox_view *v, struct view_names *names)
{
	bool program = program_dir(b, names->program);
	snprintf(names->staging, PATH_ROOM, "%s/root", b->dir);
	snprintf(names->tmp, PATH_ROOM, "%s/tmp", b->dir);
	/* Its own artifacts, wherever the data folder lies; not those of other apps. */
	snprintf(names->releases, PATH_ROOM, "%s/releases/%s", b->w->data_dir, b->m->who.app);
	*v = (struct sandbox_view){.staging = names->staging,
	        .read_only = b->m->flags & WD_F_READ_ONLY_ROOT,
	        .private_tmp = b->m->flags & WD_F_PRIVATE_TMP ? names->tmp : NULL,
	        .uid = b->r->uid,
	        .gid = b->w->as_root ? b->r->uid : getegid()};
	add_reach(b, v, b->m->dir);
	if (program) add_reach(b, v, names->program);
	add_reach(b, v, names->releases);
	struct sandbox_path own = {b->dir, file_open(b->dir, O_PATH | O_NOFOLLOW, 0)};
	v->reach[v->reach_count++] = own;
	v->writable[v->writable_count++] = own;
	for (size_t i = 0; i < b->blob.writable_count; i++) {
		v->writable[v->writable_count++] = b->blob.writable[i];
		v->reach[v->reach_count++] = b->blob.writable[i];
	}
}

static bool view_wanted(const struct birth *b, const struct sandbox_view *v)
{
	if (v->read_only || v->private_tmp) return true;
	for (size_t i = 0; i < v->reach_count && b->w->as_root; i++) {
		char inside[PATH_ROOM];
		/* The directory itself has to be entered as well. */
		snprintf(inside, sizeof inside, "%s/.", v->reach[i].name);
		if (!sandbox_reachable(inside, v->uid, v->gid)) return true;
	}
	return false;
}

static void enter_view(struct birth *b)
{
	struct sandbox_view v;
	struct view_names names;
	uint32_t how;
	open_writable(b);
	fill_view(b, &v, &names);
	if (!view_wanted(b, &v)) return;
	if (b->w->view_state > 0) {
		int rc = sandbox_view_enter(&v, &how);
		if (rc < 0) fail(b, WD_STEP_ROOT, -rc);
		if (v.read_only) b->applied |= WD_A_ROOT;
		if (v.private_tmp) b->applied |= WD_A_TMP;
		if (how & SANDBOX_VIEW_USERNS) b->applied |= WD_A_USERNS;
		return;
	}
	if (!v.read_only) return;
	/* No namespaces here: Landlock at least keeps the writes where they belong. */
	if (!v.private_tmp) {
		v.writable[v.writable_count++] =
		        (struct sandbox_path){"/tmp", file_open("/tmp", O_PATH, 0)};
	}
	if (sandbox_landlock_writes(v.writable, v.writable_count) == 0) {
		b->applied |= WD_A_LANDLOCK;
	}
}

static void set_limits(struct birth *b)
{
	struct rlimit no_core = {0, 0};
	if (setrlimit(RLIMIT_CORE, &no_core) < 0) fail(b, WD_STEP_LIMITS, errno);
	if (b->m->memory_max && !(b->applied & WD_A_MEMORY)) b->applied |= WD_A_WATCHED;
}

static void become_user(struct birth *b)
{
	uid_t uid = b->r->uid;
	gid_t gid = b->w->as_root ? b->m->gid ? b->m->gid : uid : getegid();
	if (uid == 0 && !b->w->as_root) fail(b, WD_STEP_UID, EPERM);
	int rc = sandbox_drop(uid, gid, NULL, 0);
	if (rc < 0) fail(b, WD_STEP_UID, -rc);
	if (b->w->as_root) b->applied |= WD_A_UID;
	rc = sandbox_filter_apply(&b->w->filter[SANDBOX_REPLICA]);
	if (rc == 0) b->applied |= WD_A_SECCOMP;
	if (rc < 0 && rc != -ENOSYS && rc != -EINVAL) fail(b, WD_STEP_SECCOMP, -rc);
}

/* The listener it inherits, made as the replica would make it: owner and mode are the same. */
#define LISTEN_QUEUE 4096

static int listener_open(const struct birth *b)
{
	struct sock_addr a;
	size_t n = strlen(b->dir);
	const char *path = b->m->address + strlen("unix:");
	bool own = sock_addr_parse(hg_str(b->m->address), &a) && a.sa.sa_family == AF_UNIX &&
	           strncmp(path, b->dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
	if (!own) fail(b, WD_STEP_FDS, EINVAL);
	int fd = sock_listen(&a, LISTEN_QUEUE);
	if (fd < 0) fail(b, WD_STEP_FDS, -fd);
	return fd;
}

/* sd_listen_fds(3): descriptor 3, for this process alone. Nothing else of ours is needed there any
 * more.
 */
static void listener_place(struct birth *b, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	snprintf(b->listen_pid, sizeof b->listen_pid, "LISTEN_PID=%d", (int)getpid());
	for (const char **e = b->blob.env; *e; e++)
		if (strncmp(*e, "LISTEN_PID=", 11) == 0) *e = b->listen_pid;
	/* A program decides itself whether it waits in accept. */
	bool good = flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 &&
	            (fd == 3 ? fcntl(fd, F_SETFD, 0) : dup2(fd, 3)) >= 0;
	if (!good) fail(b, WD_STEP_FDS, errno);
}

/* Said here, with the command that mends it, instead of by a program that crashes in a loop. */
static void check_writable(const struct birth *b)
{
	for (size_t i = 0; i < b->blob.writable_count; i++) {
		if (access(b->blob.writable[i].name, W_OK) == 0) continue;
		if (errno == EACCES || errno == EROFS) fail(b, WD_STEP_WRITABLE, errno);
	}
}

void spawn_child(struct warden *w, const struct replica *r, const struct wd_msg *m, int blob_fd,
        int report_fd)
{
	struct birth b = {.w = w, .r = r, .m = m};
	/* Above the standard descriptors, and gone with exec: its end tells of the success. */
	b.report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC, 10);
	if (b.report_fd < 0) _exit(127);
	if (setsid() < 0) fail(&b, WD_STEP_SESSION, errno);
	umask(0022);
	int err = read_blob(&b, blob_fd);
	if (err) fail(&b, WD_STEP_CHECK, err);
	int n = snprintf(b.dir, sizeof b.dir, "%s/run/%s", w->data_dir, r->log.name);
	if (n < 0 || (size_t)n >= sizeof b.dir) fail(&b, WD_STEP_PRIVATE_DIR, ENAMETOOLONG);
	place_fds(&b);
	join_cgroup(&b);
	enter_view(&b);
	set_limits(&b);
	become_user(&b);
	/* Sockets the replica makes are for the edge's group too, and for nobody else. */
	umask(w->as_root ? 0007 : 0022);
	check_writable(&b);
	int listener = m->flags & WD_F_LISTEN ? listener_open(&b) : -1;
	if (chdir(m->dir) < 0) fail(&b, WD_STEP_CHDIR, errno);
	struct spawn_report good = {WD_STEP_NONE, 0, b.applied};
	(void)!write(b.report_fd, &good, sizeof good);
	proc_reset_signals();
	if (listener >= 0) listener_place(&b, listener);
	environ = (char **)(uintptr_t)b.blob.env;
	execvp(b.blob.argv[0], (char **)(uintptr_t)b.blob.argv);
	fail(&b, WD_STEP_EXEC, errno);
}

/* Tried once: a machine may allow the namespace and still refuse what is done in it. */
bool spawn_view_works(struct warden *w)
{
	char dir[PATH_ROOM];
	int status = -1;
	if (w->view_state) return w->view_state > 0;
	snprintf(dir, sizeof dir, "%s/run/probe", w->data_dir);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) return false;
	pid_t pid = fork();
	if (pid == 0) {
		struct sandbox_view v = {.staging = dir,
		        .read_only = true,
		        .private_tmp = dir,
		        .uid = w->as_root ? 65534 : geteuid(),
		        .gid = w->as_root ? 65534 : getegid()};
		uint32_t how;
		hg_child_exit(sandbox_view_enter(&v, &how) < 0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	w->view_state = status == 0 ? 1 : -1;
	rmdir(dir);
	return w->view_state > 0;
}
