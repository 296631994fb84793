/*
 * Connections to observe that wait for the next question. To connect costs as much as a small query
 * does: a socket on both sides, an accept, and turns of two loops.
 */
#include "api_priv.h"
#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void on_io(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct api_link *k = HG_CONTAINER(io, struct api_link, io);
	(void)l;
	if (k->ready)
		k->ready(k->arg, events);
	else
		api_link_close(k); /* observe has nothing to say unasked: it is going away */
}

static enum hg_rc connect_to(struct api_link *k, struct hg_err *err)
{
	struct sock_addr addr;
	char text[512];
	snprintf(text, sizeof text, "unix:%s/run/observe.sock", k->api->d.data_dir);
	if (!sock_addr_parse(hg_str(text), &addr))
		return hg_err_set(err, HG_E_IO, "the path of observe.sock is too long");
	int fd = sock_connect(&addr);
	if (fd < 0) return hg_err_set(err, HG_E_CLOSED, "%s", strerror(-fd));
	k->fd = fd;
	return HG_OK;
}

enum hg_rc api_link_take(struct api *a, bool fresh, void (*ready)(void *arg, uint32_t events),
        void *arg, struct api_link **ret_link, struct hg_err *err)
{
	struct hg_list *node = fresh ? NULL : hg_list_first(&a->links);
	struct api_link *k = node ? HG_CONTAINER(node, struct api_link, node) : NULL;
	if (k) {
		hg_list_remove(&k->node);
		a->link_count--;
	} else {
		k = calloc(1, sizeof *k);
		if (!k) return hg_err_set(err, HG_E_NOMEM, "no memory for a connection");
		hg_list_init(&k->node);
		k->api = a;
		k->fd = k->io.fd = -1;
		enum hg_rc rc = connect_to(k, err);
		if (rc < 0) {
			free(k);
			return rc;
		}
	}
	k->ready = ready;
	k->arg = arg;
	*ret_link = k;
	return HG_OK;
}

enum hg_rc api_link_watch(struct api_link *k, uint32_t events)
{
	struct loop *l = k->api->d.loop;
	if (events == (k->io.fd < 0 ? 0 : k->events)) return HG_OK;
	k->events = events;
	if (!events) {
		loop_io_stop(l, &k->io);
		return HG_OK;
	}
	return k->io.fd < 0 ? loop_io_start(l, &k->io, k->fd, events, on_io)
	                    : loop_io_change(l, &k->io, events);
}

void api_link_give(struct api_link *k)
{
	struct api *a = k->api;
	if (a->link_count == API_LINKS_MAX || api_link_watch(k, EPOLLIN) < 0) {
		api_link_close(k);
		return;
	}
	k->ready = NULL;
	k->arg = NULL;
	k->used = true;
	k->since_ms = loop_now_ms(a->d.loop);
	hg_list_prepend(&a->links, &k->node);
	a->link_count++;
}

void api_link_close(struct api_link *k)
{
	struct api *a = k->api;
	loop_io_stop(a->d.loop, &k->io);
	sock_close(k->fd);
	if (!k->ready) a->link_count--;
	hg_list_remove(&k->node);
	free(k);
}

void api_links_end(struct api *a, uint64_t until_ms)
{
	HG_LIST_EACH_SAFE (node, after, &a->links) {
		struct api_link *k = HG_CONTAINER(node, struct api_link, node);
		if (k->since_ms <= until_ms) api_link_close(k);
	}
}
