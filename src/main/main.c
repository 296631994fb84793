/*
 * argv → role, and nothing else: who calls whom is decided here, what they do is not.
 */
#include "data/edge/edge.h"
#include "face/cli/cli.h"
#include "main/main_priv.h"
#include "meter/board.h"
#include "meter/meter.h"
#include "meter/rates.h"
#include "observe/host/host.h"
#include "os/file.h"
#include "spec/snapshot.h"

static void meter_format(void *meter, size_t size, uint32_t workers)
{
	HG_ASSERT(size >= meter_size(workers));
	meter_init(meter, workers);
}

static void meter_worker_dead(void *meter, size_t size, uint32_t worker)
{
	struct meter *m = meter_open(meter, size);
	if (m && worker < m->worker_count) meter_worker_reset(m, worker);
}

static void board_format(void *board, size_t size)
{
	HG_ASSERT(size >= sizeof(struct board));
	board_init(board);
}

static void table_format(void *table, size_t size)
{
	HG_ASSERT(size >= sizeof(struct snap_table));
	snap_table_init(table);
}

/* Its hashes are kept from those who choose what is hashed. */
static void rates_format(void *mapping, size_t size)
{
	uint8_t secret[16];
	HG_ASSERT(size >= sizeof(struct rates));
	/* Only a kernel without getrandom fails. */
	HG_ASSERT(file_random(secret, sizeof secret) == 0);
	rates_init(mapping, secret);
}

static int start_warden(const struct warden_plan *plan, int ready_fd)
{
	struct warden_plan p = *plan;
	p.meter_size = meter_size(p.workers);
	p.table_size = sizeof(struct snap_table);
	p.meter_format = meter_format;
	p.meter_worker_dead = meter_worker_dead;
	p.table_format = table_format;
	p.rates_size = sizeof(struct rates);
	p.rates_format = rates_format;
	p.board_size = sizeof(struct board);
	p.board_format = board_format;
	p.control_main = control_main;
	p.observe_main = observe_main;
	p.edge_main = edge_main;
	return warden_run(&p, ready_fd);
}

int main(int argc, char **argv)
{
	static const struct cli_deps deps = {.start_warden = start_warden};
	return cli_main(argc, argv, &deps);
}
