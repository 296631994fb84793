#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/shm.h"

/* The leak check of a sanitizer needs ptrace; coverage builds write their counts at exit. */
#if defined(__SANITIZE_ADDRESS__) || defined(HG_COVERAGE)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
#ifndef INSTRUMENTED
#define INSTRUMENTED 0
#endif

static int drop_caps(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return -errno;
	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

int sandbox_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count)
{
	bool as_root = geteuid() == 0;
	if (uid == 0 || gid == 0) return -EPERM;
	if (as_root) {
		/* The bounding set goes first: afterwards the right to drop it is gone. */
		for (int cap = 0; cap < 64; cap++) {
			if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno == EINVAL) break;
		}
		if (setgroups(group_count, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
		        setresuid(uid, uid, uid) < 0) {
			return -errno;
		}
	} else if (uid != geteuid() || gid != getegid()) {
		return -EPERM;
	}
	int rc = drop_caps();
	if (rc < 0) return rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
	if (as_root && (setuid(0) == 0 || setgid(0) == 0)) return -EPERM;
	return 0;
}

/* ---- filters ---- */

/* Nothing a service needs; each has been part of a kernel exploit or changes the whole machine. */
static const int denied_to_all[] = {SCMP_SYS(acct), SCMP_SYS(add_key), SCMP_SYS(adjtimex),
        SCMP_SYS(bpf), SCMP_SYS(clock_adjtime), SCMP_SYS(clock_settime), SCMP_SYS(create_module),
        SCMP_SYS(delete_module), SCMP_SYS(finit_module), SCMP_SYS(fsconfig), SCMP_SYS(fsmount),
        SCMP_SYS(fsopen), SCMP_SYS(fspick), SCMP_SYS(init_module), SCMP_SYS(ioperm), SCMP_SYS(iopl),
        SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(io_uring_setup),
        SCMP_SYS(kexec_file_load), SCMP_SYS(kexec_load), SCMP_SYS(keyctl), SCMP_SYS(lookup_dcookie),
        SCMP_SYS(mount), SCMP_SYS(mount_setattr), SCMP_SYS(move_mount), SCMP_SYS(move_pages),
        SCMP_SYS(nfsservctl), SCMP_SYS(open_by_handle_at), SCMP_SYS(open_tree),
        SCMP_SYS(perf_event_open), SCMP_SYS(pivot_root), SCMP_SYS(quotactl), SCMP_SYS(quotactl_fd),
        SCMP_SYS(reboot), SCMP_SYS(request_key), SCMP_SYS(setdomainname), SCMP_SYS(sethostname),
        SCMP_SYS(setns), SCMP_SYS(settimeofday), SCMP_SYS(swapoff), SCMP_SYS(swapon),
        SCMP_SYS(syslog), SCMP_SYS(umount), SCMP_SYS(umount2), SCMP_SYS(unshare),
        SCMP_SYS(userfaultfd), SCMP_SYS(uselib), SCMP_SYS(vhangup)};

static const int denied_to_roles[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace),
        SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp),
        SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise), SCMP_SYS(personality), SCMP_SYS(chroot),
        SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setresuid),
        SCMP_SYS(setresgid), SCMP_SYS(setgroups)};

static const int denied_to_edge[] = {SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(creat),
        SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink),
        SCMP_SYS(unlinkat), SCMP_SYS(rmdir), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(link),
        SCMP_SYS(linkat), SCMP_SYS(symlink), SCMP_SYS(symlinkat), SCMP_SYS(chmod),
        SCMP_SYS(fchmodat), SCMP_SYS(chown), SCMP_SYS(lchown), SCMP_SYS(fchownat),
        SCMP_SYS(truncate), SCMP_SYS(setxattr), SCMP_SYS(lsetxattr), SCMP_SYS(inotify_init1),
        SCMP_SYS(fanotify_init), SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(pidfd_open),
        SCMP_SYS(pidfd_send_signal), SCMP_SYS(openat2)};

static int deny(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* Calls this architecture or libseccomp does not have cannot be made either. */
		int rc = calls[i] < 0 ? 0
		                      : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
		if (rc < 0 && rc != -EDOM && rc != -EFAULT) return rc;
	}
	return 0;
}

static int deny_namespaces(scmp_filter_ctx ctx)
{
	/* clone3 hides its flags behind a pointer; ENOSYS makes C libraries use clone. */
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	static const uint64_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET,
	        CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};
	for (size_t i = 0; i < HG_COUNT(flags) && rc == 0; i++) {
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
		        SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
	}
	return rc;
}

static int deny_for_edge(scmp_filter_ctx ctx)
{
	static const uint64_t modes[] = {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC};
	int rc = deny(ctx, denied_to_edge, HG_COUNT(denied_to_edge));
	for (size_t i = 0; i < HG_COUNT(modes) && rc == 0; i++) {
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(open), 1,
		        SCMP_A1(SCMP_CMP_MASKED_EQ, modes[i], modes[i]));
		if (rc == 0) {
			rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
			        SCMP_A2(SCMP_CMP_MASKED_EQ, modes[i], modes[i]));
		}
	}
	/* A thread shares its memory; anything else would be a new process. */
	if (rc == 0) {
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
		        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_VM, 0));
	}
	return rc;
}

/* libseccomp writes the program into a file; from there it comes into memory. */
static int export_code(scmp_filter_ctx ctx, struct sandbox_filter *f)
{
	int fd = shm_create("seccomp", 0);
	if (fd < 0) return fd;
	int rc = seccomp_export_bpf(ctx, fd);
	int64_t size = rc < 0 ? rc : shm_size(fd);
	if (rc == 0 && (size <= 0 || size % (int64_t)sizeof(struct sock_filter))) rc = -EINVAL;
	if (rc == 0) {
		f->code = malloc((size_t)size);
		f->count = (size_t)size / sizeof(struct sock_filter);
		if (!f->code || pread(fd, f->code, (size_t)size, 0) != size) rc = -ENOMEM;
	}
	close(fd);
	return rc;
}

enum hg_rc sandbox_filter_build(enum sandbox_profile profile, struct sandbox_filter *ret_filter)
{
	*ret_filter = (struct sandbox_filter){0};
	if (INSTRUMENTED && profile != SANDBOX_REPLICA) return HG_E_NOT_FOUND;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx) return HG_E_NOT_FOUND;
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	int rc = deny(ctx, denied_to_all, HG_COUNT(denied_to_all));
	if (rc == 0) rc = deny_namespaces(ctx);
	if (rc == 0 && profile >= SANDBOX_ROLE) {
		rc = deny(ctx, denied_to_roles, HG_COUNT(denied_to_roles));
	}
	if (rc == 0 && profile >= SANDBOX_EDGE) rc = deny_for_edge(ctx);
	if (rc == 0) rc = export_code(ctx, ret_filter);
	seccomp_release(ctx);
	if (rc == 0) return HG_OK;
	sandbox_filter_free(ret_filter);
	return rc == -ENOMEM ? HG_E_NOMEM : HG_E_NOT_FOUND;
}

void sandbox_filter_free(struct sandbox_filter *filter)
{
	free(filter->code);
	*filter = (struct sandbox_filter){0};
}

int sandbox_filter_apply(const struct sandbox_filter *filter)
{
	struct sock_fprog prog = {(unsigned short)filter->count, filter->code};
	if (!filter->code || filter->count > 4096) return -ENOSYS;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 ? -errno : 0;
}

/* ---- Landlock ---- */

#define LL_WRITE                                                               \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |       \
	        LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | \
	        LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |   \
	        LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM)

static int landlock_allow_fd(int ruleset, int fd, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
	if (fd < 0) return 0;
	int rc = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	return rc < 0 ? -errno : 0;
}

static int landlock_allow(int ruleset, const char *path, uint64_t access)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0) return errno == ENOENT ? 0 : -errno;
	int rc = landlock_allow_fd(ruleset, fd, access);
	close(fd);
	return rc;
}

int sandbox_landlock_writes(const struct sandbox_path *writable, size_t count)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = LL_WRITE};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (ruleset < 0) return -errno;
	int rc = landlock_allow(ruleset, "/dev", LANDLOCK_ACCESS_FS_WRITE_FILE);
	if (rc == 0) rc = landlock_allow(ruleset, "/proc", LANDLOCK_ACCESS_FS_WRITE_FILE);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = landlock_allow_fd(ruleset, writable[i].fd, LL_WRITE);
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) rc = -errno;
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) rc = -errno;
	close(ruleset);
	return rc;
}
