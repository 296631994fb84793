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

static bool is_marked(const char *dir)
{
	char yes[4];
	return (getxattr(dir, "user.delegate", yes, sizeof yes) == 1 && yes[0] == '1') ||
	       (getxattr(dir, "trusted.delegate", yes, sizeof yes) == 1 && yes[0] == '1');
}

/* Whether we may make groups below `dir` without meddling with somebody else's tree. */
static bool is_ours(const char *dir, const char *own)
{
	struct stat st;
	if (access(dir, W_OK) < 0 || stat(dir, &st) < 0) return false;
	if (strcmp(own, "/") == 0 || is_marked(dir)) return true;
	return geteuid() != 0 && st.st_uid == geteuid();
}

static bool make_base(const char *dir, const char *name, char to[CGROUP_PATH_MAX])
{
	char base[PATH_ROOM];
	if (!join(base, "%s/%s", dir, name)) return false;
	if (mkdir(base, 0755) < 0 && errno != EEXIST) return false;
	return hg_str_copy(hg_str(base), to, CGROUP_PATH_MAX);
}

/* Where the v2 tree is: alone, or beside those of v1; NULL: nowhere. */
static const char *v2_mount(void)
{
	struct stat st;
	if (stat(MOUNT "/unified/cgroup.procs", &st) == 0) return MOUNT "/unified";
	return stat(MOUNT "/cgroup.procs", &st) == 0 ? MOUNT : NULL;
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

/* ---- v2: the way down ---- */

static bool same_program(pid_t pid)
{
	char path[64];
	struct stat ours, theirs;
	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	return stat("/proc/self/exe", &ours) == 0 && stat(path, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* Into the group "headgate" below `dir`, where processes do not stand in the way. */
static void make_way(const char *dir)
{
	char path[PATH_ROOM], text[TEXT_MAX], number[24];
	pid_t parent = getppid();
	if (!join(path, "%s/headgate", dir) || (mkdir(path, 0755) < 0 && errno != EEXIST)) return;
	if (!join(path, "%s/cgroup.procs", dir) || read_text(path, text, sizeof text) <= 0) return;
	if (!join(path, "%s/headgate/cgroup.procs", dir)) return;
	for (char *p = text, *end;; p = end) {
		long pid = strtol(p, &end, 10);
		if (end == p) break;
		bool own = pid == getpid() || (pid == parent && same_program(parent));
		if (pid <= 0 || (!own && !is_marked(dir))) continue;
		snprintf(number, sizeof number, "%ld", pid);
		(void)write_text(path, number);
	}
}

/* True when `dir` hands `word` down, or would if we moved. */
static bool hand_down(const char *dir, const char *word, bool look)
{
	char path[PATH_ROOM], ask[16];
	if (!join(path, "%s/cgroup.subtree_control", dir)) return false;
	if (lists(path, word)) return true;
	if (look) return join(path, "%s/cgroup.controllers", dir) && lists(path, word);
	snprintf(ask, sizeof ask, "+%s", word);
	if (write_text(path, ask) != -EBUSY) return true;
	make_way(dir);
	return write_text(path, ask) == 0;
}

/* Where we may make groups: ours, or above it the one that systemd (DelegateSubgroup=) gave us. */
static bool find_own(const char *mount, const char *own, char to[PATH_ROOM])
{
	if (!join(to, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own)) return false;
	if (is_ours(to, own)) return true;
	char *slash = strrchr(to, '/');
	if (!slash || slash <= to + strlen(mount)) return false;
	*slash = 0;
	return is_marked(to) && access(to, W_OK) == 0;
}

static void find_v2(
        const char *mount, const char *own, const char *name, bool look, struct cgroup_root *r)
{
	static const char *const word[] = {"memory", "cpu", "pids"};
	char dir[PATH_ROOM], path[PATH_ROOM], base[CGROUP_PATH_MAX], ask[16];
	if (!find_own(mount, own, dir) || !make_base(dir, name, base)) return;
	hg_str_copy(hg_str(base), r->base[CGROUP_KILL], CGROUP_PATH_MAX);
	for (int i = CGROUP_MEMORY; i <= CGROUP_PIDS; i++) {
		bool down = hand_down(dir, word[i], look);
		snprintf(ask, sizeof ask, "+%s", word[i]);
		if (!join(path, "%s/cgroup.subtree_control", base)) continue;
		(void)write_text(path, ask);
		if (!(look ? down : lists(path, word[i]))) continue;
		hg_str_copy(hg_str(base), r->base[i], CGROUP_PATH_MAX);
		r->v2 = true;
	}
	/* Protection from above goes as far down as we let it. */
	if (r->base[CGROUP_MEMORY][0] && join(path, "%s/memory.low", base))
		(void)write_text(path, "max");
	/* Without cgroup.kill (Linux < 5.14) the directory is of no use for killing. */
	if (!join(path, "%s/cgroup.kill", base) || access(path, W_OK) < 0) {
		r->base[CGROUP_KILL][0] = 0;
	}
}

void cgroup_root_find(const char *name, bool look, struct cgroup_root *ret_root)
{
	char text[TEXT_MAX], own[PATH_ROOM], mount[PATH_ROOM], dir[PATH_ROOM];
	*ret_root = (struct cgroup_root){0};
	if (read_text("/proc/self/cgroup", text, sizeof text) <= 0) return;
	const char *v2 = v2_mount();
	if (v2 && own_path(text, "", own, sizeof own)) find_v2(v2, own, name, look, ret_root);
	if (ret_root->v2) return;
	for (int i = CGROUP_MEMORY; i <= CGROUP_PIDS; i++) {
		if (!own_path(text, v1_controller[i], own, sizeof own)) continue;
		if (!join(mount, MOUNT "/%s", v1_controller[i])) continue;
		if (!join(dir, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own)) continue;
		if (is_ours(dir, own)) (void)make_base(dir, name, ret_root->base[i]);
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

/* One CPU is 1024 shares; v2 has other numbers for the same, as Kubernetes maps them. */
static bool set_weight(const char *dir, bool v2, uint64_t milli)
{
	char text[32];
	uint64_t shares = HG_MIN(HG_MAX(milli * 1024 / 1000, (uint64_t)2), (uint64_t)262144);
	uint64_t v = v2 ? 1 + (shares - 2) * 9999 / 262142 : shares;
	snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	return set_value(dir, v2 ? "cpu.weight" : "cpu.shares", text);
}

static bool set_low(const char *dir, bool v2, uint64_t bytes)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
	return v2 && set_value(dir, "memory.low", text);
}

static bool set_pids(const char *dir, uint64_t n)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)n);
	return set_value(dir, "pids.max", text);
}

/* True when there is something in this part that the group must be joined for. */
static bool set_part(const char *dir, bool v2, int part, const struct cgroup_limits *l)
{
	bool wish;
	switch (part) {
	case CGROUP_MEMORY:
		wish = l->memory_low && set_low(dir, v2, l->memory_low);
		return l->memory_max ? set_memory(dir, v2, l->memory_max) : wish;
	case CGROUP_CPU:
		wish = l->cpu_milli && set_weight(dir, v2, l->cpu_milli);
		return l->cpu_max_milli ? set_cpu(dir, v2, l->cpu_max_milli) : wish;
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

/* ---- use ---- */

/* The number behind `key` at the start of a line; 0: not there. */
static uint64_t stat_value(const char *text, const char *key)
{
	size_t n = strlen(key);
	for (const char *at = text; at && *at; at = strchr(at, '\n')) {
		if (*at == '\n') at++;
		if (strncmp(at, key, n) == 0 && at[n] == ' ') return strtoull(at + n + 1, NULL, 10);
	}
	return 0;
}

static bool read_in(const char *dir, const char *file, char text[TEXT_MAX])
{
	char path[PATH_ROOM];
	text[0] = 0;
	return join(path, "%s/%s", dir, file) && read_text(path, text, TEXT_MAX) > 0;
}

uint64_t cgroup_oom_kills(const struct cgroup_root *root, const char *name)
{
	char dir[PATH_ROOM], text[TEXT_MAX];
	const char *base = root->base[CGROUP_MEMORY];
	if (!base[0] || !join(dir, "%s/%s", base, name)) return 0;
	if (!read_in(dir, root->v2 ? "memory.events" : "memory.oom_control", text)) return 0;
	return stat_value(text, "oom_kill");
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void memory_of(const char *dir, bool v2, struct cgroup_usage *u)
{
	char text[TEXT_MAX];
	if (!read_in(dir, v2 ? "memory.current" : "memory.usage_in_bytes", text)) return;
	uint64_t all = strtoull(text, NULL, 10);
	if (!read_in(dir, "memory.stat", text)) return;
	uint64_t files = stat_value(text, v2 ? "file" : "cache"),
	         shared = stat_value(text, "shmem");
	u->has_memory = true;
	u->memory_bytes = less(all, less(files, shared) + stat_value(text, "slab_reclaimable"));
}

/* The directory of the group when its last part is `name`. */
static bool dir_of(const char *text, const char *controller, const char *mount, const char *name,
        char to[PATH_ROOM])
{
	char own[PATH_ROOM];
	if (!own_path(text, controller, own, sizeof own)) return false;
	const char *last = strrchr(own, '/');
	return last && strcmp(last + 1, name) == 0 && join(to, "%s%s", mount, own);
}

void cgroup_usage_of(pid_t pid, const char *name, struct cgroup_usage *ret_usage)
{
	char path[64], text[TEXT_MAX], dir[PATH_ROOM], stat_text[TEXT_MAX];
	const char *v2 = v2_mount();
	*ret_usage = (struct cgroup_usage){0};
	snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
	if (read_text(path, text, sizeof text) <= 0) return;
	if (v2 && dir_of(text, "", v2, name, dir)) {
		memory_of(dir, true, ret_usage);
		ret_usage->has_cpu = read_in(dir, "cpu.stat", stat_text);
		if (ret_usage->has_cpu)
			ret_usage->cpu_ns = stat_value(stat_text, "usage_usec") * 1000;
	}
	if (!ret_usage->has_memory && dir_of(text, "memory", MOUNT "/memory", name, dir))
		memory_of(dir, false, ret_usage);
}
