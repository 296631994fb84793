/* DATA/remote/NAME: "headgate remote 1\nPASSED UNTIL\n", both in Unix milliseconds. */
#include "remote_priv.h"

#include <errno.h>
#include <stdio.h>

#include "os/disk.h"

#define HEAD "headgate remote 1\n"

static bool number(struct hg_str s, int64_t *ret_ms)
{
	uint64_t ms;
	if (!hg_str_u64(s, &ms) || ms > INT64_MAX / 2) return false;
	*ret_ms = (int64_t)ms;
	return true;
}

int remote_dir_open(struct remote_dir *d)
{
	if (d->at < 0) d->at = disk_dir(AT_FDCWD, d->path);
	return d->at < 0 ? d->at : 0;
}

enum hg_rc position_read(int dir, const char *name, struct position *ret_position)
{
	char text[128];
	struct position p;
	int fd = disk_open(dir, name, O_RDONLY);
	if (fd < 0) return HG_E_NOT_FOUND;
	ssize_t n = disk_read(fd, text, sizeof text, 0);
	disk_close(fd);
	struct hg_str s = {text, n > 0 ? (size_t)n : 0};
	if (!hg_str_starts(s, HG_STR(HEAD)) || s.p[s.n - 1] != '\n') return HG_E_INVALID;
	s = (struct hg_str){s.p + sizeof HEAD - 1, s.n - sizeof HEAD};
	struct hg_str passed = hg_str_cut(&s, ' ');
	if (!number(passed, &p.passed_ms) || !number(s, &p.until_ms)) return HG_E_INVALID;
	*ret_position = p;
	return HG_OK;
}

int position_write(int dir, const char *name, struct position p)
{
	char text[128], beside[REMOTE_NAME_MAX + 8];
	int n = snprintf(text, sizeof text, HEAD "%lld %lld\n", (long long)p.passed_ms,
	        (long long)p.until_ms);
	(void)snprintf(beside, sizeof beside, "%s.new", name);
	int fd = disk_open(dir, beside, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0) return fd;
	int rc = disk_write(fd, text, (size_t)n, 0);
	disk_close(fd);
	if (rc == 0 && renameat(dir, beside, dir, name) < 0) rc = -errno;
	if (rc < 0) (void)disk_unlink(dir, beside);
	return rc;
}
