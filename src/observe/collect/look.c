/* Reads /proc, the file system and the processes. What cannot be read is left out. */
#include "observe/collect/collect_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"
#include "os/proc.h"

#define PROC_MAX ((size_t)1 << 20)

void look_init(struct look *l, const char *data_dir, const struct meter *m, uint32_t warden_pid)
{
	struct utsname u;
	*l = (struct look){.data_dir = data_dir,
	        .meter = m,
	        .pid = (uint32_t)getpid(),
	        .warden_pid = warden_pid,
	        .ticks = (double)sysconf(_SC_CLK_TCK)};
	hg_buf_init(&l->text, PROC_MAX);
	if (uname(&u) < 0 || !hg_str_copy(hg_str(u.nodename), l->host, sizeof l->host) ||
	        !l->host[0])
		(void)hg_str_copy(HG_STR("localhost"), l->host, sizeof l->host);
}

void look_fini(struct look *l)
{
	hg_buf_free(&l->text);
	free(l->cpus.at);
	l->cpus = (struct host_cpus){0};
}

/* Files of /proc have no size: read until they end. */
static struct hg_str text_of(struct look *l, const char *path)
{
	int fd = file_open(path, O_RDONLY, 0);
	hg_buf_reset(&l->text);
	while (fd >= 0) {
		char *to = hg_buf_room(&l->text, 16384);
		ssize_t n = to ? read(fd, to, 16384) : -1;
		if (n <= 0) break;
		hg_buf_add(&l->text, (size_t)n);
	}
	if (fd >= 0) close(fd);
	return hg_buf_view(&l->text);
}

static void one(const struct host_sink *s, const char *name, const char *help, double v)
{
	s->sink->family(s->sink->arg, name, "gauge", help);
	s->sink->sample(s->sink->arg, name, s->who, s->who_n, v);
}

/* The file system that everything of ours is written to. */
static void filesystem(const struct look *l, const struct host_sink *s)
{
	struct statvfs v;
	struct prom_label ls[4];
	struct host_sink to = *s;
	if (statvfs(l->data_dir, &v) < 0) return;
	HG_ASSERT(s->who_n < HG_COUNT(ls));
	memcpy(ls, s->who, s->who_n * sizeof *ls);
	ls[s->who_n] = (struct prom_label){"mountpoint", hg_str(l->data_dir)};
	to.who = ls;
	to.who_n = s->who_n + 1;
	double block = (double)v.f_frsize;
	one(&to, "node_filesystem_size_bytes", "Size of the file system of the data folder.",
	        (double)v.f_blocks * block);
	one(&to, "node_filesystem_free_bytes", "Free on it, with what is kept for root.",
	        (double)v.f_bfree * block);
	one(&to, "node_filesystem_avail_bytes", "Free on it for others.",
	        (double)v.f_bavail * block);
	one(&to, "node_filesystem_files", "Inodes of it.", (double)v.f_files);
	one(&to, "node_filesystem_files_free", "Free ones.", (double)v.f_ffree);
	one(&to, "node_filesystem_readonly", "1 when it cannot be written to.",
	        (v.f_flag & ST_RDONLY) != 0);
}

void look_machine(struct look *l, const struct meter_series_sink *to)
{
	static const char *const pressures[][2] = {{"cpu", "/proc/pressure/cpu"},
	        {"io", "/proc/pressure/io"}, {"memory", "/proc/pressure/memory"}};
	/* What dashboards made for node_exporter choose by. */
	const struct prom_label who[] = {{"instance", hg_str(l->host)}, {"job", HG_STR("node")}};
	const struct host_sink s = {to, who, HG_COUNT(who)};
	host_stat(&s, text_of(l, "/proc/stat"), l->ticks > 0 ? l->ticks : 100, &l->cpus);
	host_meminfo(&s, text_of(l, "/proc/meminfo"));
	host_vmstat(&s, text_of(l, "/proc/vmstat"));
	host_diskstats(&s, text_of(l, "/proc/diskstats"));
	host_netdev(&s, text_of(l, "/proc/net/dev"));
	host_loadavg(&s, text_of(l, "/proc/loadavg"));
	for (size_t i = 0; i < HG_COUNT(pressures); i++)
		host_pressure(&s, pressures[i][0], text_of(l, pressures[i][1]));
	filesystem(l, &s);
	one(&s, "node_time_seconds", "The machine's clock.", (double)clock_wall_ms() / 1e3);
}

/* ---- our own processes ---- */

struct process {
	char name[24];
	pid_t pid;
};

static uint32_t processes(const struct look *l, struct process *to, uint32_t cap)
{
	uint32_t n = 0;
	if (l->warden_pid) to[n++] = (struct process){"warden", (pid_t)l->warden_pid};
	if (l->control_pid) to[n++] = (struct process){"control", (pid_t)l->control_pid};
	to[n++] = (struct process){"observe", (pid_t)l->pid};
	for (uint32_t i = 0; l->meter && i < l->meter->worker_count && n < cap; i++) {
		uint32_t pid = atomic_load_explicit(&l->meter->worker[i].pid, memory_order_relaxed);
		struct process p = {.pid = (pid_t)pid};
		if (!pid) continue;
		(void)snprintf(p.name, sizeof p.name, "edge-%u", i);
		to[n++] = p;
	}
	return n;
}

void look_processes(struct look *l, const struct meter_series_sink *to)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
	        {"headgate_process_cpu_seconds_total", "counter",
	                "CPU time of a process of Headgate."},
	        {"headgate_process_resident_memory_bytes", "gauge", "Its memory."},
	        {"headgate_process_threads", "gauge", "Its threads."},
	};
	struct process p[METER_WORKERS_MAX + 3];
	struct proc_usage u[HG_COUNT(p)];
	uint32_t n = processes(l, p, HG_COUNT(p));
	for (uint32_t i = 0; i < n; i++)
		if (proc_usage(p[i].pid, &u[i]) < 0) p[i].pid = 0;
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		to->family(to->arg, rows[k].name, rows[k].type, rows[k].help);
		for (uint32_t i = 0; i < n; i++) {
			const struct prom_label ls[] = {{"process", hg_str(p[i].name)}};
			if (!p[i].pid) continue;
			double v[] = {(double)(u[i].user_ns + u[i].system_ns) / 1e9,
			        (double)u[i].rss_bytes, u[i].threads};
			to->sample(to->arg, rows[k].name, ls, HG_COUNT(ls), v[k]);
		}
	}
}
