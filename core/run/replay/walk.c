/* See walk.h. */
#include "run/replay/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/mounts.h"

/* ---- what a record holds ---- */

bool sg_opens_interrupt(const struct sg_checkpoint *c)
{
	return c->next_action && strstr(c->next_action, "\"kind\":\"interrupt\"");
}

static bool is_engines(const char *kind)
{
	static const char *const own[] = {"carried", "frames", "answer", "timeout"};
	for (size_t i = 0; i < SG_ARRAY_LEN(own); i++)
		if (strcmp(kind, own[i]) == 0)
			return true;
	return false;
}

json_t *sg_recorded_entry(const char *recorded, const char *node_id)
{
	json_auto_t *list = NULL;
	size_t i;
	json_t *one;
	if (!recorded || sg_json_parse(recorded, strlen(recorded), &list, NULL) < 0)
		return NULL;
	json_array_foreach (list, i, one) {
		const char *kind = json_string_value(json_object_get(one, "kind")),
			   *node = json_string_value(json_object_get(one, "node"));
		if (kind && !is_engines(kind) && (!node || strcmp(node, node_id) == 0))
			return json_incref(one);
	}
	return NULL;
}

int sg_recorded_answer(const char *recorded, struct answer *ret, struct sg_error *err)
{
	json_auto_t *list = NULL;
	size_t i;
	json_t *one;
	int rc = recorded ? sg_json_parse(recorded, strlen(recorded), &list, err) : 0;
	if (rc < 0)
		return rc;
	json_array_foreach (list, i, one) {
		const char *kind = json_string_value(json_object_get(one, "kind")),
			   *actor = json_string_value(json_object_get(one, "actor"));
		json_t *response = json_object_get(one, "response");
		if (kind && strcmp(kind, "timeout") == 0) {
			*ret = (struct answer){0};
			return 1;
		}
		if (!kind || strcmp(kind, "answer") != 0 || !actor || !json_is_object(response))
			continue;
		*ret = (struct answer){.response = json_incref(response),
			.actor = strdup(actor),
			.inherited = json_is_true(json_object_get(one, "inherited"))};
		return ret->actor ? 1 : sg_error_nomem(err);
	}
	return 0;
}

/* The list that sg_step_keep left, as canonical JSON; caller frees. */
static char *kept_list(const struct sg_recording *rec, int64_t step)
{
	json_auto_t *last = NULL;
	sg_autobuf b = SG_BUF_INIT(32U << 20);
	if (!rec->last || sg_json_parse(rec->last, strlen(rec->last), &last, NULL) < 0 ||
		json_integer_value(json_object_get(last, "step")) != step ||
		sg_json_canonical(json_object_get(last, "recorded"), &b, NULL) < 0)
		return NULL;
	return sg_buf_take(&b);
}

/* ---- the source ---- */

static struct walk *walk_of(const struct run *r)
{
	return r->source_data;
}

static const struct sg_recording *rec_of(const struct run *r)
{
	const struct walk *w = walk_of(r);
	return w->level[w->at].rec;
}

static const struct sg_fork *fork_of(const struct run *r)
{
	const struct walk *w = walk_of(r);
	return w->at ? &w->level[w->at].fork : NULL;
}

static int64_t wall_us(const struct run *r)
{
	const struct sg_run_row *row = &rec_of(r)->row;
	return row->finished_us ? row->finished_us : row->updated_us;
}

static int64_t step_us(const struct run *r)
{
	const struct sg_recording *rec = rec_of(r);
	const struct sg_checkpoint *c = sg_recording_step(rec, r->step);
	json_auto_t *last = NULL;
	int64_t us;
	if (c)
		return c->timestamp_us;
	if (rec->last && sg_json_parse(rec->last, strlen(rec->last), &last, NULL) == 0) {
		const json_t *ts = json_object_get(last, "timestamp");
		if (json_is_string(ts) &&
			sg_time_parse(json_string_value(ts), json_string_length(ts), &us) == 0)
			return us;
	}
	return wall_us(r);
}

/* Failures that come of this machine's or this configuration's limits: not of the record. */
static bool is_limit(const char *class)
{
	static const char *const names[] = {"step-limit", "run-timeout", "node-timeout",
		"rule-timeout", "rule-firings", "rule-facts", "rule-explosion", "rule-memory",
		"state-too-large", "checkpoint"};
	for (size_t i = 0; class && i < SG_ARRAY_LEN(names); i++)
		if (strcmp(class, names[i]) == 0)
			return true;
	return false;
}

/* Did the node that comes next fail outside, leaving no record? */
static bool failed_outside(const struct run *r, const struct sg_recording *rec)
{
	if ((size_t)r->f.node >= r->f.graph->graph->n_nodes)
		return false;
	sg_autofree char *kept = kept_list(rec, r->step);
	return r->f.graph->kinds[r->f.node]->apply && !kept;
}

static bool has_line(const struct sg_recording *rec, const char *type)
{
	char text[64];
	(void)snprintf(text, sizeof(text), "\"type\":\"%s\"", type);
	for (size_t i = 0; i < rec->n_lines; i++)
		if (strstr(rec->lines[i].text.data, text))
			return true;
	return false;
}

static int begin(struct run *r, const char **ret_scope, struct sg_error *err)
{
	struct walk *w = walk_of(r);
	const struct sg_recording *rec = rec_of(r);
	if ((rec->n_steps && r->step <= rec->steps[rec->n_steps - 1].step) ||
		w->at + 1 < w->n_levels)
		return 0;
	switch (rec->row.status) {
	case SG_RUN_DONE: return 0;
	case SG_RUN_FAILED:
		if (r->f.ended)
			return 0;
		if (rec->n_lines && !has_line(rec, "error"))
			break; /* it failed at a restart, not in a step */
		if (!is_limit(rec->row.error_class) && !failed_outside(r, rec))
			return 0;
		*ret_scope = is_limit(rec->row.error_class) &&
					     strncmp(rec->row.error_class, "rule", 4) == 0
				     ? "rule"
			     : is_limit(rec->row.error_class) &&
					     strcmp(rec->row.error_class, "node-timeout") != 0 &&
					     strcmp(rec->row.error_class, "state-too-large") != 0
				     ? "runtime"
				     : "node";
		return sg_error_set(err, SG_EIO, rec->row.error_class, "%s",
			rec->row.error_cause ? rec->row.error_cause : "");
	case SG_RUN_PENDING:
	case SG_RUN_RUNNING:
	case SG_RUN_WAITING:
	case SG_RUN_PAUSED:
	case SG_RUN_CANCELLED: break;
	}
	w->told_end = true;
	return 1;
}

static int miss(struct walk *w, const struct sg_exec *x, struct sg_error *err)
{
	const char *path = sg_frame_path(&x->run->f, x->node->id);
	w->missing = true;
	(void)snprintf(w->missing_text, sizeof(w->missing_text),
		"step %lld would execute node %s (%s), and the record holds no result of it",
		(long long)x->step, path, x->node->kind);
	return sg_error_set(err, SG_EREFUSED, "missing-record", "%s", w->missing_text);
}

/* A branch that failed and need not have succeeded: its class is in the plan. */
static const char *branch_failure(const struct sg_checkpoint *c, const char *node_id, char text[64])
{
	json_auto_t *next = NULL;
	if (!c || !c->next_action ||
		sg_json_parse(c->next_action, strlen(c->next_action), &next, NULL) < 0)
		return NULL;
	const json_t *done = json_object_get(next, "done");
	const json_t *one = json_array_get(done, json_array_size(done) - 1);
	const char *node = json_string_value(json_object_get(one, "node")),
		   *class = json_string_value(json_object_get(one, "error"));
	if (!node || !class || strcmp(node, node_id) != 0)
		return NULL;
	(void)snprintf(text, 64, "%s", class);
	return text;
}

int sg_exec_override(struct sg_exec *x, json_t *update, struct sg_error *err)
{
	int outcome = SG_EXEC_DONE;
	if (!x->kind->apply && !x->graph->subs[x->node - x->graph->graph->nodes])
		outcome = x->kind->execute(x, err);
	if (outcome < 0)
		return outcome;
	json_decref(x->update);
	x->update = json_incref(update);
	x->record = json_pack(
		"{s:s, s:s, s:O}", "kind", "override", "node", x->node->id, "update", update);
	return x->record ? outcome : sg_error_nomem(err);
}

bool sg_exec_reaches_out(const struct sg_exec *x)
{
	const struct sg_node_kind *k = x->kind;
	if (k->embeds) { /* a vector of the state is only compared */
		const char *field = json_string_value(json_object_get(x->node->config, "input"));
		return !json_is_array(json_object_get(x->state, field ? field : ""));
	}
	return k->apply != NULL; /* it records because it asks or writes */
}

static bool is_override(const json_t *entry)
{
	const char *kind = json_string_value(json_object_get(entry, "kind"));
	return kind && strcmp(kind, "override") == 0;
}

int sg_exec_take(struct sg_exec *x, json_t *entry, struct sg_error *err)
{
	if (!is_override(entry)) {
		x->record = entry;
		return SG_EXEC_DONE;
	}
	int outcome = sg_exec_override(x, json_object_get(entry, "update"), err);
	json_decref(entry);
	return outcome;
}

/* The step's own record, for a replay. */
static int from_step(struct sg_exec *x, struct sg_error *err)
{
	struct run *r = x->run;
	struct walk *w = walk_of(r);
	const struct sg_recording *rec = rec_of(r);
	const struct sg_checkpoint *c = sg_recording_step(rec, r->step);
	char class[64];
	char *kept = c ? NULL : kept_list(rec, r->step);
	json_t *entry = sg_recorded_entry(c ? c->recorded : kept, x->node->id);
	free(kept);
	if (entry && (x->kind->apply || is_override(entry)))
		return sg_exec_take(x, entry, err);
	json_decref(entry);
	if (!x->kind->apply)
		return x->kind->execute(x, err);
	if (branch_failure(c, x->node->id, class))
		return sg_error_set(err, SG_EIO, class, "as recorded");
	if (!sg_exec_reaches_out(x))
		return x->kind->execute(x, err);
	return miss(w, x, err);
}

/* The state a run began with, as checkpoints print it; caller frees. */
static char *initial_state(const struct sg_exec *x, const struct sg_recording *rec)
{
	json_auto_t *params = NULL;
	json_auto_t *state = NULL;
	sg_autobuf b = SG_BUF_INIT(32U << 20);
	const struct sg_graph *g = sg_run_top(x->run)->graph->graph;
	const char *text = rec->row.params;
	if (!text || sg_json_parse(text, strlen(text), &params, NULL) < 0 ||
		sg_graph_initial_state(g, params, false, &state, NULL) < 0 ||
		sg_json_print(state, &b, NULL) < 0)
		return NULL;
	return sg_buf_take(&b);
}

static bool same_field(const struct sg_exec *x, const char *field, const char *state)
{
	json_auto_t *then = NULL;
	return sg_json_parse(state, strlen(state), &then, NULL) == 0 &&
	       json_equal(json_object_get(then, field), json_object_get(x->state, field));
}

/* The state now of the graph that the step before belongs to: a subgraph that has just been entered
 * began with what its outer graph held. */
static const char *state_then(const struct sg_exec *x, const char *last_node)
{
	const struct frame *f = &x->run->f;
	int above = 0;
	for (const struct frame *o = f->outer; o; o = o->outer)
		above++;
	for (const char *c = last_node; *c; c++)
		above -= *c == '/';
	for (; above > 0 && f->outer && !f->n_steps; above--)
		f = f->outer;
	return above == 0 && f->state_text ? f->state_text->data : "";
}

/* Did the node see then, at rec's step i, what it sees now? A model reads its one field, which it
 * leaves as it is; of all others the whole state before them counts. */
static bool same_input(const struct sg_exec *x, const struct sg_recording *rec, size_t i)
{
	const char *field = json_string_value(json_object_get(x->node->config, "input"));
	if (x->kind->embeds && field)
		return same_field(x, field, rec->steps[i].state);
	if (i)
		return strcmp(rec->steps[i - 1].state,
			       state_then(x, rec->steps[i - 1].last_node)) == 0;
	sg_autofree char *initial = rec->parent ? NULL : initial_state(x, rec);
	return initial && strcmp(initial, state_then(x, "")) == 0;
}

json_t *sg_recorded_result(const struct sg_recording *rec, const struct sg_exec *x)
{
	const char *path = sg_frame_path(&x->run->f, x->node->id);
	json_t *best = NULL;
	for (; rec; rec = rec->parent)
		for (size_t i = 0; i < rec->n_steps; i++) {
			const struct sg_checkpoint *c = &rec->steps[i];
			json_t *entry = strcmp(c->last_node, path) == 0
						? sg_recorded_entry(c->recorded, x->node->id)
						: NULL;
			if (!entry)
				continue;
			bool fits = (!best || c->step == x->step) && same_input(x, rec, i);
			json_decref(fits ? best : entry);
			if (fits)
				best = entry;
		}
	return best;
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	int outcome = from_step(x, err);
	if (outcome == SG_EXEC_PENDING) /* no kind without a record works elsewhere */
		return sg_error_set(
			err, SG_EREFUSED, "missing-record", "node %s works elsewhere", x->node->id);
	return outcome;
}

static int mutate(struct step *s, struct sg_error *err)
{
	const struct sg_fork *f = fork_of(s->run);
	return f ? sg_fork_mutate(f, s, err) : 0;
}

static int ask_recorded(struct run *r, struct answer *ret, struct sg_error *err)
{
	const struct sg_recording *rec = rec_of(r);
	const struct sg_checkpoint *c = sg_recording_step(rec, r->step);
	if (c)
		return sg_recorded_answer(c->recorded, ret, err);
	char *kept = kept_list(rec, r->step);
	int rc = kept ? sg_recorded_answer(kept, ret, err) : 0;
	free(kept);
	if (rc == 0 && rec->row.error_class &&
		strcmp(rec->row.error_class, "interrupt_timeout") == 0) {
		*ret = (struct answer){0};
		rc = 1;
	}
	return rc;
}

static int ask(struct run *r, struct answer *ret, struct sg_error *err)
{
	struct answer none = {0};
	int rc = ask_recorded(r, ret ? ret : &none, err);
	json_decref(none.response);
	free(none.actor);
	return rc;
}

static const struct source source = {
	.step_us = step_us,
	.wall_us = wall_us,
	.begin = begin,
	.execute = execute,
	.mutate = mutate,
	.ask = ask,
	.replays = true,
};

/* ---- graphs ---- */

int sg_walk_make_graph(struct sg_engine *e, const struct sg_recorded_graph *g,
	struct prepared **ret, struct sg_error *err)
{
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	struct sg_graph *graph = NULL;
	/* No store is asked: what they answered is in the record. */
	const struct sg_graph_limits limits = {.any_name = true};
	struct sg_mounts *mounts = NULL;
	sg_autofree const char **texts = calloc(g->n_packs + 1, sizeof(*texts));
	sg_autofree size_t *lens = calloc(g->n_packs + 1, sizeof(*lens));
	if (!texts || !lens)
		return sg_error_nomem(err);
	for (size_t i = 0; i < g->n_packs; i++) {
		texts[i] = g->pack[i].data;
		lens[i] = g->pack[i].len;
	}
	int rc = sg_mounts_from_stored(&mounts, texts, lens, g->n_packs, err);
	if (rc == 0)
		rc = sg_graph_load_text(&graph, "stored graph", g->document.data, g->document.len,
			kinds, sg_run_kinds(kinds), &limits, err);
	const struct sg_mounts *own = e->mounts;
	e->mounts = mounts;
	if (rc == 0)
		rc = sg_prepared_make(ret, e, graph, "", err);
	e->mounts = own;
	sg_mounts_destroy(mounts);
	return rc;
}

int sg_walk_prepare(struct sg_engine *e, const struct sg_recording *rec, const char *hash,
	struct prepared **ret, struct sg_error *err)
{
	const struct sg_recorded_graph *g = sg_recording_graph(rec, hash);
	struct prepared *p = e->graphs;
	while (p && strcmp(p->graph->hash, hash) != 0)
		p = p->next;
	if (p) {
		*ret = p;
		return 0;
	}
	if (!g || !g->document.data)
		return sg_error_set(err, SG_ENOTFOUND, "unknown-graph",
			"the graph with hash %s is not stored", hash);
	int rc = sg_walk_make_graph(e, g, &p, err);
	if (rc < 0)
		return sg_error_prefix(err, "run %s: graph %.12s…", rec->row.run_id, hash);
	if (strcmp(p->graph->hash, hash) != 0) {
		rc = sg_error_set(err, SG_ECORRUPT, "graph-hash",
			"the stored graph with its packs has hash %s, not %s", p->graph->hash,
			hash);
		sg_prepared_destroy(p);
		return rc;
	}
	*e->graphs_tail = p;
	e->graphs_tail = &p->next;
	*ret = p;
	return 0;
}

/* "V", or "ID@V", into the document's mounts. */
static int name_version(json_t *document, const char *wanted, struct sg_error *err)
{
	const char *at = strrchr(wanted, '@');
	json_t *mounts = json_object_get(document, "governance"), *one;
	size_t i, n = 0;
	json_array_foreach (mounts, i, one) {
		const char *id = json_string_value(json_object_get(one, "id"));
		if (at && (!id || strlen(id) != (size_t)(at - wanted) ||
				  strncmp(id, wanted, strlen(id)) != 0))
			continue;
		n++;
		if (json_object_set_new(one, "version", json_string(at ? at + 1 : wanted)) < 0)
			return sg_error_nomem(err);
	}
	if (n == 1)
		return 0;
	return sg_error_set(err, SG_EINVALID, "mutation",
		"rule_pack_version: the graph mounts %zu packs that \"%s\" may mean; name one as "
		"ID@VERSION",
		n, wanted);
}

int sg_walk_prepare_with_pack(struct sg_engine *e, const struct sg_recording *rec,
	const char *wanted, struct prepared **ret, struct sg_error *err)
{
	const struct sg_recorded_graph *g = sg_recording_graph(rec, rec->row.graph_hash);
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	/* No store is asked: what they answered is in the record. */
	const struct sg_graph_limits limits = {.any_name = true};
	struct sg_graph *graph = NULL;
	struct prepared *p = NULL;
	json_auto_t *document = NULL;
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	if (!g || !g->document.data)
		return sg_error_set(err, SG_ENOTFOUND, "unknown-graph", "its graph is not stored");
	int rc = sg_json_parse(g->document.data, g->document.len, &document, err);
	if (rc == 0)
		rc = name_version(document, wanted, err);
	if (rc == 0)
		rc = sg_json_canonical(document, &text, err);
	if (rc == 0)
		rc = sg_graph_load_text(&graph, "stored graph", text.data, text.len, kinds,
			sg_run_kinds(kinds), &limits, err);
	if (rc == 0)
		rc = sg_prepared_make(&p, e, graph, "", err);
	if (rc < 0)
		return rc;
	for (struct prepared *known = e->graphs; known; known = known->next)
		if (strcmp(known->graph->hash, p->graph->hash) == 0) {
			sg_prepared_destroy(p);
			*ret = known;
			return 0;
		}
	rc = sg_prepared_store(e, p, err);
	if (rc < 0) {
		sg_prepared_destroy(p);
		return rc;
	}
	*e->graphs_tail = p;
	e->graphs_tail = &p->next;
	*ret = p;
	return 0;
}

/* ---- the walk ---- */

static int copy_text(char **to, const char *from)
{
	free(*to);
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -SG_ENOMEM : 0;
}

static int take_identity(struct run *r, const struct sg_recording *rec)
{
	memcpy(r->row.run_id, rec->row.run_id, sizeof(r->row.run_id));
	r->row.started_us = rec->row.started_us;
	return copy_text(&r->row.actor, rec->row.actor) < 0 ||
			       copy_text(&r->row.trigger_source, rec->row.trigger_source) < 0 ||
			       copy_text(&r->row.parent_run_id, rec->row.parent_run_id) < 0
		       ? -SG_ENOMEM
		       : 0;
}

/* Forks: from the run that is none to the one at hand. */
static int stack(struct walk *w, const struct sg_recording *rec, struct sg_error *err)
{
	size_t n = 0;
	for (const struct sg_recording *r = rec; r; r = r->parent)
		n++;
	if (n > SG_ARRAY_LEN(w->level))
		return sg_error_set(err, SG_ELIMIT, NULL, "too many forks upon forks");
	w->n_levels = n;
	for (const struct sg_recording *r = rec; r; r = r->parent) {
		struct level *l = &w->level[--n];
		l->rec = r;
		if (!r->fork)
			continue;
		if (!n)
			return sg_error_set(err, SG_ENOTFOUND, NULL,
				"the run that %s was forked from is not in the record",
				r->row.run_id);
		int rc = sg_fork_parse(r->fork, &l->fork, err);
		if (rc < 0)
			return rc;
		if (strcmp(l->fork.parent, r->parent->row.run_id) != 0)
			return sg_error_set(err, SG_ECORRUPT, "fork-parent",
				"run %s was forked from %s, not from %s", r->row.run_id,
				l->fork.parent, r->parent->row.run_id);
	}
	return 0;
}

json_t *sg_document_without_mounts(const json_t *document)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)document);
	json_t *nodes = json_array();
	size_t i;
	const json_t *node;
	json_array_foreach (json_object_get(document, "nodes"), i, node) {
		const json_t *inner = json_object_get(node, "graph");
		json_t *one = json_copy((json_t *)(uintptr_t)node);
		if (inner)
			(void)json_object_set_new(one, "graph", sg_document_without_mounts(inner));
		(void)json_array_append_new(nodes, one);
	}
	(void)json_object_set_new(copy, "nodes", nodes);
	(void)json_object_del(copy, "governance");
	return copy;
}

/* A fork goes on where its parent stood: node numbers of one graph must mean the same in the other,
 * whatever a file says. */
static int check_same_graph(const struct level *parent, const struct level *l, struct sg_error *err)
{
	if (parent->graph == l->graph)
		return 0;
	json_auto_t *a = sg_document_without_mounts(parent->graph->graph->document);
	json_auto_t *b = sg_document_without_mounts(l->graph->graph->document);
	if (a && b && json_equal(a, b))
		return 0;
	return sg_error_set(err, SG_ECORRUPT, "fork-graph",
		"run %s has another graph than the run it was forked from", l->rec->row.run_id);
}

void sg_walk_limit(struct walk *w, const struct sg_replayer *p)
{
	w->replayer = p;
	w->until_us = p->limit_us ? sg_clock_thread_us() + p->limit_us : 0;
}

bool sg_walk_late(const struct walk *w)
{
	const _Atomic bool *stop = w->replayer->stop;
	return (w->until_us && sg_clock_thread_us() > w->until_us) || (stop && atomic_load(stop));
}

int sg_walk_begin(struct walk *w, const struct sg_replayer *p, const struct sg_recording *rec,
	struct sg_error *err)
{
	json_auto_t *params = NULL;
	struct sg_engine *bare = p->engine;
	w->engine = bare;
	sg_walk_limit(w, p);
	int rc = stack(w, rec, err);
	for (size_t i = 0; rc == 0 && i < w->n_levels; i++) {
		const struct sg_recording *one = w->level[i].rec;
		rc = sg_walk_prepare(bare, one, one->row.graph_hash, &w->level[i].graph, err);
		if (rc == 0 && i > 0)
			rc = check_same_graph(&w->level[i - 1], &w->level[i], err);
	}
	const char *text = rc == 0 ? w->level[0].rec->row.params : NULL;
	if (rc == 0)
		rc = text ? sg_json_parse(text, strlen(text), &params, err)
			  : sg_error_set(err, SG_ECORRUPT, NULL, "run %s has no parameters",
				    rec->row.run_id);
	if (rc < 0)
		return rc;
	struct run *r = sg_run_create(bare, w->level[0].graph);
	if (!r)
		return sg_error_nomem(err);
	w->run = r;
	r->source = &source;
	r->source_data = w;
	r->inflight = 1; /* ours: it is not released when it settles */
	r->row.status = SG_RUN_RUNNING;
	if (take_identity(r, w->level[0].rec) < 0)
		return sg_error_nomem(err);
	return sg_run_seed(r, params, false, err);
}

static void change_graph(struct frame *f, struct prepared *top)
{
	if (!f->outer) {
		f->graph = top;
		return;
	}
	change_graph(f->outer, top);
	f->graph = f->outer->graph->subs[f->outer->node];
}

/* Where a fork's own steps begin, the walk is the fork from then on. */
static int switch_level(struct walk *w, struct sg_error *err)
{
	struct run *r = w->run;
	while (w->at + 1 < w->n_levels && r->step == w->level[w->at + 1].fork.first) {
		const struct level *l = &w->level[++w->at];
		change_graph(&r->f, l->graph);
		memcpy(r->row.graph_hash, l->graph->graph->hash, sizeof(r->row.graph_hash));
		memcpy(r->cf_hash, l->fork.cf_hash, sizeof(r->cf_hash));
		r->own_path = r->n_counted = r->n_path;
		r->n_tool_calls = r->n_tokens = 0;
		if (take_identity(r, l->rec) < 0)
			return sg_error_nomem(err);
	}
	return 0;
}

/* Hands over what the turn gathered, and empties it. */
int sg_walk_deliver(struct walk *w)
{
	struct sg_engine *e = w->engine;
	struct batch *b = e->gather;
	if (!b)
		return 0;
	int stop = w->seen ? w->seen(w->ctx, b->items, b->n) : 0;
	e->gather = NULL;
	e->queued = e->queued_bytes = 0;
	w->run->slot = NULL;
	w->run->inflight = 1;
	sg_batch_recycle(e, b);
	return stop;
}

int sg_replayable(const struct sg_recording *rec, struct sg_error *err)
{
	if (rec->n_graphs <= 1)
		return 0;
	return sg_error_set(err, SG_EREFUSED, "migrated",
		"run %s migrated from graph %.12s… to another one; a replay does not follow a "
		"migration",
		rec->row.run_id, rec->graphs[1].hash);
}

static int too_long(const struct walk *w, struct sg_error *err)
{
	const char *id = w->level[w->n_levels - 1].rec->row.run_id;
	return sg_error_set(err, SG_ELIMIT, "replay-too-long",
		"the replay of run '%s' took more than its time by step %lld; `stargraph replay %s "
		"--state-dir DIR` replays it on the host, beside the server",
		id, (long long)w->run->step, id);
}

int sg_walk_run(struct walk *w, struct sg_error *err)
{
	struct run *r = w->run;
	int stop = 0;
	while (!stop && r->phase == PHASE_READY) {
		int rc = switch_level(w, err);
		if (rc < 0)
			return rc;
		sg_run_advance(r, 1);
		stop = sg_walk_deliver(w);
		if (!stop && sg_walk_late(w))
			return too_long(w, err);
	}
	return 0;
}

void sg_walk_finish(struct walk *w)
{
	if (w->run)
		sg_run_destroy(w->run);
	for (size_t i = 0; i < w->n_levels; i++)
		sg_fork_finish(&w->level[i].fork);
}
