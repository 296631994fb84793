/* The machine, as node_exporter names it, from the texts of /proc. Lines that are not understood
 * are passed over: kernels differ. */
#include "observe/collect/collect_priv.h"

#include <stdlib.h>

#define LABELS         6u
#define FIELDS         24u
#define SECTOR         512.0
#define KIB            1024.0
#define NAME_MAX_BYTES 96u

static void emit(const struct host_sink *s, const char *name, const char *label,
        struct hg_str value, double v)
{
	struct prom_label ls[LABELS];
	size_t n = 0;
	for (; n < s->who_n && n < LABELS - 1; n++)
		ls[n] = s->who[n];
	if (label) ls[n++] = (struct prom_label){label, value};
	s->sink->sample(s->sink->arg, name, ls, n, v);
}

static void family(const struct host_sink *s, const char *name, const char *type, const char *help)
{
	s->sink->family(s->sink->arg, name, type, help);
}

/* The words of a line; returns how many there are, at most FIELDS. */
static unsigned words(struct hg_str line, struct hg_str w[FIELDS])
{
	unsigned n = 0;
	while (line.n && n < FIELDS) {
		struct hg_str one = hg_str_cut(&line, ' ');
		if (one.n) w[n++] = one;
	}
	return n;
}

static double number(struct hg_str s)
{
	uint64_t v;
	return hg_str_u64(s, &v) ? (double)v : 0;
}

static bool decimal(struct hg_str s, double *to)
{
	char text[32];
	char *end;
	if (s.n == 0 || !hg_str_copy(s, text, sizeof text)) return false;
	*to = strtod(text, &end);
	return *end == 0;
}

static struct host_cpu *cpu_of(struct host_cpus *all, struct hg_str number)
{
	uint64_t i;
	if (!all || !hg_str_u64(number, &i) || i >= HOST_CPUS_MAX) return NULL;
	if (i >= all->n) {
		struct host_cpu *at = realloc(all->at, (size_t)(i + 1) * sizeof *at);
		if (!at) return NULL;
		memset(at + all->n, 0, ((size_t)(i + 1) - all->n) * sizeof *at);
		all->at = at;
		all->n = (uint32_t)i + 1;
	}
	return &all->at[i];
}

/* A CPU that was taken out and put in again may begin anew, with all its modes. */
#define FALL_SECONDS 3.0

static uint64_t not_falling(uint64_t now, uint64_t *before, double ticks)
{
	bool little = now < *before && (double)(*before - now) < FALL_SECONDS * ticks;
	if (!little) *before = now;
	return *before;
}

void host_stat(
        const struct host_sink *s, struct hg_str text, double ticks, struct host_cpus *before)
{
	static const char *const modes[HOST_MODES] = {
	        "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"};
	static const struct {
		const char *key, *name, *type, *help;
	} rows[] = {
	        {"ctxt", "node_context_switches_total", "counter", "Context switches."},
	        {"intr", "node_intr_total", "counter", "Interrupts served."},
	        {"btime", "node_boot_time_seconds", "gauge", "When the machine was started."},
	        {"processes", "node_forks_total", "counter", "Processes made."},
	        {"procs_running", "node_procs_running", "gauge", "Processes that run or could."},
	        {"procs_blocked", "node_procs_blocked", "gauge", "Processes that wait for I/O."},
	};
	struct hg_str w[FIELDS], rest = text;
	family(s, "node_cpu_seconds_total", "counter", "Seconds each CPU spent in each mode.");
	while (rest.n) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		unsigned n = words(line, w);
		/* "cpu" alone is the sum of the others. */
		if (n < 5 || !hg_str_starts(w[0], HG_STR("cpu")) || w[0].n == 3) continue;
		struct hg_str cpu = {w[0].p + 3, w[0].n - 3};
		struct host_cpu *last = cpu_of(before, cpu);
		for (unsigned m = 0; m < HG_COUNT(modes) && m + 1 < n; m++) {
			uint64_t v = 0;
			if (hg_str_u64(w[m + 1], &v) && last)
				v = not_falling(v, &last->mode[m], ticks);
			struct host_sink one = *s;
			struct prom_label ls[LABELS];
			size_t k = 0;
			for (; k < s->who_n && k < LABELS - 2; k++)
				ls[k] = s->who[k];
			ls[k++] = (struct prom_label){"cpu", cpu};
			one.who = ls;
			one.who_n = k;
			emit(&one, "node_cpu_seconds_total", "mode", hg_str(modes[m]),
			        (double)v / ticks);
		}
	}
	for (rest = text; rest.n;) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		if (words(line, w) < 2) continue;
		for (size_t i = 0; i < HG_COUNT(rows); i++) {
			if (!hg_str_eq(w[0], hg_str(rows[i].key))) continue;
			family(s, rows[i].name, rows[i].type, rows[i].help);
			emit(s, rows[i].name, NULL, w[0], number(w[1]));
		}
	}
}

void host_meminfo(const struct host_sink *s, struct hg_str text)
{
	/* Names are constant: the sink may keep them. */
	static const struct {
		const char *key, *name;
	} rows[] = {
#define ROW(key) {key, "node_memory_" key "_bytes"}
	        ROW("MemTotal"),
	        ROW("MemFree"),
	        ROW("MemAvailable"),
	        ROW("Buffers"),
	        ROW("Cached"),
	        ROW("SwapTotal"),
	        ROW("SwapFree"),
	        ROW("Dirty"),
	        ROW("Slab"),
	        ROW("SReclaimable"),
	        ROW("Shmem"),
	        ROW("AnonPages"),
	        ROW("Mapped"),
	        ROW("PageTables"),
	        ROW("Active"),
	        ROW("Inactive"),
	        ROW("Committed_AS"),
	        ROW("CommitLimit"),
#undef ROW
	};
	struct hg_str w[FIELDS];
	while (text.n) {
		struct hg_str line = hg_str_cut(&text, '\n');
		struct hg_str key = hg_str_cut(&line, ':');
		if (words(line, w) < 1) continue;
		for (size_t i = 0; i < HG_COUNT(rows); i++) {
			if (!hg_str_eq(key, hg_str(rows[i].key))) continue;
			family(s, rows[i].name, "gauge", "Memory, as /proc/meminfo has it.");
			emit(s, rows[i].name, NULL, key, number(w[0]) * KIB);
		}
	}
}

void host_vmstat(const struct host_sink *s, struct hg_str text)
{
	static const struct {
		const char *key, *name, *help;
	} rows[] = {
	        {"oom_kill", "node_vmstat_oom_kill", "Processes ended for want of memory."},
	        {"pgmajfault", "node_vmstat_pgmajfault", "Page faults that waited for a disk."},
	        {"pgpgin", "node_vmstat_pgpgin", "KiB read from disks."},
	        {"pgpgout", "node_vmstat_pgpgout", "KiB written to disks."},
	        {"pswpin", "node_vmstat_pswpin", "Pages read from swap."},
	        {"pswpout", "node_vmstat_pswpout", "Pages written to swap."},
	};
	struct hg_str w[FIELDS];
	while (text.n) {
		struct hg_str line = hg_str_cut(&text, '\n');
		if (words(line, w) != 2) continue;
		for (size_t i = 0; i < HG_COUNT(rows); i++) {
			if (!hg_str_eq(w[0], hg_str(rows[i].key))) continue;
			family(s, rows[i].name, "untyped", rows[i].help);
			emit(s, rows[i].name, NULL, w[0], number(w[1]));
		}
	}
}

/* Loop devices, RAM disks and partitions say what their disks say, or nothing. */
static bool disk_counts(struct hg_str name)
{
	static const char *const left_out[] = {"loop", "ram", "fd", "sr"};
	for (size_t i = 0; i < HG_COUNT(left_out); i++)
		if (hg_str_starts(name, hg_str(left_out[i]))) return false;
	char last = name.n ? name.p[name.n - 1] : 0;
	bool digit = last >= '0' && last <= '9';
	bool numbered =
	        hg_str_starts(name, HG_STR("nvme")) || hg_str_starts(name, HG_STR("mmcblk"));
	if (numbered) return hg_str_find(name, 'p') == name.n; /* nvme0n1p2 is a partition */
	bool letters = hg_str_starts(name, HG_STR("sd")) || hg_str_starts(name, HG_STR("vd")) ||
	               hg_str_starts(name, HG_STR("xvd")) || hg_str_starts(name, HG_STR("hd"));
	return !(letters && digit);
}

void host_diskstats(const struct host_sink *s, struct hg_str text)
{
	static const struct {
		const char *name, *help;
		unsigned at; /* word of the line */
		double times;
	} rows[] = {
	        {"node_disk_reads_completed_total", "Reads completed.", 3, 1},
	        {"node_disk_read_bytes_total", "Bytes read.", 5, SECTOR},
	        {"node_disk_read_time_seconds_total", "Time of all reads.", 6, 1e-3},
	        {"node_disk_writes_completed_total", "Writes completed.", 7, 1},
	        {"node_disk_written_bytes_total", "Bytes written.", 9, SECTOR},
	        {"node_disk_write_time_seconds_total", "Time of all writes.", 10, 1e-3},
	        {"node_disk_io_time_seconds_total", "Time in which the disk was busy.", 12, 1e-3},
	        {"node_disk_io_time_weighted_seconds_total", "That, times requests in flight.", 13,
	                1e-3},
	};
	struct hg_str w[FIELDS];
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct hg_str rest = text;
		family(s, rows[i].name, "counter", rows[i].help);
		while (rest.n) {
			struct hg_str line = hg_str_cut(&rest, '\n');
			if (words(line, w) < 14 || !disk_counts(w[2])) continue;
			emit(s, rows[i].name, "device", w[2],
			        number(w[rows[i].at]) * rows[i].times);
		}
	}
}

void host_netdev(const struct host_sink *s, struct hg_str text)
{
	static const struct {
		const char *name, *help;
		unsigned at; /* number of the line */
	} rows[] = {
	        {"node_network_receive_bytes_total", "Bytes received.", 0},
	        {"node_network_receive_packets_total", "Packets received.", 1},
	        {"node_network_receive_errs_total", "Errors while receiving.", 2},
	        {"node_network_receive_drop_total", "Packets dropped while receiving.", 3},
	        {"node_network_transmit_bytes_total", "Bytes sent.", 8},
	        {"node_network_transmit_packets_total", "Packets sent.", 9},
	        {"node_network_transmit_errs_total", "Errors while sending.", 10},
	        {"node_network_transmit_drop_total", "Packets dropped while sending.", 11},
	};
	struct hg_str w[FIELDS];
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct hg_str rest = text;
		family(s, rows[i].name, "counter", rows[i].help);
		while (rest.n) {
			struct hg_str line = hg_str_cut(&rest, '\n');
			size_t colon = hg_str_find(line, ':');
			if (colon == line.n) continue; /* the two lines of heads */
			struct hg_str device = hg_str_trim(hg_str_cut(&line, ':'));
			if (words(line, w) < 12 || !device.n) continue;
			emit(s, rows[i].name, "device", device, number(w[rows[i].at]));
		}
	}
}

void host_loadavg(const struct host_sink *s, struct hg_str text)
{
	static const char *const names[] = {"node_load1", "node_load5", "node_load15"};
	static const char *const help[] = {
	        "Load over 1 minute.", "Load over 5 minutes.", "Load over 15 minutes."};
	struct hg_str w[FIELDS];
	double v;
	if (words(text, w) < 3) return;
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		if (!decimal(w[i], &v)) continue;
		family(s, names[i], "gauge", help[i]);
		emit(s, names[i], NULL, w[i], v);
	}
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123", and "full …" */
void host_pressure(const struct host_sink *s, const char *what, struct hg_str text)
{
	static const struct {
		const char *what, *kind, *name, *help;
	} rows[] = {
	        {"cpu", "some", "node_pressure_cpu_waiting_seconds_total",
	                "Time in which somebody waited for a CPU."},
	        {"io", "some", "node_pressure_io_waiting_seconds_total",
	                "Time in which somebody waited for a disk."},
	        {"io", "full", "node_pressure_io_stalled_seconds_total",
	                "Time in which all who had work waited for a disk."},
	        {"memory", "some", "node_pressure_memory_waiting_seconds_total",
	                "Time in which somebody waited for memory."},
	        {"memory", "full", "node_pressure_memory_stalled_seconds_total",
	                "Time in which all who had work waited for memory."},
	};
	struct hg_str w[FIELDS];
	while (text.n) {
		struct hg_str line = hg_str_cut(&text, '\n');
		unsigned n = words(line, w);
		struct hg_str total = n ? w[n - 1] : line;
		if (n < 2 || !hg_str_starts(total, HG_STR("total="))) continue;
		(void)hg_str_cut(&total, '=');
		for (size_t i = 0; i < HG_COUNT(rows); i++) {
			if (strcmp(rows[i].what, what) != 0 ||
			        !hg_str_eq(w[0], hg_str(rows[i].kind)))
				continue;
			family(s, rows[i].name, "counter", rows[i].help);
			emit(s, rows[i].name, NULL, w[0], number(total) / 1e6);
		}
	}
}
