/* The runs in memory, and who waits for what. */
#include <stdlib.h>
#include <string.h>

#include "run/internal.h"

unsigned sg_bucket(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint32_t h = 2166136261U; /* FNV-1a */
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619U;
	return h % SG_RUN_BUCKETS;
}

struct run *sg_run_find(struct sg_engine *e, const char *run_id)
{
	struct run *r = e->table[sg_bucket(run_id, strlen(run_id))];
	while (r && strcmp(r->row.run_id, run_id) != 0)
		r = r->table_next;
	return r;
}

void sg_run_insert(struct run *r)
{
	struct sg_engine *e = r->engine;
	struct run **b = &e->table[sg_bucket(r->row.run_id, strlen(r->row.run_id))];
	r->table_next = *b;
	*b = r;
	e->n_runs++;
}

struct run *sg_run_create(struct sg_engine *e, struct prepared *g)
{
	struct run *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->engine = e;
	r->f.graph = g;
	r->f.first = true;
	r->f.last_step = -1;
	r->row.graph_id = g->graph->id;
	memcpy(r->row.graph_hash, g->graph->hash, sizeof(r->row.graph_hash));
	return r;
}

static void remove_from_table(struct run *r)
{
	struct sg_engine *e = r->engine;
	struct run **p = &e->table[sg_bucket(r->row.run_id, strlen(r->row.run_id))];
	while (*p && *p != r)
		p = &(*p)->table_next;
	if (!*p)
		return;
	*p = r->table_next;
	e->n_runs--;
}

void sg_idem_forget(struct run *r)
{
	if (!r->idem_key)
		return;
	struct run **p = &r->engine->idem[sg_bucket(r->idem_key, r->idem_len) % 256];
	while (*p && *p != r)
		p = &(*p)->idem_next;
	if (*p)
		*p = r->idem_next;
	free(r->idem_key);
	r->idem_key = NULL;
}

void sg_run_destroy(struct run *r)
{
	if (!r)
		return;
	remove_from_table(r);
	sg_ready_remove(r);
	sg_idem_forget(r);
	sg_deadline_idle(r);
	if (r->source && r->source->release)
		r->source->release(r);
	while (r->settled) {
		struct watcher *w = r->settled;
		r->settled = w->next;
		sg_watcher_free(w);
	}
	r->row.graph_id = NULL; /* the graph's */
	sg_run_row_finish(&r->row);
	sg_frame_finish(&r->f);
	sg_text_unref(r->told);
	free(r->path);
	for (size_t i = 0; i < r->n_old_path; i++)
		free(r->old_path[i]);
	free(r->old_path);
	free(r->announced);
	free(r->pause_actor);
	free(r);
}

void sg_run_maybe_release(struct run *r)
{
	if (r->phase == PHASE_SETTLED && !r->inflight && !r->settled && !r->queued)
		sg_run_destroy(r);
}

void sg_watcher_add(
	struct sg_engine *e, struct watcher **list, struct run *r, sg_run_callback cb, void *ctx)
{
	struct watcher *w = cb ? calloc(1, sizeof(*w)) : NULL;
	if (!w)
		return;
	w->ctx = ctx;
	w->run_cb = cb;
	w->run = r;
	sg_watcher_link(e, w, list);
}

void sg_watcher_link(struct sg_engine *e, struct watcher *w, struct watcher **list)
{
	struct watcher **b = &e->watchers[sg_bucket(&w->ctx, sizeof(w->ctx))];
	w->bucket_next = *b;
	w->bucket_prev = b;
	if (*b)
		(*b)->bucket_prev = &w->bucket_next;
	*b = w;
	while (*list)
		list = &(*list)->next;
	*list = w;
}

void sg_watcher_free(struct watcher *w)
{
	*w->bucket_prev = w->bucket_next;
	if (w->bucket_next)
		w->bucket_next->bucket_prev = w->bucket_prev;
	free(w);
}

void sg_engine_forget(struct sg_engine *e, const void *ctx)
{
	struct watcher *w = e->watchers[sg_bucket(&ctx, sizeof(ctx))];
	for (; w; w = w->bucket_next) {
		if (w->ctx != ctx)
			continue;
		w->run_cb = NULL;
		w->wait_cb = NULL;
	}
	sg_embedding_forget(e, ctx);
	sg_knowledge_forget(e, ctx);
	sg_replays_forget(e, ctx);
}
