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

/* There are none to be had now; later there may be. */
static bool is_passing(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

enum hg_rc position_find(struct remote_dir *d, const char *name, struct position *ret_position)
{
	int rc = remote_dir_open(d);
	if (rc < 0) return is_passing(rc) ? HG_E_AGAIN : HG_E_NOT_FOUND;
	return position_read(d->at, name, ret_position);
}

enum hg_rc position_read(int dir, const char *name, struct position *ret_position)
{
	char text[128];
	struct position p;
	int fd = disk_open(dir, name, O_RDONLY);
	if (fd < 0)
		return is_passing(fd) ? HG_E_AGAIN : fd == -ENOENT ? HG_E_NOT_FOUND : HG_E_INVALID;
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
	char text[128];
	int n = snprintf(text, sizeof text, HEAD "%lld %lld\n", (long long)p.passed_ms,
	        (long long)p.until_ms);
	int rc = disk_replace(dir, name, (struct hg_str){text, (size_t)n});
	/* The folder itself may be new. */
	int above = rc == 0 ? disk_open(dir, "..", O_RDONLY | O_DIRECTORY) : rc;
	if (above < 0) return above;
	rc = disk_sync_names(above);
	disk_close(above);
	return rc;
}
