/* A run of an older version of a graph goes on with a newer one that says so (`migrate`: from_hash
 * to to_hash, the newer graph's own). It takes its state along, field by field, and its place by
 * the names of nodes; where that cannot be done it is refused and stays as it was. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/internal.h"

struct prepared *sg_migration_find(struct sg_engine *e, const char *hash)
{
	for (struct prepared *p = e->graphs; p; p = p->next)
		if (p->listed && sg_graph_migrates_from(p->graph, hash))
			return p;
	return NULL;
}

/* The fields that the graph has, out of what an older one left. */
static json_t *known_fields(const struct sg_graph *g, const json_t *old)
{
	json_t *known = json_object();
	for (size_t i = 0; known && i < g->n_fields; i++) {
		json_t *v = json_object_get(old, g->fields[i].name);
		if (v)
			(void)json_object_set(known, g->fields[i].name, v);
	}
	return known;
}

int sg_migrate_state(const struct sg_graph *g, json_t **state, struct sg_error *err)
{
	json_t *known = known_fields(g, *state), *fresh = NULL;
	int rc = known ? sg_graph_initial_state(g, known, false, &fresh, err) : sg_error_nomem(err);
	json_decref(known);
	if (rc < 0)
		return rc;
	json_decref(*state);
	*state = fresh;
	return 0;
}

void sg_migration_begin(struct run *r)
{
	if (strcmp(r->row.graph_hash, r->f.graph->graph->hash) == 0)
		return;
	memcpy(r->migrated_from, r->row.graph_hash, sizeof(r->migrated_from));
	memcpy(r->row.graph_hash, r->f.graph->graph->hash, sizeof(r->row.graph_hash));
}

int sg_migration_refused(const struct run *r, struct sg_error *err)
{
	if (!r->migrated_from[0] || err->code == SG_ENOMEM)
		return -err->code;
	err->code = SG_EREFUSED;
	return sg_error_prefix(
		err, "it cannot migrate to graph %s (%.12s…)", r->row.graph_id, r->row.graph_hash);
}

void sg_migration_note(struct run *r, const char *actor)
{
	struct sg_buf *b = &r->engine->scratch;
	if (!r->migrated_from[0])
		return;
	sg_buf_reset(b);
	sg_buf_addf(b, "{\"from_hash\":\"%s\",\"graph_id\":", r->migrated_from);
	sg_buf_add_json_string(b, r->row.graph_id, strlen(r->row.graph_id));
	sg_buf_addf(b, ",\"to_hash\":\"%s\"}", r->row.graph_hash);
	if (!b->failed)
		(void)sg_batch_event(r->engine, r, sg_clock_utc_us(), actor, "run_migrated",
			r->step - 1, b->data, b->len, NULL, NULL);
	r->migrated_from[0] = '\0';
}
