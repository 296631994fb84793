/* Where a target stands outlives kills and losses of power: it is the last position that was
 * written, or the one that was being written. */
#include "tests/unit/observe/tsdb/faults.h"

#include "observe/remote/remote_priv.h"
#include "os/disk.h"

#define WRITES 12

static struct position position_of(int i)
{
	return (struct position){.passed_ms = 1700000000000 + i, .until_ms = 1800000000000 + i};
}

/* Every moment between two calls of the system, and every state of a disk that may follow. */
static void after_a_loss_of_power_it_is_one_that_was(void **state)
{
	struct box b;
	struct hg_rand rand;
	uint32_t done[WRITES];
	char image[96];
	(void)state;
	box_init(&b);
	hg_rand_seed(&rand, 3);
	snprintf(image, sizeof image, "%s/image", b.path);
	power_reset(true);
	int dir = disk_dir(AT_FDCWD, b.dir);
	assert_true(dir >= 0);
	for (int i = 0; i < WRITES; i++) {
		assert_int_equal(position_write(dir, "one", position_of(i)), 0);
		done[i] = power.n;
	}
	disk_close(dir);
	for (uint32_t k = 0; k <= power.n; k++) {
		for (int how = 0; how < 40; how++) {
			struct position p;
			int least = -1;
			while (least + 1 < WRITES && done[least + 1] <= k)
				least++;
			power_image(image, k, how % 3, how / 3 % 3, &rand);
			power.on = false;
			dir = disk_dir(AT_FDCWD, image);
			enum hg_rc rc = position_read(dir, "one", &p);
			disk_close(dir);
			power.on = true;
			if (least < 0 && rc == HG_E_NOT_FOUND) continue;
			int64_t i = rc == HG_OK ? p.passed_ms - position_of(0).passed_ms : -2;
			if (i < least || i > least + 1)
				fail_msg("at %u, %d: %d, %lld of %d", k, how, rc, (long long)i,
				        least);
			assert_int_equal(p.until_ms, position_of((int)i).until_ms);
		}
	}
	power_reset(false);
	box_fini(&b);
}

static void what_fails_leaves_the_one_before(void **state)
{
	struct box b;
	struct position p;
	(void)state;
	box_init(&b);
	int dir = disk_dir(AT_FDCWD, b.dir);
	assert_true(dir >= 0);
	assert_int_equal(position_write(dir, "one", position_of(0)), 0);
	for (uint32_t n = 0, more = 1; more; n++) {
		faults = (struct faults){.on = true,
		        .kinds = FAULTS_WRITING,
		        .from = n,
		        .n = 1,
		        .error = n % 2 ? ENOSPC : EIO,
		        .torn = n % 2};
		int rc = position_write(dir, "one", position_of(1));
		more = faults.hits;
		faults.on = false;
		assert_true(more ? rc < 0 : rc == 0);
		assert_int_equal(position_read(dir, "one", &p), HG_OK);
		assert_true(p.passed_ms == position_of(0).passed_ms ||
		            p.passed_ms == position_of(1).passed_ms);
		assert_int_equal(position_write(dir, "one", position_of(0)), 0);
	}
	disk_close(dir);
	box_fini(&b);
}

/* No descriptor is no position: to begin with now would leave out what has not been sent. */
static void what_cannot_be_read_now_is_not_taken_for_none(void **state)
{
	static const struct {
		int error;
		enum hg_rc rc;
	} cases[] = {{EMFILE, HG_E_AGAIN}, {ENFILE, HG_E_AGAIN}, {ENOMEM, HG_E_AGAIN},
	        {EIO, HG_E_INVALID}, {ENOENT, HG_E_NOT_FOUND}};
	struct box b;
	struct position p;
	(void)state;
	box_init(&b);
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		struct remote_dir d = {.path = b.dir, .at = -1};
		assert_int_equal(remote_dir_open(&d), 0);
		assert_int_equal(position_write(d.at, "one", position_of(0)), 0);
		faults = (struct faults){
		        .on = true, .kinds = 1u << CALL_OPEN, .n = 1, .error = cases[i].error};
		assert_int_equal(position_find(&d, "one", &p), cases[i].rc);
		faults.on = false;
		assert_int_equal(position_find(&d, "one", &p), HG_OK);
		disk_close(d.at);
	}
	box_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(after_a_loss_of_power_it_is_one_that_was),
	        cmocka_unit_test(what_fails_leaves_the_one_before),
	        cmocka_unit_test(what_cannot_be_read_now_is_not_taken_for_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
