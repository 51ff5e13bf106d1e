/* Forks that run in the engine: a run of its own whose outside is its parent's record. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/replay/forking.h"
#include "run/replay/walk.h"

struct forking {
	struct sg_fork fork;
	struct sg_recording *parent; /* owned */
	bool borrowed;		     /* parent is the caller's */
};

static const struct forking *of(const struct run *r)
{
	return r->source_data;
}

/* ---- the source ---- */

static int64_t wall_us(const struct run *r)
{
	(void)r;
	return sg_clock_utc_us();
}

/* The record's time; beyond it one microsecond a step, so that equal forks are equal. */
static int64_t step_us(const struct run *r)
{
	for (const struct sg_recording *p = of(r)->parent; p; p = p->parent) {
		const struct sg_checkpoint *c = sg_recording_step(p, r->step), *last;
		if (c)
			return c->timestamp_us;
		last = p->n_steps ? &p->steps[p->n_steps - 1] : NULL;
		if (last && r->step > last->step)
			return last->timestamp_us + (r->step - last->step);
	}
	return of(r)->parent->row.started_us + r->step;
}

static int begin(struct run *r, const char **ret_scope, struct sg_error *err)
{
	(void)r;
	(void)ret_scope;
	(void)err;
	return 0;
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const struct forking *f = of(x->run);
	json_t *update = sg_fork_output(&f->fork, x);
	if (update)
		return sg_exec_override(x, update, err);
	if (!x->kind->apply || !sg_exec_reaches_out(x))
		return x->kind->execute(x, err);
	json_t *entry = sg_recorded_result(f->parent, x);
	if (entry)
		return sg_exec_take(x, entry, err);
	if (x->kind->embeds && x->engine->embedder && !x->engine->replays)
		return x->kind->execute(x, err); /* a function of the text and the weights */
	return sg_error_set(err, SG_EREFUSED, "fork-refused",
		"step %lld would execute node %s (%s), which reaches outside and saw something "
		"else in the record; give its output in node_output_overrides",
		(long long)x->run->step, sg_frame_path(&x->run->f, x->node->id), x->node->kind);
}

static int mutate(struct step *s, struct sg_error *err)
{
	return sg_fork_mutate(&of(s->run)->fork, s, err);
}

/* The parent's answer to the same question at the same step. */
static int inherited(const struct run *r, struct answer *ret, struct sg_error *err)
{
	const char *node = sg_frame_path(&r->f, r->f.graph->graph->nodes[r->f.node].id);
	for (const struct sg_recording *p = of(r)->parent; p; p = p->parent) {
		const struct sg_checkpoint *asked = sg_recording_step(p, r->step - 1),
					   *told = sg_recording_step(p, r->step);
		if (!asked || !told || !sg_opens_interrupt(asked) ||
			strcmp(asked->last_node, node) != 0)
			continue;
		int rc = sg_recorded_answer(told->recorded, ret, err);
		ret->inherited = rc == 1 && ret->response;
		return rc;
	}
	return 0;
}

static int ask(struct run *r, struct answer *ret, struct sg_error *err)
{
	const struct sg_fork *f = &of(r)->fork;
	struct answer a = {0};
	json_t *given = sg_fork_answer(f, r->step - 1);
	int rc = 0;
	if (given) {
		a.response = json_incref(given);
		rc = asprintf(&a.actor, SG_RUN_FORK_ACTOR "%s", f->actor) < 0 ? sg_error_nomem(err)
									      : 1;
	} else if (f->inherit) {
		rc = inherited(r, &a, err);
	}
	if (rc == 1 && ret) {
		*ret = a;
	} else {
		json_decref(a.response);
		free(a.actor);
	}
	return rc;
}

static void release(struct run *r)
{
	struct forking *f = r->source_data;
	sg_fork_finish(&f->fork);
	if (!f->borrowed)
		sg_recording_destroy(f->parent);
	free(f);
	r->source = NULL;
	r->source_data = NULL;
}

static const struct source source = {
	.step_us = step_us,
	.wall_us = wall_us,
	.begin = begin,
	.execute = execute,
	.mutate = mutate,
	.ask = ask,
	.release = release,
};

int sg_fork_attach_whatif(struct run *r, const struct sg_recording *of, struct sg_error *err)
{
	struct forking *f = calloc(1, sizeof(*f));
	json_t *none = json_object();
	if (!f || !none) {
		free(f);
		json_decref(none);
		return sg_error_nomem(err);
	}
	*f = (struct forking){.fork = {.mutation = none, .inherit = true},
		.parent = (struct sg_recording *)(uintptr_t)of,
		.borrowed = true};
	r->source = &source;
	r->source_data = f;
	return 0;
}

/* Takes fork and parent. */
static int attach(
	struct run *r, struct sg_recording *parent, struct sg_fork *fork, struct sg_error *err)
{
	struct forking *f = calloc(1, sizeof(*f));
	if (!f) {
		sg_recording_destroy(parent);
		sg_fork_finish(fork);
		return sg_error_nomem(err);
	}
	f->fork = *fork;
	f->parent = parent;
	r->source = &source;
	r->source_data = f;
	memcpy(r->cf_hash, f->fork.cf_hash, sizeof(r->cf_hash));
	return 0;
}

int sg_fork_attach(struct run *r, struct sg_txn *t, struct sg_error *err)
{
	sg_autofree char *text = NULL;
	struct sg_fork fork = {0};
	if (!r->row.parent_run_id)
		return 0;
	int rc = sg_run_text_get(t, r->row.run_id, SG_RUN_TEXT_FORK, &text, err);
	if (rc == 0)
		rc = sg_fork_parse(text, &fork, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	struct sg_recording *parent = NULL;
	rc = sg_recording_read(t, fork.parent, &parent, err);
	if (rc < 0) {
		sg_fork_finish(&fork);
		return rc;
	}
	return attach(r, parent, &fork, err);
}

int sg_fork_stand(struct run *r, struct sg_txn *t, struct sg_error *err)
{
	int64_t before = of(r)->fork.first - 1;
	const struct sg_recording *p = of(r)->parent;
	while (before >= 0 && p->parent && !sg_recording_step(p, before))
		p = p->parent;
	return sg_run_stand_after(r, t, p->row.run_id, before, err);
}

/* ---- making one ---- */

/* An answer belongs to its question: the fork then begins with the step that asks. */
static int first_step(
	const struct sg_recording *p, int64_t step, int64_t *ret, struct sg_error *err)
{
	if (!sg_recording_step(p, step))
		return sg_error_set(err, SG_EINVALID, "no-such-step",
			"run '%s' has no step %lld of its own", p->row.run_id, (long long)step);
	const struct sg_checkpoint *before = sg_recording_step(p, step - 1);
	*ret = before && sg_opens_interrupt(before) ? step - 1 : step;
	return 0;
}

/* A fork stays with its graph unless the mutation names another version of its pack. */
static int graph_of(struct sg_engine *e, const struct sg_recording *p, const json_t *mutation,
	struct prepared **ret, struct sg_error *err)
{
	if (!json_object_get(mutation, "rule_pack_version"))
		return sg_walk_prepare(e, p, p->row.graph_hash, ret, err);
	return sg_walk_prepare_with_pack(
		e, p, json_string_value(json_object_get(mutation, "rule_pack_version")), ret, err);
}

static int put_started(struct run *r, const struct sg_fork *f, struct slot *s, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(16U << 20), key = SG_BUF_INIT(SG_STORE_KEY_MAX);
	sg_autobuf value = SG_BUF_INIT(16U << 20);
	struct sg_span sealed;
	char hash[SG_SHA256_HEX];
	struct sg_buf *b = &r->engine->scratch;
	int rc = sg_fork_print(f, &text, err);
	if (rc == 0)
		rc = sg_run_text_pack(r->row.run_id, SG_RUN_TEXT_FORK, SG_SPAN(text.data, text.len),
			&key, &value, &sealed, err);
	if (rc < 0)
		return rc;
	sg_sha256_hex(text.data, text.len, hash);
	sg_buf_reset(b);
	sg_buf_addf(b,
		"{\"cf_hash\":\"%s\",\"fork_sha256\":\"%s\",\"graph_hash\":\"%s\",\"parent_run_"
		"id\":"
		"\"%s\",\"step\":%lld}",
		f->cf_hash, hash, r->row.graph_hash, f->parent, (long long)f->step);
	if (b->failed ||
		!sg_batch_event(r->engine, r, r->row.started_us, r->row.actor, "fork_started", -1,
			b->data, b->len, "user", r->row.actor) ||
		sg_batch_put(r->engine, s, SG_TABLE_RUN_INPUT, SG_SPAN(key.data, key.len), sealed) <
			0)
		return sg_error_nomem(err);
	return 0;
}

/* Beside the parent, so that it is known as long as the fork is stored. */
static int put_child(struct run *r, const char *parent_id, struct slot *s, struct sg_error *err)
{
	sg_autobuf key = SG_BUF_INIT(SG_STORE_KEY_MAX), value = SG_BUF_INIT(4096);
	struct sg_span sealed;
	char name[sizeof(SG_RUN_TEXT_CHILD) + SG_RUN_ID_TEXT];
	(void)snprintf(name, sizeof(name), SG_RUN_TEXT_CHILD "%s", r->row.run_id);
	int rc = sg_run_text_pack(parent_id, name, SG_SPAN("", 0), &key, &value, &sealed, err);
	if (rc == 0 && sg_batch_put(r->engine, s, SG_TABLE_RUN_INPUT, SG_SPAN(key.data, key.len),
			       sealed) < 0)
		rc = sg_error_nomem(err);
	return rc;
}

static int pin(struct sg_engine *e, const struct sg_recording *p, struct sg_error *err)
{
	struct run *live = sg_run_find(e, p->row.run_id);
	if (p->row.pinned && !live)
		return 0;
	if (!live && p->row.status < SG_RUN_DONE) {
		int rc = sg_run_load(e, p->row.run_id, &live, err);
		if (rc < 0)
			return rc;
	}
	if (live) {
		live->row.pinned = true;
		return sg_batch_slot(live) ? 0 : sg_error_nomem(err);
	}
	struct sg_run_row row = p->row;
	row.pinned = true;
	return sg_batch_row(e, &row) < 0 ? sg_error_nomem(err) : 0;
}

static int fill_row(struct run *r, const struct sg_fork *f, const struct sg_caller *who,
	const char *params, struct sg_error *err)
{
	int rc = sg_run_id_make(true, r->row.run_id, err);
	r->row.status = SG_RUN_RUNNING;
	r->row.started_us = r->row.updated_us = sg_clock_utc_us();
	r->row.actor = strdup(who->actor);
	r->row.trigger_source = strdup("counterfactual");
	r->row.parent_run_id = strdup(f->parent);
	r->row.params = strdup(params ? params : "{}");
	return rc < 0 ? rc
	       : r->row.actor && r->row.trigger_source && r->row.parent_run_id && r->row.params
		       ? 0
		       : sg_error_nomem(err);
}

static int enter(struct run *r, const struct sg_fork *f, sg_run_callback accepted,
	sg_run_callback settled, void *ctx, struct sg_error *err)
{
	struct sg_engine *e = r->engine;
	struct slot *s = sg_batch_slot(r);
	int rc = s ? pin(e, of(r)->parent, err) : sg_error_nomem(err);
	if (rc == 0)
		rc = put_started(r, f, s, err);
	if (rc == 0)
		rc = put_child(r, f->parent, s, err);
	sg_run_insert(r);
	sg_deadline_active(r);
	e->stats.runs_started++;
	e->stats.runs_live++;
	if (s)
		sg_watcher_add(e, &s->acks, r, accepted, ctx);
	sg_watcher_add(e, &r->settled, r, settled, ctx);
	if (rc < 0)
		sg_run_fail(r, "runtime", err);
	else if (!r->f.outer && (size_t)r->f.node >= r->f.graph->graph->n_nodes)
		sg_run_end(r, SG_RUN_DONE, NULL, NULL);
	else
		sg_run_ready(r);
	sg_engine_kick(e);
	return 0;
}

/* A run that stands where the fork begins; takes fork and parent. */
static int make(struct sg_engine *e, struct sg_txn *t, struct prepared *g, struct sg_fork *fork,
	struct sg_recording *parent, const struct sg_caller *who, struct run **ret,
	struct sg_error *err)
{
	struct run *r = sg_run_create(e, g);
	if (!r) {
		sg_recording_destroy(parent);
		sg_fork_finish(fork);
		return sg_error_nomem(err);
	}
	int rc = attach(r, parent, fork, err);
	if (rc == 0)
		rc = fill_row(r, &of(r)->fork, who, parent->row.params, err);
	if (rc == 0)
		rc = sg_fork_stand(r, t, err);
	r->row.steps = r->step;
	r->wake_us = 0;
	if (rc < 0) {
		sg_run_destroy(r);
		return rc;
	}
	*ret = r;
	return 0;
}

static int prepare(struct sg_engine *e, const struct sg_recording *p,
	const struct sg_fork_request *what, struct sg_fork *f, struct prepared **ret,
	struct sg_error *err)
{
	size_t parents = 0;
	for (const struct sg_recording *one = p->parent; one; one = one->parent)
		parents++;
	if (parents >= SG_RECORDING_PARENTS)
		return sg_error_set(err, SG_ELIMIT, "too-many-forks",
			"run '%s' is %zu forks deep already: nothing could replay one more",
			p->row.run_id, parents);
	int rc = sg_mutation_check(what->mutation, &f->mutation, err);
	if (rc == 0)
		rc = first_step(p, what->step, &f->first, err);
	if (rc == 0)
		rc = graph_of(e, p, f->mutation, ret, err);
	if (rc == 0)
		rc = sg_cf_hash(p->row.graph_hash, f->mutation, f->cf_hash, err);
	if (rc < 0)
		return rc;
	memcpy(f->parent, p->row.run_id, sizeof(f->parent));
	f->step = what->step;
	f->inherit = what->inherit_answers;
	f->actor = strdup(what->who.actor);
	return f->actor ? 0 : sg_error_nomem(err);
}

/* It may have gone on, or have gone, since its record was read; or be going, which only the loop
 * knows until the writer has done it. */
static int refresh(
	struct sg_engine *e, struct sg_recording *p, struct sg_txn *t, struct sg_error *err)
{
	struct sg_run_row row = {0};
	int rc =
		sg_retention_takes(e, SG_SPAN(p->row.run_id, strlen(p->row.run_id)))
			? sg_error_set(err, SG_ENOTFOUND, NULL, "run '%s' not found", p->row.run_id)
			: sg_run_require(t, p->row.run_id, &row, err);
	if (rc < 0)
		return rc;
	sg_run_row_finish(&p->row);
	p->row = row;
	return 0;
}

int sg_fork_enter(struct sg_engine *e, struct sg_recording *parent,
	const struct sg_fork_request *what, sg_run_callback accepted, sg_run_callback settled,
	void *ctx, struct sg_fork_handle *handle, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	sg_autorecording *p = parent;
	struct sg_fork f = {0};
	struct prepared *g = NULL;
	struct run *r = NULL;
	int rc = sg_engine_check_room(e, err);
	if (rc == 0)
		rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = refresh(e, p, t, err);
	if (rc == 0 && (rc = prepare(e, p, what, &f, &g, err)) < 0)
		sg_fork_finish(&f);
	if (rc == 0)
		rc = make(e, t, g, &f, sg_steal(p), &what->who, &r, err);
	if (rc < 0 || !r)
		return rc;
	memcpy(handle->run_id, r->row.run_id, sizeof(handle->run_id));
	memcpy(handle->cf_hash, r->cf_hash, sizeof(handle->cf_hash));
	return enter(r, &of(r)->fork, accepted, settled, ctx, err);
}
