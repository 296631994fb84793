/* DATA: folders, lock, listeners, and the few files that tell the next warden what was running. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/clock.h"
#include "warden/warden_priv.h"

#define UIDS_FILE_MAX     (UIDS_MAX * (WD_NAME_MAX + 16))
#define REPLICAS_FILE_MAX (4 << 20)
#define BACKLOG           4096
#define STATE_BYTES       16000 /* below what warden_find() reads */
#define RESERVE_BYTES     (256 << 10)

static void path_in(const struct warden *w, char to[PATH_ROOM], const char *name)
{
	snprintf(to, PATH_ROOM, "%s/%s", w->data_dir, name);
}

static enum hg_rc bad_data(struct hg_err *err, const char *what, const char *path, int e)
{
	hg_err_set(err, HG_E_DATA_DIR, "could not %s \"%s\": %s", what, path, strerror(e));
	hg_err_hint(err, "Use another folder with --data DIR, or mend its owner and mode.");
	return HG_E_DATA_DIR;
}

/* A folder of DATA with its owner (when we can give it away) and mode. */
static enum hg_rc make_dir(
        struct warden *w, const char *name, uid_t uid, mode_t mode, struct hg_err *err)
{
	char path[PATH_ROOM];
	struct stat st;
	path_in(w, path, name);
	int rc = file_mkdirs(path, 0700);
	if (rc < 0) return bad_data(err, "create", path, -rc);
	int fd = file_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0) return bad_data(err, "open", path, -fd);
	rc = 0;
	if (w->as_root && fchown(fd, uid, uid) < 0) rc = errno;
	if (rc == 0 && fstat(fd, &st) < 0) rc = errno;
	if (rc == 0 && !w->as_root && st.st_uid != geteuid()) rc = EACCES;
	if (rc == 0 && fchmod(fd, mode) < 0) rc = errno;
	close(fd);
	return rc ? bad_data(err, "take over", path, rc) : HG_OK;
}

/* Files a former start as another user left behind belong to the role from now on. */
static void adopt_files(struct warden *w, const char *name, uid_t uid)
{
	char path[PATH_ROOM];
	path_in(w, path, name);
	int fd = file_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0) return;
	int rc = file_chown_below(fd, uid, uid);
	close(fd);
	if (rc < 0) {
		hg_log(&w->log, HG_WARN, "warden.adopt", HG_S("path", path),
		        HG_S("error", strerror(-rc)));
	}
}

static enum hg_rc make_dirs(struct warden *w, struct hg_err *err)
{
	bool root = w->as_root;
	enum hg_rc rc = make_dir(w, "", 0, root ? 0711 : 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "run", 0, root ? 0711 : 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "store", WARDEN_UID_CONTROL, 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "certs", WARDEN_UID_CONTROL, 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "secrets", WARDEN_UID_CONTROL, 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "logs", WARDEN_UID_OBSERVE, 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "logs/spool", WARDEN_UID_OBSERVE, 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "metrics", WARDEN_UID_OBSERVE, 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "remote", WARDEN_UID_OBSERVE, 0700, err);
	/* Copies of artifacts: written by control, passable for the apps' users. */
	if (rc == HG_OK) rc = make_dir(w, "releases", WARDEN_UID_CONTROL, root ? 0711 : 0700, err);
	if (rc == HG_OK && root) {
		adopt_files(w, "releases", WARDEN_UID_CONTROL);
		adopt_files(w, "store", WARDEN_UID_CONTROL);
		adopt_files(w, "certs", WARDEN_UID_CONTROL);
		adopt_files(w, "secrets", WARDEN_UID_CONTROL);
		adopt_files(w, "logs", WARDEN_UID_OBSERVE);
		adopt_files(w, "metrics", WARDEN_UID_OBSERVE);
		adopt_files(w, "remote", WARDEN_UID_OBSERVE);
	}
	return rc;
}

static enum hg_rc held(struct warden *w, struct hg_err *err)
{
	struct warden_info info;
	enum hg_rc rc = warden_find(w->data_dir, &info, NULL);
	if (rc == HG_OK && info.warden_alive) {
		hg_err_set(err, HG_E_RUNNING,
		        "another headgate runs with data folder \"%s\" (pid %d)", w->data_dir,
		        info.pid);
		hg_err_hint(
		        err, "Stop it with `headgate down`, or use another folder (--data DIR).");
	} else {
		hg_err_set(err, HG_E_RUNNING,
		        "role processes of a headgate whose warden died still hold \"%s\"",
		        w->data_dir);
		hg_err_hint(err, "They serve on. `headgate down` ends them.");
	}
	return HG_E_RUNNING;
}

static enum hg_rc take_lock(struct warden *w, struct hg_err *err)
{
	char path[PATH_ROOM];
	path_in(w, path, "run/lock");
	w->lock_fd = file_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (w->lock_fd < 0) return bad_data(err, "open", path, -w->lock_fd);
	if (flock(w->lock_fd, LOCK_EX | LOCK_NB) == 0) return HG_OK;
	if (errno != EWOULDBLOCK) return bad_data(err, "lock", path, errno);
	close(w->lock_fd);
	w->lock_fd = -1;
	return held(w, err);
}

static void read_uids(struct warden *w)
{
	char path[PATH_ROOM];
	struct hg_buf text = {0};
	path_in(w, path, "run/uids");
	if (file_read(path, UIDS_FILE_MAX, &text, NULL) == HG_OK) {
		struct hg_str rest = hg_buf_view(&text);
		while (rest.n > 0 && w->uid_count < UIDS_MAX) {
			struct hg_str line = hg_str_cut(&rest, '\n');
			struct hg_str app = hg_str_cut(&line, ' ');
			uint64_t uid;
			if (!hg_str_u64(line, &uid) || uid < WARDEN_UID_APPS ||
			        uid >= WARDEN_UID_APPS_END ||
			        !hg_str_copy(app, w->uids[w->uid_count].app, WD_NAME_MAX)) {
				continue;
			}
			w->uids[w->uid_count++].uid = (uid_t)uid;
		}
	}
	hg_buf_free(&text);
}

static void write_uids(struct warden *w)
{
	char path[PATH_ROOM];
	struct hg_buf text;
	hg_buf_init(&text, UIDS_FILE_MAX);
	for (uint32_t i = 0; i < w->uid_count; i++)
		hg_buf_fmt(&text, "%s %u\n", w->uids[i].app, w->uids[i].uid);
	path_in(w, path, "run/uids");
	if (file_write_atomic(path, 0600, hg_buf_view(&text), NULL) < 0) {
		hg_log(&w->log, HG_WARN, "warden.uids", HG_S("error", "could not write run/uids"));
	}
	hg_buf_free(&text);
}

/* FNV-1a over both names. */
static uint32_t uid_hash(const char *data_dir, const char *app)
{
	const char *const part[] = {data_dir, app};
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < HG_COUNT(part); i++) {
		const char *s = part[i];
		do { /* the zero at the end counts: "a","bc" is not "ab","c" */
			h = (h ^ (unsigned char)*s) * 16777619u;
		} while (*s++);
	}
	return h;
}

static bool uid_taken(const struct warden *w, uid_t uid)
{
	for (uint32_t i = 0; i < w->uid_count; i++) {
		if (w->uids[i].uid == uid) return true;
	}
	return false;
}

/* From the names and not counted: an app finds its files again when DATA was removed or other apps
 * came, and apps of another Headgate on this machine hardly ever share a user with it. */
uid_t data_uid_of(struct warden *w, const char *app)
{
	const uint32_t span = WARDEN_UID_APPS_END - WARDEN_UID_APPS;
	uint32_t at = uid_hash(w->data_dir, app) % span, tries = 0;
	for (uint32_t i = 0; i < w->uid_count; i++) {
		if (strcmp(w->uids[i].app, app) == 0) return w->uids[i].uid;
	}
	if (w->uid_count == UIDS_MAX) return 0;
	while (tries < span && uid_taken(w, WARDEN_UID_APPS + at)) {
		at = (at + 1) % span;
		tries++;
	}
	if (tries == span) return 0;
	uid_t uid = WARDEN_UID_APPS + at;
	hg_str_copy(hg_str(app), w->uids[w->uid_count].app, WD_NAME_MAX);
	w->uids[w->uid_count++].uid = uid;
	write_uids(w);
	return uid;
}

static int open_dir(struct warden *w, const char *name)
{
	char path[PATH_ROOM];
	path_in(w, path, name);
	return file_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* Room behind the end of run/replicas for starts and deaths on a full disk. */
static void reserve(struct warden *w)
{
	struct stat st;
	if (fstat(w->replicas_fd, &st) == 0)
		(void)!fallocate(w->replicas_fd, FALLOC_FL_KEEP_SIZE, st.st_size, RESERVE_BYTES);
}

enum hg_rc data_open(struct warden *w, struct hg_err *err)
{
	char path[PATH_ROOM];
	w->run_fd = w->spool_fd = w->lock_fd = w->replicas_fd = -1;
	if (w->data_dir[0] != '/') {
		return hg_err_set(err, HG_E_DATA_DIR, "data folder \"%s\" is not an absolute path",
		        w->data_dir);
	}
	enum hg_rc rc = make_dir(w, "", 0, w->as_root ? 0711 : 0700, err);
	if (rc == HG_OK) rc = make_dir(w, "run", 0, w->as_root ? 0711 : 0700, err);
	if (rc == HG_OK) rc = take_lock(w, err);
	if (rc == HG_OK) rc = make_dirs(w, err);
	if (rc < 0) return rc;
	w->run_fd = open_dir(w, "run");
	w->spool_fd = open_dir(w, "logs/spool");
	path_in(w, path, "run/replicas");
	w->replicas_fd = file_open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	if (w->run_fd < 0 || w->spool_fd < 0 || w->replicas_fd < 0) {
		return bad_data(err, "open", w->data_dir, EACCES);
	}
	reserve(w);
	read_uids(w);
	return HG_OK;
}

void data_close(struct warden *w)
{
	if (w->run_fd >= 0) {
		unlinkat(w->run_fd, "warden", 0);
		unlinkat(w->run_fd, "warden.spare", 0);
		unlinkat(w->run_fd, "observe.sock", 0);
		unlinkat(w->run_fd, "admin", 0);
		unlinkat(w->run_fd, "../control.sock", 0);
	}
	int *fds[] = {&w->replicas_fd, &w->spool_fd, &w->run_fd, &w->lock_fd};
	for (size_t i = 0; i < HG_COUNT(fds); i++) {
		if (*fds[i] >= 0) close(*fds[i]);
		*fds[i] = -1;
	}
}

/*
 * run/warden must follow every restart of a role even when the disk is full: `status` and `down`
 * find the processes by it. So there are two files whose blocks are taken while there is room, and
 * a change writes the spare one over itself and exchanges the names: atomic, and nothing is
 * allocated. Worthless after a reboot (the boot id differs), so not worth an fsync each.
 */
static bool write_over_spare(struct warden *w, const struct hg_buf *text)
{
	const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(w->run_fd, "warden.spare", flags, 0644);
	if (fd < 0) return false;
	/* File systems without fallocate() keep the blocks once they are written. */
	(void)!fallocate(fd, 0, 0, STATE_BYTES);
	bool good = fchmod(fd, 0644) == 0 && file_write_all(fd, text->p, text->n) == 0;
	close(fd);
	if (!good) return false;
	return renameat2(w->run_fd, "warden.spare", w->run_fd, "warden", RENAME_EXCHANGE) == 0;
}

void data_write_state(struct warden *w)
{
	static const char *const name[] = {"warden", "control", "observe", "edge"};
	char path[PATH_ROOM], boot[37];
	struct hg_buf text;
	hg_buf_init(&text, STATE_BYTES);
	if (!file_boot_id(boot)) boot[0] = 0;
	hg_buf_fmt(&text, "headgate-warden 1\nboot %s\nwarden %d %llu\n", boot, (int)getpid(),
	        (unsigned long long)proc_start_time(getpid()));
	for (uint32_t i = 0; i < w->role_count; i++) {
		const struct role *r = &w->roles[i];
		if (!r->pid) continue;
		hg_buf_fmt(&text, "%s %d %llu\n", name[r->role], r->pid,
		        (unsigned long long)r->start_time);
	}
	/* Always the same size, or the blocks would be given back. */
	size_t rest = STATE_BYTES - text.n;
	char *pad = rest ? hg_buf_room(&text, rest) : NULL;
	if (pad) {
		memset(pad, '\n', rest);
		hg_buf_add(&text, rest);
	}
	path_in(w, path, "run/warden");
	if (!write_over_spare(w, &text) &&
	        file_write_replace(path, 0644, hg_buf_view(&text), NULL) < 0) {
		hg_log(&w->log, HG_WARN, "warden.state",
		        HG_S("error", "could not write run/warden"));
	}
	hg_buf_free(&text);
}

void data_note(struct warden *w, const char *what, const struct replica *r)
{
	char line[512], boot[37];
	struct stat st;
	if (!file_boot_id(boot)) boot[0] = 0;
	/* Old starts are of no use to anyone; the file begins anew when nothing runs. */
	if (fstat(w->replicas_fd, &st) == 0 && st.st_size > REPLICAS_FILE_MAX &&
	        replicas_running(w) == 0 && ftruncate(w->replicas_fd, 0) < 0) {
		return;
	}
	int n = snprintf(line, sizeof line, "%s %s %llu %d %llu %s %u %d %s\n", what, boot,
	        (unsigned long long)r->id, r->pid, (unsigned long long)r->start_time, r->log.name,
	        r->uid, r->status, r->address[0] ? r->address : "-");
	if (n > 0 && (size_t)n < sizeof line) (void)!write(w->replicas_fd, line, (size_t)n);
	reserve(w);
}

/* ---- listeners ---- */

static enum hg_rc bind_failed(const struct sock_addr *a, int e, struct hg_err *err)
{
	char text[SOCK_TEXT_MAX];
	sock_addr_text(a, text, sizeof text);
	hg_err_set(err, HG_E_BIND, "could not bind listener %s: %s", text,
	        e == EACCES       ? "permission denied"
	        : e == EADDRINUSE ? "address in use"
	                          : strerror(e));
	if (e == EACCES && sock_addr_port(a) < 1024) {
		hg_err_hint(err,
		        "Ports below 1024 need root or CAP_NET_BIND_SERVICE; use another port, or "
		        "`sysctl net.ipv4.ip_unprivileged_port_start=80`.");
	} else if (e == EADDRINUSE) {
		hg_err_hint(err, "`ss -ltnp` shows who holds it.");
	} else if (e == EADDRNOTAVAIL) {
		hg_err_hint(
		        err, "The address belongs to no interface of this machine (`ip address`).");
	}
	return HG_E_BIND;
}

static enum hg_rc listen_unix(
        struct warden *w, const char *name, uid_t uid, gid_t gid, int *ret_fd, struct hg_err *err)
{
	struct sock_addr a = {.len = sizeof a.un};
	char path[PATH_ROOM];
	a.un.sun_family = AF_UNIX;
	path_in(w, path, name);
	if (!hg_str_copy(hg_str(path), a.un.sun_path, sizeof a.un.sun_path)) {
		hg_err_set(err, HG_E_DATA_DIR, "path \"%s\" is too long for a unix socket", path);
		hg_err_hint(err, "Use a data folder with a name of at most 85 characters.");
		return HG_E_DATA_DIR;
	}
	mode_t old = umask(0077);
	int fd = sock_listen(&a, 128);
	umask(old);
	if (fd < 0) return bind_failed(&a, -fd, err);
	*ret_fd = fd;
	if (w->as_root && lchown(path, uid, gid) < 0) {
		return bad_data(err, "hand over", path, errno);
	}
	return HG_OK;
}

static enum hg_rc listen_admin(struct warden *w, struct hg_err *err)
{
	struct sock_addr a = w->plan->admin, got;
	char path[PATH_ROOM], text[SOCK_TEXT_MAX + 1];
	if (a.len == 0) return HG_OK;
	int fd = sock_listen(&a, BACKLOG);
	if (fd == -EADDRINUSE && w->plan->admin_port_any) {
		if (a.sa.sa_family == AF_INET) a.in4.sin_port = 0;
		if (a.sa.sa_family == AF_INET6) a.in6.sin6_port = 0;
		fd = sock_listen(&a, BACKLOG);
	}
	if (fd < 0) return bind_failed(&a, -fd, err);
	w->admin_fd = fd;
	if (!sock_local(fd, &got)) got = a;
	size_t n = sock_addr_text(&got, text, SOCK_TEXT_MAX);
	text[n] = '\n';
	path_in(w, path, "run/admin");
	return file_write_replace(path, 0644, (struct hg_str){text, n + 1}, err);
}

enum hg_rc data_listen(struct warden *w, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < w->plan->listen_count && rc == HG_OK; i++) {
		int fd = sock_listen(&w->plan->listen[i], BACKLOG);
		if (fd < 0) return bind_failed(&w->plan->listen[i], -fd, err);
		w->listen_fds[i] = fd;
	}
	rc = listen_admin(w, err);
	if (rc == HG_OK) {
		rc = listen_unix(w, "control.sock", w->owner, w->owner_group, &w->control_fd, err);
	}
	if (rc == HG_OK) {
		rc = listen_unix(w, "run/observe.sock", WARDEN_UID_CONTROL, WARDEN_UID_CONTROL,
		        &w->observe_fd, err);
	}
	return rc;
}
