#include <stdio.h>

#include "os/file.h"
#include "os/proc.h"
#include "warden/warden.h"

#define STATE_MAX 16384

/* "name pid start" */
static bool parse_line(
        struct hg_str line, struct hg_str *ret_name, int *ret_pid, uint64_t *ret_start)
{
	uint64_t pid;
	*ret_name = hg_str_cut(&line, ' ');
	struct hg_str text = hg_str_cut(&line, ' ');
	if (!hg_str_u64(text, &pid) || pid == 0 || pid > INT32_MAX) return false;
	if (!hg_str_u64(line, ret_start)) return false;
	*ret_pid = (int)pid;
	return true;
}

static void take(struct warden_info *info, struct hg_str name, int pid, uint64_t start)
{
	static const char *const names[] = {"warden", "control", "observe", "edge"};
	if (hg_str_eq(name, HG_STR("warden"))) {
		info->pid = pid;
		info->start_time = start;
		info->warden_alive = proc_is(pid, start);
		return;
	}
	for (int i = WD_ROLE_CONTROL; i <= WD_ROLE_EDGE; i++) {
		if (!hg_str_eq(name, hg_str(names[i])) || !proc_is(pid, start)) continue;
		if (info->role_count == HG_COUNT(info->roles)) return;
		info->roles[info->role_count].role = (enum wd_role)i;
		info->roles[info->role_count].pid = pid;
		info->roles[info->role_count++].start_time = start;
	}
}

enum hg_rc warden_find(const char *data_dir, struct warden_info *ret_info, struct hg_err *err)
{
	char path[4096], boot[37] = "";
	struct hg_buf text = {0};
	struct warden_info info = {0};
	struct hg_err inner;
	bool same_boot = false;
	snprintf(path, sizeof path, "%s/run/warden", data_dir);
	enum hg_rc rc = file_read(path, STATE_MAX, &text, &inner);
	if (rc < 0 && rc != HG_E_NOT_FOUND) {
		if (err) *err = inner;
		return rc;
	}
	if (!file_boot_id(boot)) boot[0] = 0;
	struct hg_str rest = hg_buf_view(&text);
	while (rest.n > 0) {
		struct hg_str name, line = hg_str_cut(&rest, '\n');
		int pid;
		uint64_t start;
		if (hg_str_starts(line, HG_STR("boot "))) {
			same_boot =
			        hg_str_eq((struct hg_str){line.p + 5, line.n - 5}, hg_str(boot));
		} else if (same_boot && parse_line(line, &name, &pid, &start)) {
			take(&info, name, pid, start);
		}
	}
	hg_buf_free(&text);
	if (!info.warden_alive && info.role_count == 0) {
		return hg_err_set(
		        err, HG_E_NOT_FOUND, "no headgate runs with data folder \"%s\"", data_dir);
	}
	*ret_info = info;
	return HG_OK;
}
