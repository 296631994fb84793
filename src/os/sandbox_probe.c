#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/shm.h"

#define PROBE_UID 65534u /* nobody */
#define NAMESPACES_MISSING                                                             \
	"run as root, or allow user namespaces (sysctl user.max_user_namespaces, and " \
	"kernel.unprivileged_userns_clone where it exists)"

const char *sandbox_state_text(enum sandbox_state state)
{
	switch (state) {
	case SANDBOX_WORKS: return "works";
	case SANDBOX_LIMITED: return "limited";
	default: return "missing";
	}
}

/* Runs `try` in a child: 0, or the positive errno it returned. */
static int in_child(int (*try)(void))
{
	int status;
	pid_t pid = fork();
	if (pid < 0) return errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int rc = try();
		hg_child_exit(rc < 0 ? HG_MIN(-rc, 200) : 0);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) return errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static void say(struct sandbox_fact *f, int err, const char *good)
{
	f->state = err ? SANDBOX_MISSING : SANDBOX_WORKS;
	snprintf(f->detail, sizeof f->detail, "%s", err ? strerror(err) : good);
	if (!err) f->hint = "";
}

static int try_users(void)
{
	return sandbox_drop(PROBE_UID, PROBE_UID, NULL, 0);
}

static void probe_users(struct sandbox_fact *f)
{
	*f = (struct sandbox_fact){.name = "own users",
	        .purpose = "each role process and app runs as a user of its own",
	        .hint = "start headgate as root; as a plain user everything runs as that user"};
	if (geteuid() != 0) {
		f->state = SANDBOX_LIMITED;
		snprintf(f->detail, sizeof f->detail, "plain user %u", geteuid());
		return;
	}
	say(f, in_child(try_users), "root");
}

static int try_mount_namespace(void)
{
	if (unshare(CLONE_NEWNS) < 0) return -errno;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

static int try_user_namespace(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? -errno : 0;
}

static void probe_namespaces(struct sandbox_fact *mount_fact, struct sandbox_fact *user_fact)
{
	*mount_fact = (struct sandbox_fact){.name = "mount namespace",
	        .purpose = "read-only root and private /tmp of replicas",
	        .hint = NAMESPACES_MISSING};
	*user_fact = (struct sandbox_fact){.name = "user namespace",
	        .purpose = "the same for headgate as a plain user",
	        .hint = NAMESPACES_MISSING};
	int user = in_child(try_user_namespace);
	say(user_fact, user, "");
	say(mount_fact, in_child(try_mount_namespace), "");
	if (mount_fact->state == SANDBOX_MISSING && user == 0) {
		mount_fact->state = SANDBOX_WORKS;
		snprintf(mount_fact->detail, sizeof mount_fact->detail, "in a user namespace");
		mount_fact->hint = "";
	}
}

static int try_filter(void)
{
	struct sandbox_filter f;
	if (sandbox_filter_build(SANDBOX_REPLICA, &f) < 0) return -ENOSYS;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
	int rc = sandbox_filter_apply(&f);
	if (rc == 0 && (mount("x", "/x", "x", 0, NULL) == 0 || errno != EPERM)) rc = -EINVAL;
	return rc;
}

static void probe_landlock(struct sandbox_fact *f)
{
	*f = (struct sandbox_fact){.name = "Landlock",
	        .purpose = "keeps writes to the writable paths where there is no mount namespace",
	        .hint = "boot with lsm=landlock,… (Linux 5.13 or newer)"};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	say(f, abi < 0 ? errno : 0, "");
	if (abi >= 0) snprintf(f->detail, sizeof f->detail, "ABI %ld", abi);
}

static void probe_cgroups(struct sandbox_fact *f)
{
	static const char *const part[] = {"memory", "cpu", "pids", "kill"};
	struct cgroup_root root;
	char name[48];
	size_t found = 0;
	snprintf(name, sizeof name, "headgate-probe-%d", (int)getpid());
	*f = (struct sandbox_fact){.name = "cgroups",
	        .purpose = "limits of memory, CPU and processes; ends double-forked children",
	        .hint = "under systemd set Delegate=yes; else limits are per process only, and "
	                "memory is watched from outside"};
	cgroup_root_find(name, true, &root);
	struct hg_out o = hg_out_over(f->detail, sizeof f->detail - 1);
	hg_out_cstr(&o, root.v2 ? "v2:" : "v1:");
	for (int i = 0; i < CGROUP_PARTS; i++) {
		if (!root.base[i][0]) continue;
		hg_out_fmt(&o, " %s", part[i]);
		found += i != CGROUP_KILL;
	}
	f->detail[o.n] = 0;
	cgroup_root_remove(&root);
	f->state = found >= 3 ? SANDBOX_WORKS : found ? SANDBOX_LIMITED : SANDBOX_MISSING;
	if (f->state == SANDBOX_WORKS) f->hint = "";
	if (!found) snprintf(f->detail, sizeof f->detail, "no controller is ours to use");
}

static void probe_pidfd(struct sandbox_fact *f)
{
	*f = (struct sandbox_fact){.name = "pidfd",
	        .purpose = "signals that cannot hit a reused pid",
	        .hint = "Linux 6.1 is the oldest kernel Headgate supports"};
	int fd = proc_pidfd(getpid());
	say(f, fd < 0 ? -fd : 0, "");
	if (fd >= 0) close(fd);
}

static void probe_memfd(struct sandbox_fact *f)
{
	*f = (struct sandbox_fact){.name = "sealed memfd",
	        .purpose = "snapshots that nobody can change",
	        .hint = "Linux 6.1 is the oldest kernel Headgate supports"};
	int fd = shm_sealed("probe", HG_STR("x"));
	say(f, fd < 0 ? -fd : 0, "");
	if (fd >= 0) close(fd);
}

static void probe_pipe(struct sandbox_fact *f)
{
	int fd[2];
	*f = (struct sandbox_fact){.name = "pipe of 1 MiB",
	        .purpose = "room for log lines while the log process is replaced",
	        .hint = "sysctl fs.pipe-max-size=1048576 fs.pipe-user-pages-soft=0"};
	if (pipe2(fd, O_CLOEXEC) < 0) {
		say(f, errno, "");
		return;
	}
	int got = fcntl(fd[1], F_SETPIPE_SZ, 1 << 20);
	if (got < 0) got = fcntl(fd[1], F_GETPIPE_SZ);
	say(f, 0, "");
	if (got < 1 << 20) f->state = SANDBOX_LIMITED;
	snprintf(f->detail, sizeof f->detail, "%d KiB", got / 1024);
	close(fd[0]);
	close(fd[1]);
	if (f->state == SANDBOX_LIMITED) {
		f->hint = "sysctl fs.pipe-max-size=1048576 fs.pipe-user-pages-soft=0";
	}
}

static void probe_low_ports(struct sandbox_fact *f)
{
	struct hg_buf text = {0};
	uint64_t first = 1024;
	*f = (struct sandbox_fact){.name = "ports below 1024",
	        .purpose = "listeners on 80 and 443",
	        .hint = "start as root, or sysctl net.ipv4.ip_unprivileged_port_start=80"};
	if (file_read("/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &text, NULL) < 0 ||
	        !hg_str_u64(hg_str_trim(hg_buf_view(&text)), &first)) {
		first = 1024;
	}
	hg_buf_free(&text);
	f->state = geteuid() == 0 || first <= 80 ? SANDBOX_WORKS : SANDBOX_LIMITED;
	snprintf(f->detail, sizeof f->detail, "free from port %llu on",
	        geteuid() == 0 ? 1ull : (unsigned long long)first);
	if (f->state == SANDBOX_WORKS) f->hint = "";
}

static void probe_files(struct sandbox_fact *f)
{
	struct rlimit r = {0};
	*f = (struct sandbox_fact){.name = "open files",
	        .purpose = "two descriptors for each connection through the edge",
	        .hint = "raise LimitNOFILE (systemd) or ulimit -n"};
	getrlimit(RLIMIT_NOFILE, &r);
	f->state = r.rlim_max >= 65536 ? SANDBOX_WORKS : SANDBOX_LIMITED;
	snprintf(f->detail, sizeof f->detail, "at most %llu", (unsigned long long)r.rlim_max);
	if (f->state == SANDBOX_WORKS) f->hint = "";
}

static void probe_kernel(struct sandbox_fact *f)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	*f = (struct sandbox_fact){
	        .name = "kernel", .purpose = "Linux 6.1 or newer", .hint = "Debian 12 has it"};
	if (uname(&u) == 0) (void)sscanf(u.release, "%u.%u", &major, &minor);
	say(f, 0, "");
	snprintf(f->detail, sizeof f->detail, "%.150s", u.release);
	if (major < 6 || (major == 6 && minor < 1)) {
		f->state = SANDBOX_LIMITED;
		f->hint = "Debian 12 has it";
	}
}

size_t sandbox_probe(struct sandbox_fact ret_facts[SANDBOX_FACTS_MAX])
{
	struct sandbox_fact *f = ret_facts;
	probe_kernel(f++);
	probe_users(f++);
	probe_namespaces(f, f + 1);
	f += 2;
	*f = (struct sandbox_fact){.name = "seccomp",
	        .purpose = "system call filters of role processes and replicas",
	        .hint = "a kernel with CONFIG_SECCOMP_FILTER; containers must allow it"};
	say(f, in_child(try_filter), "");
	f++;
	probe_landlock(f++);
	probe_cgroups(f++);
	probe_pidfd(f++);
	probe_memfd(f++);
	probe_pipe(f++);
	probe_low_ports(f++);
	probe_files(f++);
	HG_ASSERT(f <= ret_facts + SANDBOX_FACTS_MAX);
	return (size_t)(f - ret_facts);
}
