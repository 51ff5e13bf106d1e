/* Nodes that work elsewhere (a worker, a program): how long they may, and branches that do so side
 * by side.
 *
 * The branches of a parallel block are recorded in the order of their targets, each once those
 * before it are, so that equal runs are equal and a replay needs no clock. But where one works
 * elsewhere, the later ones that will are started with it: they wait together, and what comes back
 * early is kept until its turn. Effects outside are started ahead only where every branch is needed
 * (strategy all): a branch whose effect might be one too many is not. Tools whose calls are on the
 * record before they are made overlap where none of them changes anything. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "run/internal.h"

/* ---- how long ---- */

void sg_exec_watch(struct sg_exec *x)
{
	struct sg_engine *e = x->engine;
	x->due_us = sg_clock_monotonic_us() + e->limits.node_us;
	x->watched = true;
	TAILQ_INSERT_TAIL(&e->out, x, out); /* one limit for all: the first is due first */
}

void sg_exec_unwatch(struct sg_exec *x)
{
	if (x->watched)
		TAILQ_REMOVE(&x->engine->out, x, out);
	x->watched = false;
}

void sg_exec_free(struct sg_exec *x)
{
	if (!x)
		return;
	sg_exec_unwatch(x);
	json_decref(x->update);
	json_decref(x->record);
	free(x);
}

/* Its result is not wanted any more; whoever works on it still completes it, which frees it. */
static void abandon(struct sg_exec *x)
{
	x->run = NULL;
	x->state = NULL;
	if (x->finished) {
		sg_exec_free(x);
		return;
	}
	sg_exec_unwatch(x);
	if (x->kind->cancel)
		x->kind->cancel(x);
}

static void too_late(struct sg_exec *x, struct sg_error *err)
{
	(void)sg_error_set(err, SG_ETIMEOUT, "node-timeout",
		"node %s has worked for %lld s (limits.node_seconds)",
		x->graph->paths[x->node - x->graph->graph->nodes],
		(long long)(x->engine->limits.node_us / 1000000));
}

/* A branch that was started ahead is told of its failure when its turn comes. */
static void fail_ahead(struct sg_exec *x, const struct sg_error *err)
{
	struct run *r = x->run;
	struct sg_exec *stub = calloc(1, sizeof(*stub));
	struct sg_exec **at = &r->ahead;
	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	if (stub) {
		*stub = *x;
		stub->watched = false;
		stub->job = NULL;
		stub->update = stub->record = NULL;
		stub->finished = true;
		stub->outcome = -err->code;
		stub->failure = *err;
		*at = stub;
	}
	abandon(x);
}

static void time_out(struct sg_exec *x)
{
	struct run *r = x->run;
	struct sg_error err;
	too_late(x, &err);
	if (r->exec != x) {
		fail_ahead(x, &err);
		return;
	}
	r->exec = NULL;
	abandon(x);
	sg_run_node_failed(r, &err);
}

void sg_deadline_active(struct run *r)
{
	r->active_us = sg_clock_monotonic_us();
	if (!r->timed)
		TAILQ_INSERT_TAIL(&r->engine->active, r, active);
	r->timed = true;
}

void sg_deadline_idle(struct run *r)
{
	if (r->timed)
		TAILQ_REMOVE(&r->engine->active, r, active);
	r->timed = false;
}

static int64_t run_due(const struct run *r)
{
	return r->active_us + r->engine->limits.run_us;
}

int64_t sg_deadline_next(const struct sg_engine *e)
{
	const struct sg_exec *x = TAILQ_FIRST(&e->out);
	const struct run *r = TAILQ_FIRST(&e->active);
	int64_t next = x ? x->due_us : INT64_MAX;
	if (r && run_due(r) < next)
		next = run_due(r);
	return next == INT64_MAX ? -1 : next;
}

void sg_deadline_fire(struct sg_engine *e)
{
	int64_t now = sg_clock_monotonic_us();
	struct sg_exec *x;
	struct run *r;
	while ((x = TAILQ_FIRST(&e->out)) && x->due_us <= now)
		time_out(x);
	while ((r = TAILQ_FIRST(&e->active)) && run_due(r) <= now) {
		struct sg_error err;
		sg_deadline_idle(r);
		(void)sg_error_set(&err, SG_ELIMIT, "run-timeout",
			"the run has worked for %lld s (limits.run_seconds)",
			(long long)(e->limits.run_us / 1000000));
		sg_run_fail(r, "runtime", &err);
		sg_run_maybe_release(r);
	}
}

/* ---- side by side ---- */

/* step: which one its turn will be. */
static void start_one(struct run *r, int node, int64_t step)
{
	struct sg_exec *x = sg_exec_make(r, node), **at = &r->ahead;
	if (!x)
		return; /* its own turn will say so */
	x->step = step;
	x->outcome = x->kind->execute(x, &x->failure);
	if (x->outcome == SG_EXEC_LATER) {
		sg_exec_free(x);
		return;
	}
	x->finished = x->outcome != SG_EXEC_PENDING;
	if (!x->finished)
		sg_exec_watch(x);
	while (*at)
		at = &(*at)->next;
	*at = x;
}

static bool started(const struct run *r, const struct sg_node *n)
{
	const struct sg_exec *x = r->ahead;
	while (x && x->node != n)
		x = x->next;
	return x;
}

static int target_at(const struct run *r, size_t i)
{
	const json_t *targets = json_object_get(r->f.plan, "targets");
	return sg_graph_find_node(r->f.graph->graph, json_string_value(json_array_get(targets, i)));
}

/* Does any branch from here on change things? After a crash the last record must tell of it. */
static bool any_writes(const struct run *r, size_t from, size_t n)
{
	for (size_t i = from; i < n; i++) {
		int node = target_at(r, i);
		const struct sg_node_kind *k = node < 0 ? NULL : r->f.graph->kinds[node];
		if (k && k->announces && k->effects &&
			k->effects(r->f.graph->node_data[node]) >= SG_EFFECTS_WRITE)
			return true;
	}
	return false;
}

void sg_ahead_start(struct run *r, bool announce)
{
	size_t n = json_array_size(json_object_get(r->f.plan, "targets")),
	       now = json_array_size(json_object_get(r->f.plan, "done"));
	bool all = !sg_parallel_tolerates(r), writes = any_writes(r, now, n);
	for (size_t i = now + 1; i < n; i++) {
		int node = target_at(r, i);
		const struct sg_node_kind *k = node < 0 ? NULL : r->f.graph->kinds[node];
		if (!k || !k->elsewhere || (k->announces ? writes : announce) ||
			(k->outside && !all))
			continue;
		if (!started(r, &r->f.graph->graph->nodes[node]))
			start_one(r, node, r->step + (int64_t)(i - now));
	}
}

struct sg_exec *sg_ahead_take(struct run *r)
{
	const struct sg_node *n = &r->f.graph->graph->nodes[r->f.node];
	struct sg_exec **at = &r->ahead;
	while (*at && (*at)->node != n)
		at = &(*at)->next;
	struct sg_exec *x = *at;
	if (x) {
		*at = x->next;
		x->next = NULL;
		x->step = r->step;
	}
	return x;
}

bool sg_ahead_is_next(const struct run *r)
{
	return started(r, &r->f.graph->graph->nodes[r->f.node]);
}

void sg_ahead_drop(struct run *r, const struct prepared *g)
{
	struct sg_exec **at = &r->ahead;
	while (*at) {
		struct sg_exec *x = *at;
		if (g && x->graph != g) {
			at = &x->next;
			continue;
		}
		*at = x->next;
		abandon(x);
	}
}

void sg_run_stop_pending(struct run *r)
{
	if (r->exec)
		abandon(r->exec);
	r->exec = NULL;
	sg_slow_drop(r);
	sg_ahead_drop(r, NULL);
}
