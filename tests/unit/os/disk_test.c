#include "tests/unit/test.h"

#include "os/disk.c"

#include <stdlib.h>

static int dir_new(char *path)
{
	assert_non_null(mkdtemp(path));
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void test_a_pipe_moves_into_a_file_and_its_hole_reads_as_zeros(void **state)
{
	(void)state;
	char path[] = "/tmp/hg-disk-XXXXXX";
	int dir = dir_new(path), p[2];
	assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
	int fd = disk_open(dir, "f", O_RDWR | O_CREAT);
	assert_true(fd >= 0);
	assert_int_equal(disk_splice(p[0], fd, 0, 100), -EAGAIN);
	assert_int_equal(write(p[1], "hello", 5), 5);
	assert_int_equal(disk_splice(p[0], fd, 8192, 100), 5);
	assert_int_equal(disk_size(fd), 8197);
	close(p[1]);
	assert_int_equal(disk_splice(p[0], fd, 8197, 100), 0);
	char b[8] = "";
	assert_int_equal(disk_read(fd, b, 8, 8192), 5);
	assert_memory_equal(b, "hello", 5);
	assert_int_equal(disk_write(fd, "x", 1, 0), 0);
	assert_int_equal(disk_punch(fd, 0, 4096), 0);
	assert_int_equal(disk_read(fd, b, 1, 0), 1);
	assert_int_equal(b[0], 0);
	assert_int_equal(disk_size(fd), 8197);
	assert_true(disk_modified_ns(fd) > 0);
	disk_close(fd);
	disk_close(p[0]);
	assert_int_equal(disk_unlink(dir, "f"), 0);
	disk_close(dir);
	assert_int_equal(rmdir(path), 0);
}

static bool count_names(void *arg, const char *name)
{
	assert_string_equal(name, "f");
	++*(int *)arg;
	return true;
}

static void test_replace_leaves_the_new_bytes_and_no_temporary_file(void **state)
{
	(void)state;
	char path[] = "/tmp/hg-disk-XXXXXX";
	int dir = dir_new(path), names = 0;
	assert_int_equal(disk_replace(dir, "f", HG_STR("one")), 0);
	assert_int_equal(disk_replace(dir, "f", HG_STR("2")), 0);
	assert_int_equal(disk_list(dir, count_names, &names), 0);
	assert_int_equal(names, 1);
	int fd = disk_open(dir, "f", O_RDONLY);
	assert_int_equal(disk_size(fd), 1);
	disk_close(fd);
	assert_int_equal(disk_open(dir, "g", O_RDONLY), -ENOENT);
	assert_true(disk_total(dir) > 0);
	assert_int_equal(disk_unlink(dir, "f"), 0);
	disk_close(dir);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_pipe_moves_into_a_file_and_its_hole_reads_as_zeros),
	        cmocka_unit_test(test_replace_leaves_the_new_bytes_and_no_temporary_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
