#include "data/edge/h2_priv.h"

/*
 * Rapid reset (CVE-2023-44487), resets that we are made to send (CVE-2025-8671), and floods of
 * frames that cost us more than the client. Those who get answers earn resets: a browser that
 * cancels what it no longer shows is no attack.
 */

void edge_h2_guard_init(struct edge_h2_guard *g)
{
	*g = (struct edge_h2_guard){.resets_left = EDGE_H2_RESETS};
}

bool edge_h2_guard_frames(struct edge_h2_guard *g, uint32_t n, uint64_t now_ms)
{
	uint64_t second = now_ms / 1000;
	if (second != g->second) {
		g->second = second;
		g->noise = 0;
	}
	g->noise += n;
	return g->noise <= EDGE_H2_NOISE;
}

void edge_h2_guard_moved(struct edge_h2_guard *g)
{
	g->noise = 0;
}

void edge_h2_guard_answered(struct edge_h2_guard *g)
{
	if (g->resets_left < EDGE_H2_RESETS_MAX) g->resets_left++;
}

bool edge_h2_guard_reset(struct edge_h2_guard *g)
{
	if (g->resets_left == 0) return false;
	g->resets_left--;
	return true;
}
