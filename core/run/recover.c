/* Runs read back from the store: at a restart, and whenever somebody answers, resumes or cancels a
 * run that has settled. What a run needs to go on is its row and its last checkpoint. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/about.h"
#include "run/internal.h"

static bool opens_interrupt(const struct sg_checkpoint *c)
{
	/* Canonical JSON: quotes inside of texts are escaped, so this is the member itself. */
	return c->next_action && strstr(c->next_action, "\"kind\":\"interrupt\"");
}

struct walk {
	struct run *run;
	bool skip; /* the next checkpoint is an answer's or a deadline's: no node ran */
	int failed;
};

static const char *keep_old_path(struct run *r, const char *path)
{
	char **list = realloc(r->old_path, (r->n_old_path + 1) * sizeof(*list));
	char *own = list ? strdup(path) : NULL;
	if (list)
		r->old_path = list;
	if (own)
		list[r->n_old_path++] = own;
	return own;
}

static int64_t tokens_of(const char *recorded)
{
	json_auto_t *list = NULL;
	int64_t n = 0;
	size_t i;
	const json_t *one;
	if (recorded && sg_json_parse(recorded, strlen(recorded), &list, NULL) == 0)
		json_array_foreach (list, i, one)
			n += sg_about_tokens(one);
	return n;
}

static int visit(void *ctx, const struct sg_checkpoint *c)
{
	struct walk *w = ctx;
	if (sg_rules_asks(sg_run_top(w->run)->graph->rules))
		w->run->n_tokens += tokens_of(c->recorded);
	const char *path = sg_prepared_path(sg_run_top(w->run)->graph, c->last_node);
	if (!w->skip && !path)
		path = keep_old_path(w->run, c->last_node);
	if (!w->skip && (!path || sg_path_add(w->run, path) < 0))
		w->failed = -SG_ENOMEM;
	w->skip = opens_interrupt(c);
	return w->failed;
}

static int parse_carried(struct run *r, const char *recorded, struct sg_error *err)
{
	json_t *list = NULL;
	int rc = recorded ? sg_json_parse(recorded, strlen(recorded), &list, err) : 0;
	size_t i;
	const json_t *one;
	json_array_foreach (list, i, one) {
		const char *kind = json_string_value(json_object_get(one, "kind"));
		if (rc == 0 && kind && strcmp(kind, "carried") == 0)
			rc = sg_carried_parse(&r->f, one, err);
	}
	json_decref(list);
	return rc;
}

/* Where the checkpoint's decision leads. */
static int set_next(struct run *r, const struct sg_checkpoint *c, struct sg_error *err)
{
	const struct sg_graph *g = r->f.graph->graph;
	json_t *next = NULL;
	const char *slash = strrchr(c->last_node, '/'); /* the graph is the innermost */
	int node = sg_graph_find_node(g, slash ? slash + 1 : c->last_node);
	int rc = c->next_action ? sg_json_parse(c->next_action, strlen(c->next_action), &next, err)
				: 0;
	if (rc < 0)
		return rc;
	const char *kind = json_string_value(json_object_get(next, "kind")),
		   *target = json_string_value(json_object_get(next, "target"));
	if (kind && strcmp(kind, "parallel") == 0) {
		rc = sg_parallel_begin(r, next, err);
		json_decref(next);
		return rc;
	}
	r->f.ended = r->f.outer && kind && strcmp(kind, "halt") == 0;
	if (target)
		node = sg_graph_find_node(g, target);
	else if (!opens_interrupt(c) && node >= 0)
		node++;
	if (kind && strcmp(kind, "retry") == 0) {
		int64_t due = c->timestamp_us +
			      1000 * json_integer_value(json_object_get(next, "backoff_ms"));
		int64_t left = due - sg_clock_utc_us();
		r->wake_us = left > 0 ? sg_clock_monotonic_us() + left : 0;
	}
	json_decref(next);
	if (node < 0)
		return sg_error_set(err, SG_ECORRUPT, "unknown-node",
			"checkpoint %lld of run %s leads to a node that its graph does not have",
			(long long)c->step, c->run_id);
	r->f.node = node;
	return 0;
}

static int take_state(struct run *r, json_t *state, struct sg_error *err)
{
	struct sg_buf *b = &r->engine->scratch;
	sg_buf_reset(b);
	int rc = sg_json_print(state, b, err);
	struct text *text = rc == 0 ? sg_text_make(b->data, b->len) : NULL;
	if (!text)
		return rc < 0 ? rc : sg_error_nomem(err);
	json_decref(r->f.state);
	sg_text_unref(r->f.state_text);
	r->f.state = json_incref(state);
	r->f.state_text = text;
	return 0;
}

/* The innermost graph as it stood after this checkpoint. */
static int from_checkpoint(struct run *r, const struct sg_checkpoint *c, struct sg_error *err)
{
	json_t *state = NULL;
	int rc = sg_json_parse(c->state, strlen(c->state), &state, err);
	if (rc == 0 && !r->source && strcmp(c->graph_hash, r->row.graph_hash) != 0)
		rc = sg_migrate_state(r->f.graph->graph, &state, err);
	if (rc == 0)
		rc = take_state(r, state, err);
	json_decref(state);
	if (rc < 0)
		return rc;
	r->wake_us = 0;
	r->f.last_step = c->step;
	r->f.first = false;
	rc = parse_carried(r, c->recorded, err);
	if (rc == 0)
		rc = set_next(r, c, err);
	if (rc == 0 && r->f.outer && (size_t)r->f.node >= r->f.graph->graph->n_nodes)
		r->f.ended = true;
	return rc;
}

static int from_params(struct run *r, struct sg_error *err)
{
	json_t *params = NULL;
	int rc = sg_json_parse(r->row.params, strlen(r->row.params), &params, err);
	if (rc == 0 && r->migrated_from[0])
		rc = sg_migrate_state(r->f.graph->graph, &params, err);
	if (rc == 0)
		rc = sg_run_seed(r, params, false, err);
	json_decref(params);
	return rc;
}

static int bad_frames(const struct run *r, struct sg_error *err)
{
	return sg_error_set(err, SG_ECORRUPT, NULL,
		"run %s: its subgraphs are not those of its graph", r->row.run_id);
}

/* One graph that the run had left for a subgraph: as its last checkpoint says, then in again. */
static int restore_frame(struct run *r, struct sg_txn *t, const char *run_id, const json_t *one,
	struct sg_error *err)
{
	const struct sg_graph *g = r->f.graph->graph;
	const char *node = json_string_value(json_object_get(one, "node"));
	int64_t step = json_integer_value(json_object_get(one, "step"));
	int at = node ? sg_graph_find_node(g, node) : -1, rc = 0;
	if (at < 0 || !r->f.graph->subs[at])
		return bad_frames(r, err);
	if (step >= 0) {
		struct sg_checkpoint c;
		rc = sg_checkpoint_get(t, run_id, step, &c, err);
		if (rc != 0)
			return rc < 0 ? rc : bad_frames(r, err);
		rc = from_checkpoint(r, &c, err);
		sg_checkpoint_finish(&c);
	} else if (!r->f.outer) {
		rc = from_params(r, err);
	}
	r->f.node = rc < 0 || r->f.plan ? r->f.node : at;
	if (rc == 0)
		rc = sg_parallel_enter(r, err);
	if (rc == 0 && r->f.node != at)
		rc = bad_frames(r, err);
	if (rc == 0)
		rc = sg_frame_enter(r, err);
	if (rc == 0)
		r->f.n_steps = json_integer_value(json_object_get(one, "taken"));
	return rc;
}

static int restore_frames(struct run *r, struct sg_txn *t, const char *run_id, const char *recorded,
	struct sg_error *err)
{
	json_t *list = NULL;
	int rc = recorded ? sg_json_parse(recorded, strlen(recorded), &list, err) : 0;
	size_t i, k;
	const json_t *entry, *one;
	json_array_foreach (list, i, entry) {
		const char *kind = json_string_value(json_object_get(entry, "kind"));
		if (!kind || strcmp(kind, "frames") != 0)
			continue;
		json_array_foreach (json_object_get(entry, "frames"), k, one)
			if (rc == 0)
				rc = restore_frame(r, t, run_id, one, err);
	}
	json_decref(list);
	return rc;
}

int sg_run_stand_after(
	struct run *r, struct sg_txn *t, const char *run_id, int64_t step, struct sg_error *err)
{
	struct sg_checkpoint c;
	if (step < 0)
		return from_params(r, err);
	int rc = sg_checkpoint_get(t, run_id, step, &c, err);
	if (rc != 0)
		return rc < 0 ? rc
			      : sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' has no step %lld",
					run_id, (long long)step);
	rc = restore_frames(r, t, run_id, c.recorded, err);
	if (rc == 0)
		rc = from_checkpoint(r, &c, err);
	sg_checkpoint_finish(&c);
	r->step = step + 1;
	return rc;
}

static int fill(struct run *r, struct sg_txn *t, struct sg_error *err)
{
	struct sg_checkpoint c;
	const char *id = r->row.run_id;
	struct walk w = {.run = r};
	int rc = sg_checkpoint_get(t, id, -1, &c, err);
	if (rc < 0)
		return rc;
	if (rc == 1)
		return r->source ? sg_fork_stand(r, t, err) : from_params(r, err);
	rc = restore_frames(r, t, id, c.recorded, err);
	if (rc == 0)
		rc = from_checkpoint(r, &c, err);
	if (rc == 0)
		r->told = sg_text_ref(r->f.state_text);
	r->step = c.step + 1;
	sg_checkpoint_finish(&c);
	if (rc == 0)
		rc = sg_checkpoint_each(t, id, visit, &w, err);
	if (w.failed)
		return sg_error_nomem(err);
	return rc < 0 ? rc : 0;
}

static int load(struct sg_engine *e, struct sg_txn *t, const char *run_id, struct run **ret,
	struct sg_error *err)
{
	struct sg_run_row row;
	int rc = sg_run_require(t, run_id, &row, err);
	if (rc < 0)
		return rc;
	struct prepared *g = row.status < SG_RUN_DONE ? sg_migration_find(e, row.graph_hash) : NULL;
	rc = g ? 0 : sg_prepared_by_hash(e, t, row.graph_hash, &g, err);
	struct run *r = rc < 0 ? NULL : sg_run_create(e, g);
	if (!r) {
		sg_run_row_finish(&row);
		return rc < 0 ? rc : sg_error_nomem(err);
	}
	free(row.graph_id);
	row.graph_id = g->graph->id;
	r->row = row;
	r->phase = PHASE_SETTLED;
	r->live_stored = row.status < SG_RUN_DONE;
	sg_migration_begin(r);
	rc = sg_fork_attach(r, t, err);
	if (rc == 0)
		rc = fill(r, t, err);
	if (rc < 0) {
		rc = sg_migration_refused(r, err);
		sg_run_destroy(r);
		return rc;
	}
	sg_run_insert(r);
	*ret = r;
	return 0;
}

int sg_run_load(struct sg_engine *e, const char *run_id, struct run **ret, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int rc = sg_txn_begin(e->store, false, &t, err);
	return rc < 0 ? rc : load(e, t, run_id, ret, err);
}

static void put_resumed(struct run *r)
{
	static const char payload[] = "{\"actor\":\"system\",\"reason\":\"restart\"}";
	(void)sg_batch_event(r->engine, r, sg_clock_utc_us(), "system", "run_resumed", r->step - 1,
		payload, sizeof(payload) - 1, NULL, NULL);
}

/* Did it stop while a tool worked that changes things, or before its step was one? The record of
 * the call or of its result is then the last of the run. */
static int in_doubt(struct run *r, struct sg_txn *t, bool *ret, struct sg_error *err)
{
	json_auto_t *last = NULL;
	int rc = sg_events_last(t, r->row.run_id, &last, err);
	const json_t *p = json_object_get(last, "payload");
	const char *type = json_string_value(json_object_get(last, "type")),
		   *effects = json_string_value(json_object_get(p, "side_effects")),
		   *tool = json_string_value(json_object_get(p, "tool_name"));
	*ret = rc == 0 && type && effects &&
	       (strcmp(type, "tool_call") == 0 || strcmp(type, "tool_result") == 0) &&
	       (strcmp(effects, "write") == 0 || strcmp(effects, "external") == 0);
	if (*ret) {
		char why[256];
		(void)snprintf(why, sizeof(why),
			"effect-unknown: tool %.100s was called and its result is not recorded; "
			"resume calls it again",
			tool ? tool : "?");
		sg_run_set_text(&r->row.reason, why);
	}
	return rc;
}

static void pause_in_doubt(struct run *r)
{
	sg_run_reactivate(r);
	sg_run_set_text(&r->pause_actor, "system");
	sg_run_settle(r, SG_RUN_PAUSED, sg_clock_utc_us());
}

static void go_on(struct run *r)
{
	sg_run_reactivate(r);
	sg_migration_note(r, "system");
	put_resumed(r);
	if (!r->f.outer && (size_t)r->f.node >= r->f.graph->graph->n_nodes) {
		sg_run_end(r, SG_RUN_DONE, NULL, NULL);
	} else if (r->wake_us > sg_clock_monotonic_us()) {
		r->phase = PHASE_SLEEPING;
		(void)sg_timer_add(r->engine, r->wake_us, r->row.run_id);
	} else {
		sg_run_ready(r);
	}
}

/* A run whose last checkpoint cannot be used any more fails, with the reason; it is not lost. */
static int fail_row(struct sg_engine *e, struct sg_txn *t, const char *run_id,
	const struct sg_error *why, struct sg_error *err)
{
	struct sg_run_row row;
	int rc = sg_run_get(t, run_id, &row, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	sg_run_set_text(&row.error_class, why->kind);
	sg_run_set_text(&row.error_cause, why->text);
	row.status = SG_RUN_FAILED;
	row.finished_us = row.updated_us = sg_clock_utc_us();
	rc = sg_batch_row(e, &row);
	sg_run_row_finish(&row);
	return rc < 0 ? sg_error_nomem(err) : 0;
}

static int recover_one(
	struct sg_engine *e, struct sg_txn *t, const char *run_id, struct sg_error *err)
{
	struct sg_run_row row;
	struct run *r;
	struct sg_error why;
	int rc = sg_run_get(t, run_id, &row, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	enum sg_run_status status = row.status;
	if (status == SG_RUN_WAITING) {
		rc = sg_interrupt_arm(e, run_id, row.waiting);
		e->stats.runs_waiting++;
	}
	sg_run_row_finish(&row);
	if (rc < 0)
		return sg_error_nomem(err);
	if (status != SG_RUN_RUNNING && status != SG_RUN_PENDING)
		return 0;
	rc = load(e, t, run_id, &r, &why);
	if (rc == -SG_EREFUSED || rc == -SG_ENOMEM) {
		*err = why; /* what is missing here (the model, a pack) is not the run's fault */
		return sg_error_prefix(err, "run %s cannot go on", run_id);
	}
	if (rc < 0)
		return fail_row(e, t, run_id, &why, err);
	bool doubt;
	rc = in_doubt(r, t, &doubt, err);
	if (rc < 0)
		return rc;
	if (doubt)
		pause_in_doubt(r);
	else
		go_on(r);
	sg_run_maybe_release(r);
	return 0;
}

int sg_engine_recover(struct sg_engine *e, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	sg_autocursor *c = NULL;
	struct sg_span key = {0}, val;
	int rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = sg_cursor_open(t, SG_TABLE_LIVE, &c, err);
	if (rc == 0)
		rc = sg_cursor_seek(c, SG_SEEK_FIRST, &key, &val, err);
	while (rc == 0) {
		char id[SG_RUN_ID_TEXT] = "";
		if (key.len < sizeof(id))
			memcpy(id, key.data, key.len);
		rc = recover_one(e, t, id, err);
		if (rc == 0)
			rc = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &val, err);
	}
	if (rc >= 0)
		rc = sg_retention_resume(e, t, err);
	sg_engine_kick(e);
	return rc < 0 ? rc : 0;
}
