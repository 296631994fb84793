#include <stdio.h>

#include "tests/unit/test.h"

#include "observe/collect/host.c"

/* What was told, a line each. */
struct told {
	struct hg_buf text;
};

static void on_family(void *arg, const char *name, const char *type, const char *help)
{
	(void)arg, (void)name, (void)type, (void)help;
}

static void on_sample(
        void *arg, const char *name, const struct prom_label *labels, size_t n, double v)
{
	struct told *t = arg;
	hg_buf_cstr(&t->text, name);
	for (size_t i = 0; i < n; i++)
		hg_buf_fmt(&t->text, "%s%s=%.*s", i ? "," : " ", labels[i].name,
		        HG_STR_ARG(labels[i].value));
	hg_buf_fmt(&t->text, " %.10g\n", v);
}

enum kind { STAT, MEMINFO, VMSTAT, DISKS, NET, LOAD, PRESSURE };

static void test_texts_of_the_kernel_become_samples(void **state)
{
	static const struct {
		enum kind kind;
		const char *text, *want;
	} rows[] = {
	        {STAT,
	                "cpu  100 0 200 300 0 0 0 0 0 0\ncpu0 100 1 200 300 4 5 6 7 8 9\ncpu11 2 0 "
	                "0 "
	                "1 0 0 0 0\nintr 77 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9\n"
	                "ctxt 12345\nbtime 1700000000\nprocesses 9\nprocs_running 3\nprocs_blocked "
	                "1\nsoftirq 5 5\n",
	                "node_cpu_seconds_total job=n,cpu=0,mode=user 1\n"
	                "node_cpu_seconds_total job=n,cpu=0,mode=nice 0.01\n"
	                "node_cpu_seconds_total job=n,cpu=0,mode=system 2\n"
	                "node_cpu_seconds_total job=n,cpu=0,mode=idle 3\n"
	                "node_cpu_seconds_total job=n,cpu=0,mode=iowait 0.04\n"
	                "node_cpu_seconds_total job=n,cpu=0,mode=irq 0.05\n"
	                "node_cpu_seconds_total job=n,cpu=0,mode=softirq 0.06\n"
	                "node_cpu_seconds_total job=n,cpu=0,mode=steal 0.07\n"
	                "node_cpu_seconds_total job=n,cpu=11,mode=user 0.02\n"
	                "node_cpu_seconds_total job=n,cpu=11,mode=nice 0\n"
	                "node_cpu_seconds_total job=n,cpu=11,mode=system 0\n"
	                "node_cpu_seconds_total job=n,cpu=11,mode=idle 0.01\n"
	                "node_cpu_seconds_total job=n,cpu=11,mode=iowait 0\n"
	                "node_cpu_seconds_total job=n,cpu=11,mode=irq 0\n"
	                "node_cpu_seconds_total job=n,cpu=11,mode=softirq 0\n"
	                "node_cpu_seconds_total job=n,cpu=11,mode=steal 0\n"
	                "node_intr_total job=n 77\nnode_context_switches_total job=n 12345\n"
	                "node_boot_time_seconds job=n 1700000000\nnode_forks_total job=n 9\n"
	                "node_procs_running job=n 3\nnode_procs_blocked job=n 1\n"},
	        {MEMINFO,
	                "MemTotal:       16384 kB\nHugePages_Total:       0\nMemAvailable:  10 "
	                "kB\n",
	                "node_memory_MemTotal_bytes job=n 16777216\n"
	                "node_memory_MemAvailable_bytes job=n 10240\n"},
	        {VMSTAT, "nr_free_pages 7\noom_kill 2\npgmajfault 5\n",
	                "node_vmstat_oom_kill job=n 2\nnode_vmstat_pgmajfault job=n 5\n"},
	        {DISKS,
	                "   8       0 sda 1 0 2 3 4 0 6 7 0 9 10 0 0 0 0\n   8       1 sda1 9 9 9 "
	                "9 9 9 "
	                "9 9 9 9 9\n 259 0 nvme0n1p1 1 1 1 1 1 1 1 1 1 1 1\n   7 0 loop0 1 1 1 1 1 "
	                "1 1 "
	                "1 1 1 1\nshort line\n",
	                "node_disk_reads_completed_total job=n,device=sda 1\n"
	                "node_disk_read_bytes_total job=n,device=sda 1024\n"
	                "node_disk_read_time_seconds_total job=n,device=sda 0.003\n"
	                "node_disk_writes_completed_total job=n,device=sda 4\n"
	                "node_disk_written_bytes_total job=n,device=sda 3072\n"
	                "node_disk_write_time_seconds_total job=n,device=sda 0.007\n"
	                "node_disk_io_time_seconds_total job=n,device=sda 0.009\n"
	                "node_disk_io_time_weighted_seconds_total job=n,device=sda 0.01\n"},
	        {NET,
	                "Inter-|   Receive   |  Transmit\n face |bytes packets\n    lo: 1 2 3 4 0 "
	                "0 0 0 "
	                "5 6 7 8 0 0 0 0\n",
	                "node_network_receive_bytes_total job=n,device=lo 1\n"
	                "node_network_receive_packets_total job=n,device=lo 2\n"
	                "node_network_receive_errs_total job=n,device=lo 3\n"
	                "node_network_receive_drop_total job=n,device=lo 4\n"
	                "node_network_transmit_bytes_total job=n,device=lo 5\n"
	                "node_network_transmit_packets_total job=n,device=lo 6\n"
	                "node_network_transmit_errs_total job=n,device=lo 7\n"
	                "node_network_transmit_drop_total job=n,device=lo 8\n"},
	        {LOAD, "0.50 1.25 2.00 1/234 5678\n",
	                "node_load1 job=n 0.5\nnode_load5 job=n 1.25\nnode_load15 job=n 2\n"},
	        {PRESSURE,
	                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 "
	                "avg60=0.00 avg300=0.00 total=250\n",
	                "node_pressure_io_waiting_seconds_total job=n 1.5\n"
	                "node_pressure_io_stalled_seconds_total job=n 0.00025\n"},
	        /* What is not there or is something else is nothing. */
	        {STAT, "", ""},
	        {STAT, "cpu\ncpu0\ncpu0 1 2\n\n\nctxt", ""},
	        {MEMINFO, "MemTotal\nMemTotal:\n:::\n", ""},
	        {DISKS, "\n\n   8 0 sda 1 2 3", ""},
	        {NET, "lo:", ""},
	        {LOAD, "a b c\n", ""},
	        {LOAD, "", ""},
	        {PRESSURE, "some\nfull total\n", ""},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct told t;
		const struct meter_series_sink sink = {
		        .family = on_family, .sample = on_sample, .arg = &t};
		const struct prom_label who[] = {{"job", HG_STR("n")}};
		const struct host_sink s = {&sink, who, 1};
		struct hg_str text = hg_str(rows[i].text);
		hg_buf_init(&t.text, 65536);
		switch (rows[i].kind) {
		case STAT: host_stat(&s, text, 100, NULL); break;
		case MEMINFO: host_meminfo(&s, text); break;
		case VMSTAT: host_vmstat(&s, text); break;
		case DISKS: host_diskstats(&s, text); break;
		case NET: host_netdev(&s, text); break;
		case LOAD: host_loadavg(&s, text); break;
		default: host_pressure(&s, "io", text); break;
		}
		assert_string_equal(hg_buf_text(&t.text), rows[i].want);
		hg_buf_free(&t.text);
	}
}

static void test_partitions_and_pretended_disks_are_left_out(void **state)
{
	static const struct {
		const char *name;
		bool counts;
	} rows[] = {{"sda", true}, {"sda1", false}, {"vdb", true}, {"vdb12", false}, {"xvda", true},
	        {"xvda1", false}, {"nvme0n1", true}, {"nvme0n1p3", false}, {"mmcblk0", true},
	        {"mmcblk0p1", false}, {"dm-0", true}, {"md127", true}, {"loop3", false},
	        {"ram0", false}, {"sr0", false}, {"zd0", true}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if (disk_counts(hg_str(rows[i].name)) != rows[i].counts)
			fail_msg("%s", rows[i].name);
}

static double cpu_seconds(struct host_cpus *c, const char *line, const char *mode)
{
	struct told told;
	char want[64];
	const struct meter_series_sink sink = {
	        .family = on_family, .sample = on_sample, .arg = &told};
	const struct host_sink to = {.sink = &sink};
	hg_buf_init(&told.text, 1 << 16);
	host_stat(&to, hg_str(line), 100, c);
	(void)snprintf(want, sizeof want, "mode=%s ", mode);
	const char *at = strstr(hg_buf_text(&told.text), want);
	assert_non_null(at);
	double v = strtod(at + strlen(want), NULL);
	hg_buf_free(&told.text);
	return v;
}

/* A few ticks less would be for rate() a counter that began anew with all it has. */
static void test_idle_times_that_fall_a_little_stand_still(void **state)
{
	struct host_cpus c = {0};
	(void)state;
	assert_true(cpu_seconds(&c, "cpu3 1 1 1 90000 5000 0 0 0\n", "iowait") == 50);
	assert_true(cpu_seconds(&c, "cpu3 1 1 1 90010 4998 0 0 0\n", "iowait") == 50);
	assert_true(cpu_seconds(&c, "cpu3 1 1 1 90009 4999 0 0 0\n", "idle") == 900.1);
	assert_true(cpu_seconds(&c, "cpu3 1 1 1 90020 5001 0 0 0\n", "iowait") == 50.01);
	/* A CPU that was put in anew. */
	assert_true(cpu_seconds(&c, "cpu3 1 1 1 20 10 0 0 0\n", "iowait") == 0.1);
	assert_true(cpu_seconds(&c, "cpu9999999 1 1 1 20 10 0 0 0\n", "iowait") == 0.1);
	assert_int_equal(c.n, 4);
	free(c.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_texts_of_the_kernel_become_samples),
	        cmocka_unit_test(test_idle_times_that_fall_a_little_stand_still),
	        cmocka_unit_test(test_partitions_and_pretended_disks_are_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
