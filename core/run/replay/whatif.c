/* See whatif.h. */
#include "run/replay/whatif.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "pack/pack.h"
#include "run/replay/walk.h"

/* ---- the graph with other packs ---- */

static int copy_text(struct sg_recorded_text *to, const char *data, size_t n, struct sg_error *err)
{
	to->data = malloc(n + 1);
	if (!to->data)
		return sg_error_nomem(err);
	memcpy(to->data, data, n);
	to->data[n] = '\0';
	to->len = n;
	return 0;
}

/* The version that a mount names becomes that of the pack there is; subgraphs' too. */
static void name_versions(json_t *document, const struct sg_mounts *m, bool *found)
{
	size_t i;
	json_t *one;
	json_array_foreach (json_object_get(document, "governance"), i, one) {
		const char *id = sg_json_text(one, "id");
		const struct sg_pack *p = id ? sg_mounts_find(m, id) : NULL;
		*found = *found || p;
		if (p && json_object_get(one, "version"))
			(void)json_object_set_new(one, "version", json_string(p->version));
	}
	json_array_foreach (json_object_get(document, "nodes"), i, one)
		if (json_object_get(one, "graph"))
			name_versions(json_object_get(one, "graph"), m, found);
}

static int put_pack(struct sg_recorded_graph *g, const struct sg_recorded_graph *was, size_t i,
	const struct sg_pack *p, struct sg_error *err)
{
	json_t *entry = json_copy(json_array_get(was->packs, i));
	if (p && entry) {
		(void)json_object_set_new(entry, "sha256", json_string(p->tree_sha256));
		(void)json_object_set_new(entry, "version", json_string(p->version));
	}
	if (!entry || json_array_append_new(g->packs, entry) < 0)
		return sg_error_nomem(err);
	int rc = copy_text(&g->pack[i], p ? p->stored : was->pack[i].data,
		p ? p->stored_len : was->pack[i].len, err);
	g->n_packs += rc == 0;
	return rc;
}

static int put_document(struct sg_recorded_graph *g, const struct sg_recorded_graph *was,
	const struct sg_mounts *m, struct sg_error *err)
{
	json_auto_t *document = NULL;
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	bool found = false;
	int rc = sg_json_parse(was->document.data, was->document.len, &document, err);
	if (rc < 0)
		return rc;
	name_versions(document, m, &found);
	if (!found)
		return 1;
	rc = sg_json_canonical(document, &text, err);
	return rc < 0 ? rc : copy_text(&g->document, text.data, text.len, err);
}

/* Positive outcome 1: none of its packs is in m. */
static int other_graph(const struct sg_recording *rec, const struct sg_mounts *m,
	struct sg_recorded_graph *g, struct sg_error *err)
{
	const struct sg_recorded_graph *was = sg_recording_graph(rec, rec->row.graph_hash);
	if (!was || !was->document.data)
		return sg_error_set(err, SG_ENOTFOUND, "unknown-graph",
			"the graph of run %s is not stored", rec->row.run_id);
	int rc = put_document(g, was, m, err);
	if (rc != 0)
		return rc;
	g->packs = json_array();
	g->pack = calloc(was->n_packs + 1, sizeof(*g->pack));
	if (!g->packs || !g->pack)
		return sg_error_nomem(err);
	for (size_t i = 0; rc == 0 && i < was->n_packs; i++) {
		const char *id = sg_json_text(json_array_get(was->packs, i), "id");
		rc = put_pack(g, was, i, id ? sg_mounts_find(m, id) : NULL, err);
	}
	return rc;
}

static int prepare(struct sg_engine *e, struct sg_recorded_graph *g, struct prepared **ret,
	struct sg_error *err)
{
	struct prepared *p = NULL;
	int rc = sg_walk_make_graph(e, g, &p, err);
	if (rc < 0)
		return rc;
	memcpy(g->hash, p->graph->hash, sizeof(g->hash));
	for (struct prepared *known = e->graphs; known; known = known->next)
		if (strcmp(known->graph->hash, p->graph->hash) == 0) {
			sg_prepared_destroy(p);
			*ret = known;
			return 0;
		}
	*e->graphs_tail = p;
	e->graphs_tail = &p->next;
	*ret = p;
	return 0;
}

/* ---- the run ---- */

struct whatif {
	struct walk walk;
	struct sg_recording *made;
	size_t cap;
	bool no_memory;
};

static char *text_copy(struct whatif *w, const char *text)
{
	char *own = text ? strdup(text) : NULL;
	w->no_memory = w->no_memory || (text && !own);
	return own;
}

static int keep(struct whatif *w, const struct sg_checkpoint *c)
{
	struct sg_recording *r = w->made;
	if (r->n_steps == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 16;
		struct sg_checkpoint *p = reallocarray(r->steps, cap, sizeof(*p));
		if (!p)
			return w->no_memory = true;
		r->steps = p;
		w->cap = cap;
	}
	struct sg_checkpoint *own = &r->steps[r->n_steps++];
	*own = *c;
	own->branch_id = text_copy(w, c->branch_id);
	own->state = text_copy(w, c->state);
	own->clips_facts = text_copy(w, c->clips_facts);
	own->last_node = text_copy(w, c->last_node);
	own->next_action = text_copy(w, c->next_action);
	own->parent_run_id = text_copy(w, c->parent_run_id);
	own->recorded = text_copy(w, c->recorded);
	return w->no_memory;
}

static int seen(void *ctx, const struct item *items, size_t n)
{
	int stop = 0;
	for (size_t i = 0; !stop && i < n; i++)
		if (items[i].kind == ITEM_CHECKPOINT)
			stop = keep(ctx, &items[i].checkpoint.c);
	return stop;
}

/* rec's row, as far as the run's beginning goes. */
static void begin_row(struct whatif *w, struct sg_run_row *row, const struct sg_run_row *was)
{
	memcpy(row->run_id, was->run_id, sizeof(row->run_id));
	row->started_us = was->started_us;
	row->actor = text_copy(w, was->actor);
	row->trigger_source = text_copy(w, was->trigger_source);
}

static void end_row(struct whatif *w, const struct sg_run_row *was)
{
	struct sg_run_row *row = &w->made->row;
	const struct sg_run_row *now = &w->walk.run->row;
	begin_row(w, row, was);
	row->graph_id = text_copy(w, was->graph_id);
	row->params = text_copy(w, was->params);
	memcpy(row->graph_hash, w->made->graphs[0].hash, sizeof(row->graph_hash));
	row->status = now->status;
	row->updated_us = row->finished_us = was->updated_us;
	row->steps = (int64_t)w->made->n_steps;
	row->reason = text_copy(w, now->reason);
	row->error_class = text_copy(w, now->error_class);
	row->error_cause = text_copy(w, now->error_cause);
	row->waiting = text_copy(w, now->waiting);
}

static int walk(struct whatif *w, const struct sg_replayer *p, const struct sg_recording *rec,
	struct prepared *g, struct sg_error *err)
{
	json_auto_t *params = NULL;
	const char *text = rec->row.params ? rec->row.params : "{}";
	struct run *r = w->walk.run = sg_run_create(p->engine, g);
	int rc = r ? sg_json_parse(text, strlen(text), &params, err) : sg_error_nomem(err);
	if (rc == 0)
		rc = sg_fork_attach_whatif(r, rec, err);
	if (rc < 0)
		return rc;
	r->inflight = 1; /* ours: it is not released when it settles */
	r->row.status = SG_RUN_RUNNING;
	begin_row(w, &r->row, &rec->row);
	rc = sg_run_seed(r, params, false, err);
	sg_walk_limit(&w->walk, p);
	for (int stop = 0; rc == 0 && !stop && r->phase == PHASE_READY;) {
		sg_run_advance(r, 1);
		stop = sg_walk_deliver(&w->walk);
		if (sg_walk_late(&w->walk))
			rc = sg_error_set(err, SG_ELIMIT, "replay-too-long",
				"run '%s' took more than its time under the new pack",
				rec->row.run_id);
	}
	return rc == 0 && w->no_memory ? sg_error_nomem(err) : rc;
}

static int check(const struct sg_recording *rec, struct sg_error *err)
{
	int rc = sg_replayable(rec, err);
	if (rc < 0)
		return rc;
	if (rec->fork)
		return sg_error_set(
			err, SG_EREFUSED, "fork", "run %s is a fork itself", rec->row.run_id);
	switch (rec->row.status) {
	case SG_RUN_DONE:
	case SG_RUN_FAILED:
	case SG_RUN_WAITING: return 0;
	case SG_RUN_PENDING:
	case SG_RUN_RUNNING:
	case SG_RUN_PAUSED:
	case SG_RUN_CANCELLED: break;
	}
	return sg_error_set(err, SG_EREFUSED, "unfinished", "run %s is %s", rec->row.run_id,
		sg_run_status_name(rec->row.status));
}

int sg_whatif(struct sg_replayer *p, const struct sg_recording *rec, const struct sg_mounts *m,
	struct sg_recording **ret, struct sg_error *err)
{
	struct whatif w = {.walk = {.engine = p->engine}};
	struct prepared *g = NULL;
	int rc = check(rec, err);
	if (rc < 0)
		return rc;
	w.made = calloc(1, sizeof(*w.made));
	if (!w.made || !(w.made->graphs = calloc(1, sizeof(*w.made->graphs)))) {
		free(w.made);
		return sg_error_nomem(err);
	}
	w.made->n_graphs = 1;
	w.walk.seen = seen;
	w.walk.ctx = &w;
	rc = other_graph(rec, m, &w.made->graphs[0], err);
	if (rc == 0)
		rc = prepare(p->engine, &w.made->graphs[0], &g, err);
	if (rc == 0)
		rc = walk(&w, p, rec, g, err);
	if (rc == 0)
		end_row(&w, &rec->row);
	if (rc == 0 && w.no_memory)
		rc = sg_error_nomem(err);
	sg_walk_finish(&w.walk);
	if (rc == 0)
		*ret = w.made;
	else
		sg_recording_destroy(w.made);
	return rc;
}
