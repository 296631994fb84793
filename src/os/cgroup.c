#include "os/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MOUNT     "/sys/fs/cgroup"
#define TEXT_MAX  8192
#define PATH_ROOM 512

static const char *const v1_controller[CGROUP_PARTS] = {
        [CGROUP_MEMORY] = "memory",
        [CGROUP_CPU] = "cpu",
        [CGROUP_PIDS] = "pids",
};

static ssize_t read_text(const char *path, char *to, size_t cap)
{
	size_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return -errno;
	while (n < cap - 1) {
		ssize_t r = read(fd, to + n, cap - 1 - n);
		if (r <= 0) break;
		n += (size_t)r;
	}
	close(fd);
	to[n] = 0;
	return (ssize_t)n;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) return -errno;
	int rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* False when the three parts do not fit: a cut path must never be used. */
HG_PRINTF(2, 3) static bool join(char to[PATH_ROOM], const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(to, PATH_ROOM, fmt, ap);
	va_end(ap);
	return n > 0 && n < PATH_ROOM;
}

/* The line of /proc/self/cgroup that names `controller` ("" is v2): our own path in there. */
static bool own_path(const char *text, const char *controller, char *to, size_t cap)
{
	struct hg_str rest = hg_str(text);
	while (rest.n > 0) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		(void)hg_str_cut(&line, ':');
		struct hg_str names = hg_str_cut(&line, ':');
		bool found = controller[0] == 0 && names.n == 0;
		while (names.n > 0 && !found && controller[0]) {
			found = hg_str_eq(hg_str_cut(&names, ','), hg_str(controller));
		}
		if (found) return hg_str_copy(line, to, cap);
	}
	return false;
}

/* Whether we may make groups below `dir` without meddling with somebody else's tree. */
static bool is_ours(const char *dir, const char *own)
{
	struct stat st;
	char yes[4];
	if (access(dir, W_OK) < 0 || stat(dir, &st) < 0) return false;
	if (strcmp(own, "/") == 0) return true;
	if (getxattr(dir, "user.delegate", yes, sizeof yes) == 1 && yes[0] == '1') return true;
	if (getxattr(dir, "trusted.delegate", yes, sizeof yes) == 1 && yes[0] == '1') return true;
	return geteuid() != 0 && st.st_uid == geteuid();
}

static bool make_base(
        const char *mount, const char *own, const char *name, char to[CGROUP_PATH_MAX])
{
	char dir[PATH_ROOM], base[PATH_ROOM];
	if (!join(dir, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own) || !is_ours(dir, own) ||
	        !join(base, "%s/%s", dir, name)) {
		return false;
	}
	if (mkdir(base, 0755) < 0 && errno != EEXIST) return false;
	return hg_str_copy(hg_str(base), to, CGROUP_PATH_MAX);
}

static bool lists(const char *path, const char *word)
{
	char text[TEXT_MAX];
	if (read_text(path, text, sizeof text) <= 0) return false;
	struct hg_str rest = hg_str_trim(hg_str(text));
	while (rest.n > 0) {
		if (hg_str_eq(hg_str_cut(&rest, ' '), hg_str(word))) return true;
	}
	return false;
}

/*
 * v2: a group with processes cannot hand controllers down, so we only use what our parent's
 * subtree_control already gives to our new directory, after asking for it once.
 */
static void find_v2(const char *mount, const char *own, const char *name, struct cgroup_root *r)
{
	static const char *const word[] = {"memory", "cpu", "pids"};
	char path[PATH_ROOM], base[CGROUP_PATH_MAX], ask[16];
	if (!make_base(mount, own, name, base)) return;
	hg_str_copy(hg_str(base), r->base[CGROUP_KILL], CGROUP_PATH_MAX);
	for (int i = CGROUP_MEMORY; i <= CGROUP_PIDS; i++) {
		snprintf(ask, sizeof ask, "+%s", word[i]);
		if (join(path, "%s%s/cgroup.subtree_control", mount, strcmp(own, "/") ? own : "")) {
			(void)write_text(path, ask);
		}
		if (join(path, "%s/cgroup.subtree_control", base)) (void)write_text(path, ask);
		if (lists(path, word[i])) {
			hg_str_copy(hg_str(base), r->base[i], CGROUP_PATH_MAX);
			r->v2 = true;
		}
	}
	/* Without cgroup.kill (Linux < 5.14) the directory is of no use for killing. */
	if (!join(path, "%s/cgroup.kill", base) || access(path, W_OK) < 0) {
		r->base[CGROUP_KILL][0] = 0;
	}
}

void cgroup_root_find(const char *name, struct cgroup_root *ret_root)
{
	char text[TEXT_MAX], own[PATH_ROOM], mount[PATH_ROOM];
	struct stat st;
	*ret_root = (struct cgroup_root){0};
	if (read_text("/proc/self/cgroup", text, sizeof text) <= 0) return;
	bool unified = stat(MOUNT "/unified/cgroup.procs", &st) == 0;
	bool pure = stat(MOUNT "/cgroup.procs", &st) == 0;
	if ((unified || pure) && own_path(text, "", own, sizeof own)) {
		find_v2(unified ? MOUNT "/unified" : MOUNT, own, name, ret_root);
	}
	if (ret_root->v2) return;
	for (int i = CGROUP_MEMORY; i <= CGROUP_PIDS; i++) {
		if (!own_path(text, v1_controller[i], own, sizeof own)) continue;
		if (!join(mount, MOUNT "/%s", v1_controller[i])) continue;
		(void)make_base(mount, own, name, ret_root->base[i]);
	}
}

void cgroup_root_remove(const struct cgroup_root *root)
{
	for (int i = 0; i < CGROUP_PARTS; i++) {
		if (root->base[i][0]) rmdir(root->base[i]);
	}
}

static bool name_valid(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < 200;
}

static bool set_value(const char *dir, const char *file, const char *value)
{
	char path[PATH_ROOM];
	return join(path, "%s/%s", dir, file) && write_text(path, value) == 0;
}

static bool set_memory(const char *dir, bool v2, uint64_t bytes)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
	if (!v2) {
		bool ok = set_value(dir, "memory.limit_in_bytes", text);
		if (ok) (void)set_value(dir, "memory.memsw.limit_in_bytes", text);
		return ok;
	}
	bool ok = set_value(dir, "memory.max", text);
	/* Swapping a replica to death is worse than restarting it. */
	if (ok) {
		(void)set_value(dir, "memory.swap.max", "0");
		(void)set_value(dir, "memory.oom.group", "1");
	}
	return ok;
}

static bool set_cpu(const char *dir, bool v2, uint64_t milli)
{
	char text[64];
	unsigned long long quota_us = milli * 100; /* per period of 100 ms */
	if (v2) {
		snprintf(text, sizeof text, "%llu 100000", quota_us);
		return set_value(dir, "cpu.max", text);
	}
	snprintf(text, sizeof text, "%llu", quota_us);
	return set_value(dir, "cpu.cfs_period_us", "100000") &&
	       set_value(dir, "cpu.cfs_quota_us", text);
}

static bool set_pids(const char *dir, uint64_t n)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)n);
	return set_value(dir, "pids.max", text);
}

static bool set_part(const char *dir, bool v2, int part, const struct cgroup_limits *l)
{
	switch (part) {
	case CGROUP_MEMORY: return l->memory_max && set_memory(dir, v2, l->memory_max);
	case CGROUP_CPU: return l->cpu_max_milli && set_cpu(dir, v2, l->cpu_max_milli);
	case CGROUP_PIDS: return l->pids_max && set_pids(dir, l->pids_max);
	default: return true;
	}
}

int cgroup_create(const struct cgroup_root *root, const char *name,
        const struct cgroup_limits *limits, uint32_t *ret_parts)
{
	char dir[PATH_ROOM];
	*ret_parts = 0;
	if (!name_valid(name)) return -EINVAL;
	for (int i = 0; i < CGROUP_PARTS; i++) {
		if (!root->base[i][0] || !join(dir, "%s/%s", root->base[i], name)) continue;
		if (mkdir(dir, 0755) < 0 && errno != EEXIST) continue;
		if (set_part(dir, root->v2, i, limits)) {
			*ret_parts |= 1u << i;
		} else if (!root->v2) {
			rmdir(dir);
		}
	}
	return 0;
}

int cgroup_join(const struct cgroup_root *root, const char *name, uint32_t parts)
{
	char path[PATH_ROOM];
	for (int i = 0; i < CGROUP_PARTS; i++) {
		if (!(parts & (1u << i))) continue;
		if (!join(path, "%s/%s/cgroup.procs", root->base[i], name)) return -ENAMETOOLONG;
		int rc = write_text(path, "0");
		if (rc < 0) return rc;
	}
	return 0;
}

static void kill_listed(const char *dir)
{
	char path[PATH_ROOM], text[TEXT_MAX];
	/* Those that fork while we read are seen in the next round. */
	for (int round = 0; round < 16; round++) {
		if (!join(path, "%s/cgroup.procs", dir)) return;
		if (read_text(path, text, sizeof text) <= 0) return;
		for (char *p = text, *end;; p = end) {
			long pid = strtol(p, &end, 10);
			if (end == p) break;
			if (pid > 1 && *end == '\n') kill((pid_t)pid, SIGKILL);
		}
	}
}

void cgroup_kill(const struct cgroup_root *root, const char *name, uint32_t parts)
{
	char dir[PATH_ROOM];
	for (int i = CGROUP_PARTS - 1; i >= 0; i--) {
		if (!(parts & (1u << i)) || !join(dir, "%s/%s", root->base[i], name)) continue;
		if ((i == CGROUP_KILL || root->v2) && set_value(dir, "cgroup.kill", "1")) return;
		kill_listed(dir);
		return;
	}
}

int cgroup_remove(const struct cgroup_root *root, const char *name, uint32_t parts)
{
	char dir[PATH_ROOM];
	int rc = 0;
	for (int i = 0; i < CGROUP_PARTS; i++) {
		if (!(parts & (1u << i)) || !join(dir, "%s/%s", root->base[i], name)) continue;
		if (rmdir(dir) < 0 && errno != ENOENT) rc = -errno;
	}
	return rc;
}

bool cgroup_memory(const struct cgroup_root *root, const char *name, uint64_t *ret_bytes,
        uint64_t *ret_oom_kills)
{
	char path[PATH_ROOM], text[TEXT_MAX];
	const char *base = root->base[CGROUP_MEMORY];
	if (!base[0]) return false;
	if (!join(path, "%s/%s/%s", base, name,
	            root->v2 ? "memory.current" : "memory.usage_in_bytes") ||
	        read_text(path, text, sizeof text) <= 0) {
		return false;
	}
	*ret_bytes = strtoull(text, NULL, 10);
	*ret_oom_kills = 0;
	if (join(path, "%s/%s/%s", base, name, root->v2 ? "memory.events" : "memory.oom_control") &&
	        read_text(path, text, sizeof text) > 0) {
		const char *at = strstr(text, "oom_kill ");
		if (at) *ret_oom_kills = strtoull(at + 9, NULL, 10);
	}
	return true;
}
