/* One step: execute the node, merge its update, ask the rules, decide, make the checkpoint.
 *
 * Steps are computed ahead of the disk: nothing that they cause leaves the process before the batch
 * that holds them is durable. A node with outside effects waits until all before it is. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/about.h"
#include "run/internal.h"

void sg_step_finish(struct step *s)
{
	json_decref(s->recorded);
	s->recorded = NULL;
	sg_decision_finish(&s->d);
}

int sg_step_record(struct step *s, json_t *entry)
{
	if (!entry)
		return 0;
	if (!s->recorded)
		s->recorded = json_array();
	return json_array_append_new(s->recorded, entry) < 0 ? -SG_ENOMEM : 0;
}

static int merged_state(const struct frame *f, const json_t *set, const json_t *update,
	json_t **ret, struct sg_error *err)
{
	if (!json_object_size(set))
		return sg_graph_merge_state(f->graph->graph, f->state, update, ret, err);
	json_t *base = json_copy(f->state);
	int rc = base && json_object_update(base, (json_t *)(uintptr_t)set) == 0
			 ? sg_graph_merge_state(f->graph->graph, base, update, ret, err)
			 : sg_error_nomem(err);
	json_decref(base);
	return rc;
}

int sg_step_merge(struct run *r, const json_t *set, const json_t *update, struct sg_error *err)
{
	struct sg_engine *e = r->engine;
	if (!json_object_size(update) && !json_object_size(set))
		return 0;
	json_t *merged = NULL;
	int rc = merged_state(&r->f, set, update, &merged, err);
	if (rc < 0)
		return rc;
	sg_buf_reset(&e->scratch);
	rc = sg_json_print(merged, &e->scratch, err);
	if (rc == -SG_ELIMIT || (rc == 0 && (int64_t)e->scratch.len > e->limits.state_bytes))
		rc = sg_error_set(err, SG_ELIMIT, "state-too-large",
			"the state is larger than %lld bytes (limits.state_bytes)",
			(long long)e->limits.state_bytes);
	struct text *text = NULL;
	bool same = rc == 0 && r->f.state_text && r->f.state_text->len == e->scratch.len &&
		    memcmp(r->f.state_text->data, e->scratch.data, e->scratch.len) == 0;
	if (rc == 0 && !same && !(text = sg_text_make(e->scratch.data, e->scratch.len)))
		rc = sg_error_nomem(err);
	if (rc < 0) {
		json_decref(merged);
		return rc;
	}
	json_decref(r->f.state);
	r->f.state = merged;
	if (text) {
		sg_text_unref(r->f.state_text);
		r->f.state_text = text;
	}
	return 0;
}

int sg_path_add(struct run *r, const char *node_id)
{
	if (r->n_path == r->cap_path) {
		size_t cap = r->cap_path ? r->cap_path * 2 : 8;
		const char **p = realloc(r->path, cap * sizeof(*p));
		if (!p)
			return -SG_ENOMEM;
		r->path = p;
		r->cap_path = cap;
	}
	r->path[r->n_path++] = node_id;
	return 0;
}

/* The transition's line carries the digest of its checkpoint, so that the chain covers states. */
static int put_transition(struct step *s)
{
	static const char head[] = "{\"checkpoint_sha256\":\"";
	struct run *r = s->run;
	struct sg_engine *e = r->engine;
	struct sg_buf *b = &e->scratch;
	const char *from = sg_frame_path(&r->f, s->node_id);
	sg_buf_reset(b);
	sg_buf_add(b, head, sizeof(head) - 1);
	char *digest = sg_buf_reserve(b, SG_SHA256_HEX - 1); /* the writer's to fill in */
	if (digest) {
		memset(digest, '0', SG_SHA256_HEX - 1);
		b->len += SG_SHA256_HEX - 1;
	}
	sg_buf_adds(b, "\",\"from_node\":");
	sg_buf_add_json_string(b, from, strlen(from));
	sg_buf_adds(b, ",\"reason\":");
	sg_buf_add_json_string(b, s->reason, strlen(s->reason));
	sg_buf_adds(b, ",\"rule_id\":");
	sg_buf_add_json_string(b, s->rule_id, strlen(s->rule_id));
	sg_buf_adds(b, ",\"to_node\":");
	const char *to = sg_frame_path(&r->f, s->to_node);
	sg_buf_add_json_string(b, to, strlen(to));
	sg_buf_addc(b, '}');
	size_t at = e->gather->n - 1; /* the checkpoint's item */
	struct item *i = b->failed ? NULL
				   : sg_batch_event(e, r, s->ts_us, r->row.actor, "transition",
					     r->step, b->data, b->len, NULL, NULL);
	if (!i)
		return -SG_ENOMEM;
	e->gather->items[at].checkpoint.digest =
		(char *)(uintptr_t)i->event.payload + sizeof(head) - 1;
	return 0;
}

static int recorded_text(struct step *s, struct sg_buf *out, char hash[65], struct sg_error *err)
{
	struct run *r = s->run;
	int rc = 0;
	if (s->recorded)
		rc = sg_json_hash(s->recorded, hash, err);
	else
		memcpy(hash, r->engine->no_effects, 65);
	if (rc < 0)
		return rc;
	if (r->f.n_facts && sg_step_record(s, sg_carried_json(&r->f)) < 0)
		return sg_error_nomem(err);
	if (r->f.outer && sg_step_record(s, sg_frames_json(&r->f)) < 0)
		return sg_error_nomem(err);
	return s->recorded ? sg_json_canonical(s->recorded, out, err) : 0;
}

int sg_step_commit(struct step *s, struct sg_error *err)
{
	struct run *r = s->run;
	const char *path = sg_frame_path(&r->f, s->node_id);
	struct sg_checkpoint c = {
		.step = r->step,
		.parent_step_idx = r->step - 1,
		.clips_facts = (char *)(uintptr_t)(s->facts ? s->facts : "[]"),
		.last_node = (char *)(uintptr_t)path,
		.next_action = (char *)(uintptr_t)s->action,
		.timestamp_us = s->ts_us,
		.parent_run_id = r->row.parent_run_id,
	};
	sg_autobuf recorded = SG_BUF_INIT(16U << 20);
	r->f.n_steps += s->on_path;
	int rc = recorded_text(s, &recorded, c.side_effects_hash, err);
	if (rc < 0)
		return rc;
	c.recorded = recorded.data;
	memcpy(c.run_id, r->row.run_id, sizeof(c.run_id));
	memcpy(c.graph_hash, r->cf_hash[0] ? r->cf_hash : r->row.graph_hash, sizeof(c.graph_hash));
	memcpy(c.runtime_hash, r->engine->runtime_hash, sizeof(c.runtime_hash));
	if (s->on_path && sg_path_add(r, path) < 0)
		return sg_error_nomem(err);
	if (sg_batch_checkpoint(r, &c, r->f.state_text) < 0 || put_transition(s) < 0)
		return sg_error_nomem(err);
	r->row.updated_us = s->ts_us;
	r->f.last_step = r->step;
	r->row.steps = ++r->step;
	r->f.first = false;
	r->engine->stats.steps++;
	return 0;
}

/* The innermost graph has come to its end; with the last one the run has. */
static void end_graph(struct run *r, const char *reason)
{
	if (r->f.outer)
		r->f.ended = true;
	else
		sg_run_end(r, SG_RUN_DONE, reason, NULL);
}

void sg_run_go(struct run *r, int node)
{
	r->f.node = node;
	if ((size_t)node >= r->f.graph->graph->n_nodes)
		end_graph(r, NULL);
}

/* A goto or retry. */
int sg_run_follow(struct step *s, const struct sg_action *a, struct sg_error *err)
{
	struct run *r = s->run;
	int node = sg_graph_find_node(r->f.graph->graph, a->target);
	if (node < 0)
		return sg_error_set(
			err, SG_EINVALID, "unknown-target", "no node \"%s\"", a->target);
	sg_run_go(r, node);
	if (a->kind != SG_RETRY || a->backoff_ms <= 0 || r->source)
		return 0;
	r->phase = PHASE_SLEEPING;
	r->wake_us = sg_clock_monotonic_us() + a->backoff_ms * 1000;
	return sg_timer_add(r->engine, r->wake_us, r->row.run_id) < 0 ? sg_error_nomem(err) : 0;
}

static const char *target_of(const struct step *s, int here)
{
	const struct sg_graph *g = s->run->f.graph->graph;
	if (s->d.action && s->d.action->target)
		return s->d.action->target;
	if (s->d.kind == GO_PARALLEL)
		return s->d.action->targets[0];
	if (s->d.kind == GO_ON && (size_t)here + 1 < g->n_nodes)
		return g->nodes[here + 1].id;
	return "";
}

static int follow(struct step *s, bool halt, struct sg_error *err)
{
	struct run *r = s->run;
	if (s->d.kind == GO_INTERRUPT)
		return sg_interrupt_open(s, s->d.action, s->d.beside, false, err);
	if (halt || s->d.kind == GO_HALT) {
		end_graph(r, s->reason);
		return 0;
	}
	if (s->d.kind == GO_TO || s->d.kind == GO_RETRY)
		return sg_run_follow(s, s->d.action, err);
	if (s->d.kind == GO_PARALLEL) {
		int rc = sg_parallel_begin_text(r, s->action, err);
		if (rc == 0)
			sg_parallel_note_started(r);
		return rc;
	}
	sg_run_go(r, r->f.node + 1);
	return 0;
}

/* Where the run stands, for rules that ask. */
static int make_about(
	const struct step *s, const char *ts, struct sg_about *ret, struct sg_error *err)
{
	struct run *r = s->run;
	if (!sg_rules_asks(r->f.graph->rules))
		return 0;
	const char *path = sg_frame_path(&r->f, s->node_id);
	struct sg_about_step of = {.graph = r->f.graph->graph,
		.node_id = s->node_id,
		.run_id = r->row.run_id,
		.timestamp = ts,
		.step = r->step,
		.elapsed_ms =
			s->ts_us > r->row.started_us ? (s->ts_us - r->row.started_us) / 1000 : 0,
		.tokens = r->n_tokens,
		.visits = s->on_path, /* an answered question's step is on it already */
		.tool_calls = s->on_path &&
			      strcmp(sg_prepared_kind(sg_run_top(r)->graph, path), "tool") == 0,
		.state = r->f.state};
	for (size_t i = r->own_path; i < r->n_path; i++) {
		bool same = strcmp(r->path[i], path) == 0;
		of.visits += same;
		of.in_a_row = same ? of.in_a_row + 1 : 0;
	}
	of.in_a_row += s->on_path;
	for (; r->n_counted < r->n_path; r->n_counted++)
		r->n_tool_calls +=
			strcmp(sg_prepared_kind(sg_run_top(r)->graph, r->path[r->n_counted]),
				"tool") == 0;
	of.tool_calls += r->n_tool_calls;
	return sg_about_make(ret, r->f.graph->rules, &of, err);
}

/* in: room for the facts. */
static struct sg_rules_step rules_step(const struct step *s, const char *ts,
	const struct sg_about *about, struct sg_fact_in in[SG_RUN_CARRIED_FACTS])
{
	const struct run *r = s->run;
	for (size_t i = 0; i < r->f.n_facts; i++)
		in[i] = (struct sg_fact_in){r->f.facts[i].template_name, r->f.facts[i].slots};
	return (struct sg_rules_step){
		.node_id = s->node_id,
		.state = r->f.state,
		.run_id = r->row.run_id,
		.step = r->step,
		.timestamp = ts,
		.first = r->f.first,
		.facts = in,
		.n_facts = r->f.n_facts,
		.about = about->facts,
		.n_about = about->n,
		.n_seen = r->f.n_seen,
		.explain = r->explained != NULL,
	};
}

static int check_audits(const struct sg_rules_outcome *o, struct sg_error *err)
{
	size_t n = 0;
	for (size_t i = 0; i < o->n_firings; i++)
		n += json_array_size(o->firings[i].audits);
	return n <= SG_RUN_RULE_AUDITS
		       ? 0
		       : sg_error_set(err, SG_ELIMIT, "rule-audits",
				 "the rules of one step assert %zu bosun-audit facts; at most %d "
				 "are allowed",
				 n, SG_RUN_RULE_AUDITS);
}

static int put_audit(
	struct step *s, const struct sg_firing *f, const json_t *fact, struct sg_error *err)
{
	struct run *r = s->run;
	sg_autobuf text = SG_BUF_INIT(4U << 20);
	json_auto_t *j = json_pack("{s:O, s:s%, s:s, s:s}", "fact", fact, "pack_id", f->rule_id,
		strcspn(f->rule_id, "/"), "pack_version", f->version ? f->version : "", "rule_id",
		f->rule_id);
	int rc = j ? sg_json_canonical(j, &text, err) : sg_error_nomem(err);
	if (rc < 0)
		return rc;
	return sg_batch_event(r->engine, r, s->ts_us, r->row.actor, "bosun_audit", r->step - 1,
		       text.data, text.len, "rule", f->rule_id)
		       ? 0
		       : sg_error_nomem(err);
}

/* What pack rules want in the audit log, after the transition's line. */
static int put_audits(struct step *s, const struct sg_rules_outcome *o, struct sg_error *err)
{
	size_t k;
	const json_t *fact;
	for (size_t i = 0; i < o->n_firings; i++)
		json_array_foreach (o->firings[i].audits, k, fact)
			if (put_audit(s, &o->firings[i], fact, err) < 0)
				return -err->code;
	return 0;
}

/* A node of kind halt without a rule that says more. */
static void halt_here(struct step *s)
{
	(void)snprintf(s->own_reason, sizeof(s->own_reason), "reached %s", s->node_id);
	s->own = (struct sg_action){.kind = SG_HALT, .reason = s->own_reason};
	s->d.kind = GO_HALT;
	s->d.action = &s->own;
	s->d.rule_id = "";
}

static int conclude(
	struct step *s, bool halt, const struct sg_rules_outcome *o, struct sg_error *err)
{
	struct run *r = s->run;
	sg_autobuf action = SG_BUF_INIT(1U << 20);
	int rc = sg_decide(r->f.graph, o, &s->d, err);
	if (rc < 0)
		return rc;
	if (halt && s->d.kind != GO_HALT && s->d.kind != GO_INTERRUPT)
		halt_here(s);
	if (s->d.kind == GO_HALT && s->d.action->reason)
		s->reason = s->d.action->reason;
	s->rule_id = s->d.rule_id;
	rc = sg_decision_json(&s->d, &action, err);
	if (rc == 0 && r->explained)
		r->explained(r->explained_ctx, s, o);
	if (rc == 0)
		rc = sg_carried_apply(r, r->f.graph, o, s->ts_us, err);
	if (rc < 0)
		return rc;
	s->facts = o->facts;
	s->action = action.len ? action.data : NULL;
	s->to_node = target_of(s, r->f.node);
	if ((rc = check_audits(o, err)) == 0)
		rc = sg_step_commit(s, err);
	if (rc == 0)
		rc = put_audits(s, o, err);
	return rc < 0 ? rc : follow(s, halt, err);
}

static int store(const struct step *s, struct sg_error *err)
{
	struct sg_exec *x = s->exec;
	return x && x->kind->store && !s->run->source ? x->kind->store(x, err) : 0;
}

static int settle(struct step *s, bool halt, const struct sg_rules_outcome *o, struct sg_error *err)
{
	int rc = store(s, err);
	return rc < 0 ? rc : conclude(s, halt, o, err);
}

/* On the loop, or elsewhere: 1. */
static int ask_rules(struct step *s, bool halt, const struct sg_rules_step *in,
	struct sg_rules_outcome *ret, struct sg_error *err)
{
	struct run *r = s->run;
	struct prepared *g = r->f.graph;
	bool may = s->on_path && sg_slow_may(r->engine);
	if (may && sg_slow_graph(g))
		return sg_slow_decide(s, halt, in, err);
	sg_rules_set_time(g->rules, may ? SG_RUN_RULE_TRY_US : r->engine->limits.rule_us);
	int rc = sg_rules_run(g->rules, in, ret, err);
	return may && sg_slow_late(g, rc, err) ? sg_slow_decide(s, halt, in, err) : rc;
}

int sg_step_decide(struct step *s, bool halt, struct sg_error *err)
{
	struct sg_fact_in facts[SG_RUN_CARRIED_FACTS];
	struct sg_rules_outcome o = {0};
	struct sg_about about = {0};
	char ts[SG_TIME_TEXT];
	sg_time_format(s->ts_us, ts);
	int rc = make_about(s, ts, &about, err);
	if (rc < 0)
		return rc;
	struct sg_rules_step in = rules_step(s, ts, &about, facts);
	rc = ask_rules(s, halt, &in, &o, err);
	sg_about_finish(&about);
	if (rc != 0)
		return rc;
	rc = settle(s, halt, &o, err);
	sg_rules_outcome_finish(&o);
	return rc < 0 ? rc : 0;
}

/* The node has run: x->update holds, or it asks. */
static int complete(struct run *r, struct sg_exec *x, int outcome, struct sg_error *err)
{
	struct step s = {.run = r,
		.node_id = x->node->id,
		.ts_us = sg_run_step_us(r),
		.on_path = true,
		.exec = x,
		.reason = "",
		.rule_id = "",
		.to_node = ""};
	bool rules = !r->f.plan && outcome != SG_EXEC_INTERRUPT;
	json_t *before = json_incref(r->f.state); /* x->state */
	int rc = r->f.plan ? 0 : sg_step_merge(r, NULL, x->update, err);
	if (rc == 0 && !rules)
		rc = store(&s, err);
	if (rc == 0)
		rc = sg_step_mutate(&s, err);
	r->n_tokens += sg_about_tokens(x->record);
	if (x->record && sg_step_record(&s, json_incref(x->record)) < 0 && rc == 0)
		rc = sg_error_nomem(err);
	if (rc == 0 && r->f.plan)
		rc = sg_parallel_branch(&s, x->update, NULL, err);
	else if (rc == 0 && outcome == SG_EXEC_INTERRUPT)
		rc = sg_interrupt_open(&s, x->ask, NULL, true, err);
	else if (rc == 0)
		rc = sg_step_decide(&s, outcome == SG_EXEC_HALT, err);
	json_decref(before);
	if (rc < 0)
		sg_step_keep(&s);
	sg_step_finish(&s);
	return rc;
}

/* What came from outside was no good: the run fails, and shows what it was. */
static void keep_record(struct run *r, const struct sg_exec *x)
{
	struct step s = {.run = r, .node_id = x->node->id, .ts_us = sg_run_step_us(r)};
	if (sg_step_record(&s, json_incref(x->record)) == 0)
		sg_step_keep(&s);
	sg_step_finish(&s);
}

/* outcome negative: the node failed, *err says why. x is gone afterwards. */
static void conclude_node(struct run *r, struct sg_exec *x, int outcome, struct sg_error *err)
{
	if (outcome >= 0 && x->record && !x->update) {
		int rc = x->kind->apply(x, x->record, err);
		if (rc < 0 && !sg_parallel_tolerates(r))
			keep_record(r, x);
		outcome = rc < 0 ? rc : outcome;
	}
	if (outcome == SG_EXEC_ENTER)
		outcome = sg_frame_enter(r, err) < 0 ? -err->code : SG_EXEC_ENTER;
	int rc = outcome < 0 || outcome == SG_EXEC_ENTER ? 0 : complete(r, x, outcome, err);
	if (outcome < 0)
		sg_frame_fail(r, "node", err, false);
	else if (rc < 0)
		sg_frame_fail(r, "rule", err, true);
	if (rc <= 0)
		sg_exec_free(x);
}

static void after(struct run *r)
{
	if (r->phase == PHASE_READY)
		sg_run_ready(r);
	else
		sg_run_maybe_release(r);
}

void sg_step_decided(
	struct step *s, bool halt, const struct sg_rules_outcome *o, const struct sg_error *err)
{
	struct run *r = s->run;
	struct sg_error failure = *err;
	int64_t from = sg_clock_monotonic_us();
	r->phase = PHASE_READY;
	if (!o || settle(s, halt, o, &failure) < 0) {
		sg_step_keep(s);
		sg_frame_fail(r, "rule", &failure, true);
	}
	sg_ready_used(r, sg_clock_monotonic_us() - from);
	after(r);
}

void sg_run_node_failed(struct run *r, const struct sg_error *why)
{
	r->phase = PHASE_READY;
	sg_frame_fail(r, "node", why, false);
	after(r);
}

void sg_exec_complete(struct sg_exec *x, const struct sg_error *failure)
{
	struct run *r = x->run;
	x->finished = true;
	sg_exec_unwatch(x);
	x->outcome = failure ? -failure->code : SG_EXEC_DONE;
	if (failure)
		x->failure = *failure;
	if (r && r->exec != x)
		return; /* a branch that was started ahead: it has its turn */
	if (r) {
		int64_t from = sg_clock_monotonic_us();
		r->exec = NULL;
		r->phase = PHASE_READY;
		conclude_node(r, x, x->outcome, &x->failure);
		sg_ready_used(r, sg_clock_monotonic_us() - from);
		after(r);
		return;
	}
	sg_exec_free(x);
}

struct sg_exec *sg_exec_make(struct run *r, int node)
{
	struct prepared *g = r->f.graph;
	struct sg_exec *x = calloc(1, sizeof(*x));
	if (x)
		*x = (struct sg_exec){.run = r,
			.engine = r->engine,
			.graph = g,
			.node = &g->graph->nodes[node],
			.kind = g->kinds[node],
			.data = g->node_data[node],
			.state = r->f.state,
			.step = r->step};
	return x;
}

static int check_limits(const struct run *r, struct sg_error *err)
{
	const struct sg_engine *e = r->engine;
	if (r->step >= e->limits.steps)
		return sg_error_set(err, SG_ELIMIT, "step-limit",
			"the run has taken %lld steps (limits.steps)", (long long)e->limits.steps);
	return 0;
}

/* A subgraph has a limit of its own; what exceeds it fails its node. */
static int check_stay(const struct run *r, struct sg_error *err)
{
	const struct frame *o = r->f.outer;
	if (!o || r->f.n_steps < r->f.max_steps)
		return 0;
	return sg_error_set(err, SG_ELIMIT, "subgraph-steps",
		"the subgraph of node %s has taken %lld steps without an end (max_steps)",
		sg_frame_path(o, o->graph->graph->nodes[o->node].id), (long long)r->f.max_steps);
}

/* Does the record go on? */
static bool recorded_end(struct run *r)
{
	struct sg_error err;
	const char *scope = "runtime";
	int rc = r->source ? r->source->begin(r, &scope, &err) : 0;
	if (rc < 0)
		sg_run_fail(r, scope, &err);
	else if (rc > 0)
		r->phase = PHASE_SETTLED;
	return rc != 0;
}

static int enter_parallel(struct run *r, struct sg_error *err)
{
	bool within = r->f.plan != NULL;
	int rc = sg_parallel_enter(r, err);
	if (rc == 0 && !within && r->f.plan)
		sg_parallel_note_started(r);
	return rc;
}

/* What comes before a node. False: the turn is over. */
static bool may_execute(struct run *r)
{
	struct sg_error err;
	if (r->source && r->row.waiting) {
		sg_interrupt_proceed(r);
		return false;
	}
	if (recorded_end(r))
		return false;
	if (check_limits(r, &err) < 0)
		sg_run_fail(r, "runtime", &err);
	else if (r->f.ended) {
		if (sg_frame_leave(r, &err) < 0)
			sg_frame_fail(r, "rule", &err, true);
	} else if (check_stay(r, &err) < 0 || enter_parallel(r, &err) < 0) {
		sg_frame_fail(r, "runtime", &err, true);
	} else if (r->f.graph->kinds[r->f.node]->outside && r->inflight && !r->source &&
		   !sg_ahead_is_next(r)) {
		r->phase = PHASE_DURABLE;
	} else {
		return true;
	}
	return false;
}

/* Executes the next node, or takes what was started ahead. */
static void one_step(struct run *r)
{
	struct sg_error err;
	struct sg_exec *x = sg_ahead_take(r);
	if (!x && !(x = sg_exec_make(r, r->f.node))) {
		(void)sg_error_nomem(&err);
		sg_run_fail(r, "runtime", &err);
		return;
	}
	if (!x->finished && !x->watched) {
		x->outcome = r->source ? r->source->execute(x, &x->failure)
				       : x->kind->execute(x, &x->failure);
		x->finished = x->outcome != SG_EXEC_PENDING;
		if (x->outcome == SG_EXEC_LATER) {
			r->phase = PHASE_DURABLE;
			if (r->f.plan)
				sg_ahead_start(r, true);
			sg_exec_free(x);
			return;
		}
		if (!x->finished)
			sg_exec_watch(x);
	}
	if (!x->finished) {
		r->exec = x;
		r->phase = PHASE_BUSY;
		if (r->f.plan && !r->source)
			sg_ahead_start(r, false);
		return;
	}
	conclude_node(r, x, x->outcome, &x->failure);
}

void sg_run_advance(struct run *r, int max_steps)
{
	int64_t from = sg_clock_monotonic_us(), until = from + SG_RUN_DISPATCH_US;
	for (int i = 0; i < max_steps && r->phase == PHASE_READY; i++) {
		if (i && sg_clock_monotonic_us() > until)
			break;
		if (r->pause_wanted && !r->ahead) { /* what was started is recorded first */
			sg_run_settle(r, SG_RUN_PAUSED, sg_clock_utc_us());
			break;
		}
		if (may_execute(r))
			one_step(r);
	}
	sg_ready_used(r, sg_clock_monotonic_us() - from);
	after(r);
}
