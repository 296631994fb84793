/* Files that are named in the configuration, and when they say something else. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/cert/certs_priv.h"

char *certs_absolute(const char *dir, struct hg_str path)
{
	char *to = NULL;
	bool whole = path.n && path.p[0] == '/';
	int n = asprintf(&to, "%s%s%.*s", whole ? "" : dir, whole ? "" : "/", HG_STR_ARG(path));
	return n < 0 ? NULL : to;
}

uint64_t certs_stamp(const char *const *path, uint32_t n)
{
	uint64_t h = 1469598103934665603u;
	for (uint32_t i = 0; i < n; i++) {
		struct stat st;
		if (!path[i]) continue;
		if (stat(path[i], &st) < 0 || access(path[i], R_OK) < 0) return 0;
		uint64_t part[] = {(uint64_t)st.st_ino, (uint64_t)st.st_size,
		        (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};
		for (size_t k = 0; k < HG_COUNT(part); k++)
			h = (h ^ part[k]) * 1099511628211u;
	}
	return h ? h : 1;
}
