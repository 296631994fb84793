#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "warden/warden_priv.h"

#define SPOOL_MS   100
#define PIPE_WANT  (1 << 20)
#define SPOOL_STEP (1 << 20)

static const char *const names[2] = {"out", "err"};

static int make_fifo(
        int dir, const char *name, uid_t uid, bool chown_it, int *ret_keep, int *ret_rd)
{
	if (mkfifoat(dir, name, 0600) < 0 && errno != EEXIST) return -errno;
	int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) return -errno;
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		close(fd);
		return -EEXIST;
	}
	/* The process may open its /dev/stdout anew; that needs the FIFO to be its own. */
	if (chown_it && fchown(fd, uid, uid) < 0) {
		int err = errno;
		close(fd);
		return -err;
	}
	for (int want = PIPE_WANT; want >= 65536 && fcntl(fd, F_SETPIPE_SZ, want) < 0; want /= 4) {
	}
	int rd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (rd < 0) {
		int err = errno;
		close(fd);
		return -err;
	}
	*ret_keep = fd;
	*ret_rd = rd;
	return 0;
}

static int fill_dir(struct warden *w, struct source *s, int dir)
{
	if (w->as_root && fchown(dir, s->uid, WARDEN_UID_EDGE) < 0) return -errno;
	if (fchmod(dir, w->as_root ? 02710 : 0700) < 0) return -errno;
	if (mkdirat(dir, "tmp", 0700) < 0 && errno != EEXIST) return -errno;
	if (mkdirat(dir, "root", 0700) < 0 && errno != EEXIST) return -errno;
	if (w->as_root && fchownat(dir, "tmp", s->uid, s->uid, AT_SYMLINK_NOFOLLOW) < 0) {
		return -errno;
	}
	for (int i = 0; i < 2; i++) {
		int rc = make_fifo(dir, names[i], s->uid, w->as_root, &s->keep[i], &s->rd[i]);
		if (rc < 0) return rc;
	}
	return 0;
}

static void close_fds(struct source *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->keep[i] >= 0) close(s->keep[i]);
		if (s->rd[i] >= 0) close(s->rd[i]);
		s->keep[i] = s->rd[i] = -1;
	}
}

int source_open(
        struct warden *w, struct source *s, uint64_t id, const struct wd_who *who, uid_t uid)
{
	*s = (struct source){.id = id, .who = *who, .uid = uid, .keep = {-1, -1}, .rd = {-1, -1}};
	snprintf(s->name, sizeof s->name, "%s.%u.%u.%u", who->app, who->release, who->replica,
	        who->incarnation);
	if (mkdirat(w->run_fd, s->name, 0700) < 0 && errno != EEXIST) return -errno;
	int dir = openat(w->run_fd, s->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0) return -errno;
	int rc = fill_dir(w, s, dir);
	close(dir);
	if (rc < 0) {
		close_fds(s);
		return rc;
	}
	s->open = true;
	return 0;
}

/* What the replica left in its directory may be much: a helper removes it, the loop goes on. */
static void remove_dir(struct warden *w, const char *name)
{
	int dir = openat(w->run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0) return;
	unlinkat(dir, "out", 0);
	unlinkat(dir, "err", 0);
	unlinkat(dir, "tmp", AT_REMOVEDIR);
	unlinkat(dir, "root", AT_REMOVEDIR);
	if (unlinkat(w->run_fd, name, AT_REMOVEDIR) < 0 && errno == ENOTEMPTY) {
		pid_t pid = fork();
		if (pid == 0) {
			int rc = file_remove_below(dir);
			if (rc == 0) rc = unlinkat(w->run_fd, name, AT_REMOVEDIR);
			hg_child_exit(rc < 0);
		}
	}
	close(dir);
}

void source_close(struct warden *w, struct source *s)
{
	if (!s->open) return;
	close_fds(s);
	s->open = false;
	s->tell = 0;
	remove_dir(w, s->name);
}

static int open_spool(struct warden *w, const struct source *s, int i)
{
	char name[NAME_ROOM + 8];
	snprintf(name, sizeof name, "%s.%s", s->name, names[i]);
	int fd = openat(w->spool_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && w->as_root && fchown(fd, WARDEN_UID_OBSERVE, WARDEN_UID_OBSERVE) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static ssize_t move(int from, int to, loff_t *at)
{
	ssize_t n;
	do {
		n = splice(from, NULL, to, at, SPOOL_STEP, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void discard(struct source *s, int i)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0) return;
	ssize_t n = move(s->rd[i], null, NULL);
	if (n > 0) s->discarded += (uint64_t)n;
	close(null);
}

static void spool_one(struct warden *w, struct source *s, int i)
{
	int fd = open_spool(w, s, i);
	loff_t at = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
	ssize_t n = -EIO;
	if (at >= 0) {
		do {
			n = move(s->rd[i], fd, &at);
		} while (n > 0);
	}
	if (fd >= 0) close(fd);
	/* No room on the disk: the replica must not wait for it. */
	if (n < 0 && n != -EAGAIN) discard(s, i);
}

void source_spool(struct warden *w, struct source *s, bool all)
{
	for (int i = 0; i < 2 && s->open; i++) {
		int used = 0;
		if (ioctl(s->rd[i], FIONREAD, &used) < 0 || used == 0) continue;
		/*
		 * A pipe is full when its pages are taken, not its bytes: lines a little over half
		 * a page fill one each. A quarter of the bytes is the safe mark.
		 */
		if (!all && used < fcntl(s->rd[i], F_GETPIPE_SZ) / 4) continue;
		spool_one(w, s, i);
	}
}

static void on_spool_timer(struct loop *l, struct loop_timer *t)
{
	struct warden *w = HG_CONTAINER(t, struct warden, spool_timer);
	if (role_observe(w)->pid) return;
	for (uint32_t i = 0; i < w->role_count; i++)
		source_spool(w, &w->roles[i].log, false);
	for (uint32_t i = 0; i < w->replica_high; i++)
		source_spool(w, &w->replicas[i].log, false);
	if (loop_timer_start(l, t, SPOOL_MS, on_spool_timer) < 0) {
		hg_log(&w->log, HG_ERROR, "warden.memory");
	}
}

void spool_start(struct warden *w)
{
	if (loop_timer_start(w->loop, &w->spool_timer, SPOOL_MS, on_spool_timer) < 0) {
		hg_log(&w->log, HG_ERROR, "warden.memory");
	}
}

void spool_stop(struct warden *w)
{
	loop_timer_stop(w->loop, &w->spool_timer);
}
