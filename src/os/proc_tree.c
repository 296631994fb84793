/* What trees of processes use together: see proc_trees. */
#include "os/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARENTS_MAX 64

struct one {
	pid_t pid, parent, session;
	uint64_t rss_bytes, cpu_ns;
};

struct scan {
	struct proc_tree *trees;
	size_t n;
	uid_t *uid; /* of each leader */
	struct one *list;
	size_t count;
};

static bool wanted(const struct scan *s, uid_t uid)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->uid[i] == uid && s->trees[i].leader > 0) return true;
	return false;
}

static void take(struct scan *s, pid_t pid)
{
	struct proc_usage u;
	if (proc_usage(pid, &u) < 0) return;
	s->list[s->count++] = (struct one){.pid = pid,
	        .parent = u.parent,
	        .session = u.session,
	        .rss_bytes = u.rss_bytes,
	        .cpu_ns = u.user_ns + u.system_ns + u.children_ns};
}

static void read_all(struct scan *s)
{
	struct stat st;
	DIR *d = opendir("/proc");
	if (!d) return;
	for (struct dirent *e; (e = readdir(d)) && s->count < PROC_TREES_MAX;) {
		if (!isdigit((unsigned char)e->d_name[0])) continue;
		/* The owner is cheap to learn, and most processes are somebody else's. */
		if (fstatat(dirfd(d), e->d_name, &st, 0) < 0 || !wanted(s, st.st_uid)) continue;
		take(s, (pid_t)strtol(e->d_name, NULL, 10));
	}
	closedir(d);
}

static int by_pid(const void *a, const void *b)
{
	const struct one *x = a, *y = b;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct proc_tree *tree_of(const struct scan *s, const struct one *o)
{
	for (int up = 0; o && up < PARENTS_MAX; up++) {
		for (size_t i = 0; i < s->n; i++) {
			struct proc_tree *t = &s->trees[i];
			if (t->leader > 0 && (t->leader == o->session || t->leader == o->pid))
				return t;
		}
		struct one parent = {.pid = o->parent};
		o = bsearch(&parent, s->list, s->count, sizeof *s->list, by_pid);
	}
	return NULL;
}

static void add(struct proc_tree *t, const struct one *o, bool shared)
{
	t->processes++;
	t->rss_bytes += o->rss_bytes;
	t->cpu_ns += o->cpu_ns;
	if (!shared) return;
	uint64_t pss = proc_pss_bytes(o->pid);
	t->pss_bytes += pss ? pss : o->rss_bytes;
}

void proc_trees(struct proc_tree *trees, size_t n, bool shared)
{
	struct stat st;
	char path[48];
	struct scan s = {.trees = trees, .n = n};
	s.uid = calloc(n + 1, sizeof *s.uid);
	s.list = calloc(PROC_TREES_MAX, sizeof *s.list);
	size_t room = s.list ? PROC_TREES_MAX : 0;
	for (size_t i = 0; i < n; i++) {
		trees[i] = (struct proc_tree){.leader = trees[i].leader};
		snprintf(path, sizeof path, "/proc/%d", (int)trees[i].leader);
		if (s.uid) s.uid[i] = stat(path, &st) == 0 ? st.st_uid : (uid_t)-1;
	}
	if (s.uid && room) read_all(&s);
	if (s.count) qsort(s.list, s.count, sizeof *s.list, by_pid);
	for (size_t i = 0; i < s.count; i++) {
		struct proc_tree *t = tree_of(&s, &s.list[i]);
		if (t) add(t, &s.list[i], shared);
	}
	for (size_t i = 0; i < n; i++) {
		struct proc_usage u;
		if (trees[i].processes || proc_usage(trees[i].leader, &u) < 0) continue;
		add(&trees[i],
		        &(struct one){.pid = trees[i].leader,
		                .rss_bytes = u.rss_bytes,
		                .cpu_ns = u.user_ns + u.system_ns + u.children_ns},
		        shared);
	}
	free(s.list);
	free(s.uid);
}
