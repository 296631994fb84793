#include "../test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file.h"
#include "os/shm.h"

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static int turn;
	char *to = path[turn++ % 4];
	snprintf(to, sizeof path[0], "%s/%s", dir, name);
	return to;
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/hg-file-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	int fd = file_open(dir, O_RDONLY | O_DIRECTORY, 0);
	int rc = fd < 0 ? fd : file_remove_below(fd);
	if (fd >= 0) close(fd);
	return rc == 0 ? rmdir(dir) : -1;
}

static void what_was_written_is_read_back_and_no_temporary_stays(void **state)
{
	struct hg_buf b = {0};
	struct hg_err err;
	(void)state;
	const char *path = in_dir("a");
	assert_int_equal(file_write_atomic(path, 0600, HG_STR("one"), &err), HG_OK);
	assert_int_equal(file_write_atomic(path, 0640, HG_STR("two\n"), &err), HG_OK);
	assert_int_equal(file_read(path, 100, &b, &err), HG_OK);
	assert_str(hg_buf_view(&b), "two\n");
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0); /* fails if anything else were in it */
	assert_int_equal(mkdir(dir, 0700), 0);
	hg_buf_free(&b);
}

static void a_file_at_its_cap_is_read_and_one_byte_more_is_refused(void **state)
{
	struct hg_buf b = {0};
	struct hg_err err;
	(void)state;
	assert_int_equal(file_write_atomic(in_dir("b"), 0600, HG_STR("12345"), &err), HG_OK);
	assert_int_equal(file_read(in_dir("b"), 5, &b, &err), HG_OK);
	assert_int_equal(b.n, 5);
	assert_int_equal(file_read(in_dir("b"), 4, &b, &err), HG_E_TOO_LARGE);
	assert_int_equal(b.n, 0);
	assert_int_equal(file_read(in_dir("none"), 4, &b, &err), HG_E_NOT_FOUND);
	assert_non_null(strstr(err.message, "could not open"));
	assert_int_equal(file_read(dir, 4, &b, &err), HG_E_INVALID);
	assert_int_equal(file_read("/proc/self/status", 65536, &b, &err), HG_OK);
	assert_true(b.n > 100);
	hg_buf_free(&b);
}

static void a_failed_write_names_the_file_and_leaves_nothing(void **state)
{
	struct hg_err err;
	(void)state;
	assert_int_equal(
	        file_write_atomic(in_dir("none/x"), 0600, HG_STR("x"), &err), HG_E_NOT_FOUND);
	assert_non_null(strstr(err.message, "none/x"));
}

static void directories_are_made_with_their_parents(void **state)
{
	(void)state;
	assert_int_equal(file_mkdirs(in_dir("d/e/f"), 0700), 0);
	assert_int_equal(file_mkdirs(in_dir("d/e/f"), 0700), 0);
	assert_int_equal(file_write_replace(in_dir("d/file"), 0600, HG_STR(""), NULL), HG_OK);
	assert_int_equal(file_mkdirs(in_dir("d/file/g"), 0700), -ENOTDIR);
}

static void removing_follows_no_symbolic_link(void **state)
{
	(void)state;
	assert_int_equal(file_mkdirs(in_dir("keep"), 0700), 0);
	assert_int_equal(file_write_replace(in_dir("keep/me"), 0600, HG_STR("x"), NULL), HG_OK);
	assert_int_equal(file_mkdirs(in_dir("go/deep/er"), 0700), 0);
	assert_int_equal(symlink(in_dir("keep"), in_dir("go/deep/link")), 0);
	int fd = file_open(in_dir("go"), O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	assert_int_equal(file_remove_below(fd), 0);
	close(fd);
	assert_int_equal(rmdir(in_dir("go")), 0);
	assert_int_equal(access(in_dir("keep/me"), F_OK), 0);
}

static void random_bytes_and_boot_id_come(void **state)
{
	uint64_t a[2] = {0}, b[2] = {0};
	char id[37], again[37];
	(void)state;
	assert_int_equal(file_random(a, sizeof a) | file_random(b, sizeof b), 0);
	assert_true(a[0] != b[0] || a[1] != b[1]);
	assert_true(file_boot_id(id) && file_boot_id(again));
	assert_string_equal(id, again);
	assert_int_equal(strlen(id), 36);
}

static void a_sealed_memfd_cannot_change(void **state)
{
	(void)state;
	int fd = shm_sealed("test", HG_STR("hello"));
	assert_true(fd >= 0);
	assert_true(shm_is_sealed(fd));
	assert_int_equal(shm_size(fd), 5);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 1), -1);
	const char *p = shm_map(fd, 5, false);
	assert_memory_equal(p, "hello", 5);
	shm_unmap((void *)(uintptr_t)p, 5);
	close(fd);
}

static void memory_shared_read_only_cannot_be_made_writable(void **state)
{
	(void)state;
	int fd = shm_create("test", 4096);
	assert_true(fd >= 0);
	assert_false(shm_is_sealed(fd));
	assert_int_equal(shm_seal_size(fd), 0);
	assert_int_equal(ftruncate(fd, 8192), -1);
	int ro = shm_read_only(fd);
	assert_true(ro >= 0);
	char *w = shm_map(fd, 4096, true), *r = shm_map(ro, 4096, false);
	assert_true(w && r);
	w[7] = 'x';
	assert_int_equal(r[7], 'x');
	assert_null(shm_map(ro, 4096, true));
	assert_int_equal(mprotect(r, 4096, PROT_READ | PROT_WRITE), -1);
	shm_unmap(w, 4096);
	shm_unmap(r, 4096);
	close(fd);
	close(ro);
}

static int guarded(const char *name, const struct file_owner *owner)
{
	int fd = file_open_guarded(in_dir(name), geteuid(), owner);
	if (fd >= 0) close(fd);
	return fd < 0 ? fd : 0;
}

static void a_guarded_path_follows_only_links_nobody_else_could_lay(void **state)
{
	char at[256], want[256];
	const struct file_owner mine = {geteuid(), getegid()};
	(void)state;
	snprintf(want, sizeof want, "%s", in_dir("g/real/deep"));
	assert_int_equal(file_mkdirs(want, 0755), 0);
	assert_int_equal(symlink("real/../real/deep", in_dir("g/near")), 0);
	assert_int_equal(symlink(in_dir("g/real"), in_dir("g/far")), 0);
	assert_int_equal(symlink("round", in_dir("g/round")), 0);
	assert_int_equal(symlink("x", in_dir("g/real/dangling")), 0);
	int fd = file_open_guarded(in_dir("g//near/."), geteuid(), NULL);
	assert_true(fd >= 0 && file_path_of(fd, at, sizeof at));
	assert_string_equal(at, want);
	assert_false(file_path_of(fd, at, strlen(want)));
	close(fd);
	assert_int_equal(guarded("g/far/deep/../deep/", NULL), 0);
	assert_int_equal(guarded("g/round", NULL), -ELOOP);
	assert_int_equal(guarded("g/real/dangling", NULL), -ENOENT);
	assert_int_equal(guarded("g/far/none/below", NULL), -ENOENT);
	assert_int_equal(guarded("g/far/none/below", &mine), 0);
	assert_int_equal(guarded("g/far/none/below", &mine), 0);
	assert_int_equal(file_open_guarded("relative", 0, NULL), -EINVAL);
	fd = file_open(in_dir("g/file"), O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(guarded("g/file", NULL), 0);
	assert_int_equal(guarded("g/file/x", &mine), -ENOTDIR);
	/* Whoever may write the folder may have moved the link there; in a sticky one he may not.
	 */
	assert_int_equal(chmod(in_dir("g"), 0777), 0);
	assert_int_equal(guarded("g/near", NULL), -ELOOP);
	assert_int_equal(chmod(in_dir("g"), 01777), 0);
	assert_int_equal(guarded("g/near", NULL), 0);
	if (geteuid() != 0) return;
	assert_int_equal(lchown(in_dir("g/near"), 7, 7), 0);
	assert_int_equal(guarded("g/near", NULL), -ELOOP);
	fd = file_open_guarded(in_dir("g/near"), 7, NULL);
	assert_true(fd >= 0);
	close(fd);
}

struct maker {
	pthread_t thread;
	const char *path;
	int bad;
};

/* As replicas do that begin together: whoever finds the folder finds its owner. */
static void *make_and_look(void *arg)
{
	struct maker *m = arg;
	struct stat st;
	int fd = file_open_guarded(m->path, 0, &(struct file_owner){4711, 4712});
	m->bad = fd < 0 || fstat(fd, &st) < 0 || st.st_uid != 4711 || st.st_gid != 4712;
	if (fd >= 0) close(fd);
	return NULL;
}

static void what_is_made_for_somebody_is_his_as_soon_as_it_can_be_seen(void **state)
{
	struct maker m[8];
	char path[256];
	struct stat st;
	(void)state;
	if (geteuid() != 0) skip();
	for (int round = 0; round < 300; round++) {
		snprintf(path, sizeof path, "%s/%d/data", in_dir("o"), round);
		for (size_t i = 0; i < HG_COUNT(m); i++) {
			m[i] = (struct maker){.path = path};
			assert_int_equal(
			        pthread_create(&m[i].thread, NULL, make_and_look, &m[i]), 0);
		}
		for (size_t i = 0; i < HG_COUNT(m); i++)
			assert_int_equal(pthread_join(m[i].thread, NULL), 0);
		for (size_t i = 0; i < HG_COUNT(m); i++)
			assert_int_equal(m[i].bad, 0);
		*strrchr(path, '/') = 0; /* on the way there it is ours, and nothing else is left */
		assert_true(stat(path, &st) == 0 && st.st_uid == 0 && st.st_nlink == 3);
	}
}

static void what_cannot_be_given_to_its_owner_is_not_left_behind(void **state)
{
	int status;
	(void)state;
	if (geteuid() != 0) skip();
	assert_int_equal(mkdir(in_dir("n"), 0755), 0);
	assert_int_equal(chown(in_dir("n"), 65534, 65534), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	pid_t pid = fork();
	if (pid == 0) { /* who is not root gives nothing away */
		if (setgid(65534) < 0 || setuid(65534) < 0) _exit(2);
		int fd = file_open_guarded(in_dir("n/data"), 0, &(struct file_owner){4711, 4711});
		_exit(fd == -FILE_E_OWNER ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rmdir(in_dir("n")), 0); /* it is empty */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_written_is_read_back_and_no_temporary_stays),
	        cmocka_unit_test(a_file_at_its_cap_is_read_and_one_byte_more_is_refused),
	        cmocka_unit_test(a_failed_write_names_the_file_and_leaves_nothing),
	        cmocka_unit_test(directories_are_made_with_their_parents),
	        cmocka_unit_test(removing_follows_no_symbolic_link),
	        cmocka_unit_test(a_guarded_path_follows_only_links_nobody_else_could_lay),
	        cmocka_unit_test(what_is_made_for_somebody_is_his_as_soon_as_it_can_be_seen),
	        cmocka_unit_test(what_cannot_be_given_to_its_owner_is_not_left_behind),
	        cmocka_unit_test(random_bytes_and_boot_id_come),
	        cmocka_unit_test(a_sealed_memfd_cannot_change),
	        cmocka_unit_test(memory_shared_read_only_cannot_be_made_writable),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
