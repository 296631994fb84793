/* doctor: what this machine has, what it lacks, what that costs and how to get it. */
#include "up_priv.h"
#include "client_priv.h"

#include "os/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define ROOM_WANTED  (1ull << 30)
#define FILES_WANTED 65536u
#define PATH_ROOM    90 /* of sun_path, for DATA with /run/observe.sock behind it */

struct check {
	const char *name;
	enum cli_mark mark; /* GOOD, WARN: works with less, BAD: does not work */
	char text[160];
	char fix[200];
};

struct doctor {
	const struct cli *c;
	const struct spec *spec; /* NULL: no configuration */
	struct check check[24];
	uint32_t n;
};

static struct check *result(struct doctor *d, const char *name, enum cli_mark mark)
{
	HG_ASSERT(d->n < HG_COUNT(d->check));
	struct check *k = &d->check[d->n++];
	*k = (struct check){.name = name, .mark = mark};
	return k;
}

#define TEXT(k, ...) snprintf((k)->text, sizeof(k)->text, __VA_ARGS__)
#define FIX(k, ...)  snprintf((k)->fix, sizeof(k)->fix, __VA_ARGS__)

/* First number in a file of the kernel; -1: not there. */
static long kernel_number(const char *path)
{
	char text[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0) close(fd);
	if (n <= 0) return -1;
	text[n] = 0;
	return strtol(text, NULL, 10);
}

static void check_kernel(struct doctor *d)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	uname(&u);
	bool parsed = sscanf(u.release, "%u.%u", &major, &minor) == 2;
	bool good = parsed && (major > 6 || (major == 6 && minor >= 1));
	struct check *k = result(d, "kernel", good ? CLI_GOOD : CLI_BAD);
	TEXT(k, "Linux %.60s", u.release);
	if (!good) FIX(k, "Headgate needs Linux 6.1 or newer (Debian 12 has it)");
}

static void check_user(struct doctor *d)
{
	bool root = geteuid() == 0;
	struct check *k = result(d, "users", root ? CLI_GOOD : CLI_WARN);
	if (root) {
		TEXT(k, "root: every app runs as a user of its own (%u to %u)", WARDEN_UID_APPS,
		        WARDEN_UID_APPS_END - 1);
	} else {
		TEXT(k, "user %u: all apps share this user", (unsigned)geteuid());
		FIX(k, "as root or from the service unit, apps are kept apart");
	}
}

static void check_namespaces(struct doctor *d)
{
	long max = kernel_number("/proc/sys/user/max_user_namespaces");
	long debian = kernel_number("/proc/sys/kernel/unprivileged_userns_clone");
	long apparmor = kernel_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
	bool good = geteuid() == 0 || (max > 0 && debian != 0 && apparmor != 1);
	struct check *k = result(d, "user namespaces", good ? CLI_GOOD : CLI_WARN);
	TEXT(k, good ? "available" : "not allowed: replicas see the whole file system");
	if (!good) FIX(k, "sudo sysctl user.max_user_namespaces=15000, or run as root");
}

static void check_cgroups(struct doctor *d)
{
	struct cgroup_root root;
	char name[48];
	snprintf(name, sizeof name, "headgate-doctor-%d", (int)getpid());
	cgroup_root_find(name, true, &root);
	cgroup_root_remove(&root);
	bool memory = root.base[CGROUP_MEMORY][0], cpu = root.base[CGROUP_CPU][0];
	struct check *k = result(d, "limits", memory && cpu ? CLI_GOOD : CLI_WARN);
	TEXT(k, "memory: %s; CPU: %s",
	        memory ? root.v2 ? "cgroup v2" : "cgroup v1" : "no cgroup, watched once a second",
	        cpu ? root.v2 ? "cgroup v2" : "cgroup v1" : "not kept");
	if (!memory || !cpu)
		FIX(k, "give Headgate a cgroup of its own: the service unit, or systemd-run --user "
		       "--scope -p Delegate=yes headgate up");
}

static void check_seccomp(struct doctor *d)
{
	bool good = access("/proc/sys/kernel/seccomp/actions_avail", R_OK) == 0;
	struct check *k = result(d, "seccomp", good ? CLI_GOOD : CLI_WARN);
	TEXT(k, good ? "available" : "missing: no system call filter");
	if (!good) FIX(k, "a kernel with CONFIG_SECCOMP_FILTER");
}

static void check_landlock(struct doctor *d)
{
	long version = syscall(
	        SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
	struct check *k = result(d, "landlock", version > 0 ? CLI_GOOD : CLI_WARN);
	if (version > 0) {
		TEXT(k, "version %ld", version);
	} else {
		TEXT(k, "not available: writes of a plain user's replicas are not confined");
		FIX(k, "boot with lsm=landlock,… (Debian 12 has it built in)");
	}
}

static void check_port(
        struct doctor *d, const char *name, const struct spec_address *a, bool replaced)
{
	struct sock_addr addr;
	if (!sock_addr_parse(a->text, &addr)) return;
	int fd = sock_listen(&addr, 1);
	if (fd >= 0) close(fd);
	struct check *k = result(d, name, fd >= 0 ? CLI_GOOD : replaced ? CLI_WARN : CLI_BAD);
	TEXT(k, "%.*s %s", (int)HG_MIN(a->text.n, 60), a->text.p,
	        fd >= 0    ? "free"
	        : replaced ? "taken: another port will be used"
	                   : strerror(-fd));
	if (fd == -EADDRINUSE && !replaced)
		FIX(k, "see who listens: ss -ltnp sport = :%u; or choose another port", a->port);
	if (fd == -EACCES)
		FIX(k, "ports below 1024 need root, CAP_NET_BIND_SERVICE or the service unit");
}

static void check_files(struct doctor *d)
{
	struct rlimit r = {0};
	getrlimit(RLIMIT_NOFILE, &r);
	bool good = r.rlim_max >= FILES_WANTED;
	struct check *k = result(d, "open files", good ? CLI_GOOD : CLI_WARN);
	TEXT(k, "limit %llu%s", (unsigned long long)r.rlim_max,
	        good ? "" : ": about half as many connections at once");
	if (!good)
		FIX(k, "LimitNOFILE=%u in the unit, or ulimit -Hn %u", FILES_WANTED, FILES_WANTED);
}

/* The folder itself, or the nearest parent that is there. */
static void existing_part(const char *path, char to[4096])
{
	struct stat st;
	snprintf(to, 4096, "%s", path);
	while (stat(to, &st) < 0 && strlen(to) > 1) {
		char *slash = strrchr(to, '/');
		if (!slash) break;
		slash[slash == to] = 0;
	}
}

static void check_data(struct doctor *d)
{
	struct statvfs v;
	char there[4096], room[CLI_TEXT_MAX];
	existing_part(d->c->data_dir, there);
	bool writable = access(there, W_OK) == 0;
	struct check *k = result(d, "data folder", writable ? CLI_GOOD : CLI_BAD);
	TEXT(k, "%.140s%s", d->c->data_dir, writable ? "" : ": not writable");
	if (!writable) FIX(k, "choose another with --data DIR");
	if (strlen(d->c->data_dir) > PATH_ROOM) {
		k->mark = CLI_BAD;
		TEXT(k, "its path has %zu bytes: too long for a unix socket",
		        strlen(d->c->data_dir));
		FIX(k, "use a --data DIR of at most %d bytes", PATH_ROOM);
	}
	if (statvfs(there, &v) < 0) return;
	uint64_t bytes = (uint64_t)v.f_bavail * v.f_frsize;
	k = result(d, "disk room", bytes >= ROOM_WANTED ? CLI_GOOD : CLI_WARN);
	TEXT(k, "%s free", cli_human_bytes(bytes, room));
	if (bytes < ROOM_WANTED) FIX(k, "logs are cut to fit; free some room or set logs.max_size");
}

static void check_running(struct doctor *d, bool *ret_running)
{
	struct warden_info w;
	*ret_running = warden_find(d->c->data_dir, &w, NULL) == HG_OK;
	struct check *k =
	        result(d, "instance", *ret_running && !w.warden_alive ? CLI_BAD : CLI_GOOD);
	if (!*ret_running) {
		TEXT(k, "none runs on this data folder");
	} else if (w.warden_alive) {
		TEXT(k, "runs (pid %d)", w.pid);
	} else {
		TEXT(k, "the warden is dead, %u processes live on", w.role_count);
		FIX(k, "headgate down, then headgate up");
	}
}

static int doctor_print(const struct doctor *d)
{
	uint32_t bad = 0, less = 0;
	bool json = cli_has(&d->c->args, CLI_F_JSON);
	json_t *list = json_array();
	for (uint32_t i = 0; i < d->n; i++) {
		const struct check *k = &d->check[i];
		const char *word = k->mark == CLI_GOOD   ? "ok"
		                   : k->mark == CLI_WARN ? "less"
		                                         : "fail";
		bad += k->mark == CLI_BAD;
		less += k->mark == CLI_WARN;
		json_array_append_new(
		        list, json_pack("{s:s,s:s,s:s,s:s}", "check", k->name, "result", word,
		                      "text", k->text, "fix", k->fix));
		if (json) continue;
		cli_out(" %s %-4s %-16s %s\n", cli_mark(d->c, k->mark), word, k->name, k->text);
		if (k->fix[0]) cli_out("        %-16s fix: %s\n", "", k->fix);
	}
	if (json) {
		json_t *j = json_pack("{s:s,s:b,s:O}", "schema", "headgate.doctor/1", "good",
		        bad == 0, "checks", list);
		char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
		cli_out("%s\n", text ? text : "{}");
		free(text);
		json_decref(j);
	} else if (bad) {
		cli_say("%u of %u checks fail", bad, d->n);
		cli_next(d->c, "headgate doctor, when mended");
	} else {
		cli_say("Headgate can run here%s", less ? ", with the limits named above" : "");
		cli_next(d->c, d->spec ? "headgate up" : "headgate init");
	}
	json_decref(list);
	return bad ? hg_rc_info(HG_E_DOCTOR)->exit_status : 0;
}

int cli_do_doctor(struct cli *c)
{
	struct doctor d = {.c = c};
	struct cli_config k = {0};
	bool running = false;
	bool named = cli_has(&c->args, CLI_F_FILE) || access("headgate.yaml", R_OK) == 0;
	check_kernel(&d);
	check_user(&d);
	check_namespaces(&d);
	check_cgroups(&d);
	check_seccomp(&d);
	check_landlock(&d);
	check_files(&d);
	check_data(&d);
	check_running(&d, &running);
	if (named) {
		int status = cli_config_load(c, &k, NULL, NULL, true);
		struct check *r = result(&d, "configuration", status ? CLI_BAD : CLI_GOOD);
		TEXT(r, "%.120s %s", k.file, status ? "cannot be used" : "can be used");
		if (status) FIX(r, "headgate config check -f %.120s", k.file);
		if (!status) d.spec = k.spec;
	}
	if (d.spec && !running) {
		check_port(&d, "edge port", &d.spec->edge.listen.http, false);
		check_port(&d, "admin port", &d.spec->admin.listen, !d.spec->admin.listen.set);
	}
	int status = doctor_print(&d);
	if (named) cli_config_fini(&k);
	return status;
}
