/* Rules that take long, on a thread of their own, so that nobody else waits for them.
 *
 * The loop thread gives the rules of a step SG_RUN_RULE_TRY_US. What is not done by then is begun
 * again on the rule thread, in a second environment of the same graph, and may take all of
 * limits.rule_ms there; the run waits meanwhile as for any node that works elsewhere. What rules
 * decide depends on their facts alone, so it does not matter where they did. The next steps of that
 * graph go to the thread at once, until they have become quick on the average.
 *
 * The thread takes the graphs in turn, one evaluation each, and is the less important one: where
 * processors are scarce, the loop has them. What a job holds is the thread's until it is handed
 * back. An answer is taken and decided on in one go, so its rules run on the loop. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "run/internal.h"

#define NICE 5
#define SHARE 32 /* of the latest step in the average of a graph: one in so many */
#define QUICK_US \
	(SG_RUN_RULE_TRY_US / 4) /* that average, of a graph that is at home on the loop \
				  */

struct rule_job {
	struct sg_job job;		       /* first; in the graph's lane */
	struct rule_job *all_next, **all_prev; /* the loop's */
	struct prepared *graph;
	struct run *run;    /* of a decision; NULL = nobody waits for it */
	struct sg_exec *x;  /* owned; of a decision it may be NULL */
	bool decides, halt; /* else it computes the values of x */
	struct step s;	    /* of a decision; owned */
	json_t *state, *before;
	struct sg_rules_step in;
	struct sg_fact_in *facts, *about; /* owned, with the names */
	char run_id[SG_RUN_ID_TEXT], timestamp[SG_TIME_TEXT];
	_Atomic bool dropped;
	/* the result */
	struct sg_rules_outcome outcome;
	char *facts_text; /* owned */
	json_t *update;	  /* owned */
	int64_t used_us;
	int status;
	struct sg_error err;
};

struct slow_rules {
	struct sg_jobs jobs;
	struct rule_job *all; /* the loop's */
	int64_t rule_us;
};

/* ---- the thread ---- */

static int evaluate(struct rule_job *j, struct sg_error *err)
{
	struct sg_rules *rules = j->graph->twin;
	if (!j->decides)
		return sg_rules_compute(rules, j->x->node->id, j->state, j->update, err);
	int r = sg_rules_run(rules, &j->in, &j->outcome, err);
	if (r < 0)
		return r;
	j->facts_text = strdup(j->outcome.facts); /* the environment's, until its next step */
	j->outcome.facts = j->facts_text;
	return j->facts_text ? 0 : sg_error_nomem(err);
}

static void work(void *ctx, struct sg_job *job)
{
	const struct slow_rules *w = ctx;
	struct rule_job *j = (struct rule_job *)job;
	struct prepared *g = j->graph;
	if (atomic_load(&j->dropped))
		return;
	if (!g->twin && sg_rules_twin(&g->twin, g->rules, w->rule_us, &j->err) < 0) {
		j->status = -j->err.code;
		return;
	}
	int64_t from = sg_clock_thread_us();
	j->status = evaluate(j, &j->err);
	j->used_us = sg_clock_thread_us() - from;
	sg_rules_forget(g->twin); /* j is the loop's from now on */
}

/* ---- its life ---- */

int sg_slow_start(struct sg_engine *e, struct sg_error *err)
{
	struct slow_rules *w = calloc(1, sizeof(*w));
	if (!w)
		return sg_error_nomem(err);
	w->rule_us = e->limits.rule_us;
	w->jobs = (struct sg_jobs){.work = work, .ctx = w, .event_fd = e->event_fd, .nice = NICE};
	int r = sg_jobs_start(&w->jobs, "the rule thread", err);
	if (r < 0) {
		free(w);
		return r;
	}
	e->slow = w;
	return 0;
}

static void free_facts(struct sg_fact_in *facts, size_t n)
{
	for (size_t i = 0; facts && i < n; i++) {
		free((char *)(uintptr_t)facts[i].template_name);
		json_decref((json_t *)(uintptr_t)facts[i].slots);
	}
	free(facts);
}

static void destroy(struct rule_job *j)
{
	*j->all_prev = j->all_next;
	if (j->all_next)
		j->all_next->all_prev = j->all_prev;
	free_facts(j->facts, j->in.n_facts);
	free_facts(j->about, j->in.n_about);
	sg_rules_outcome_finish(&j->outcome);
	free(j->facts_text);
	json_decref(j->update);
	json_decref(j->state);
	json_decref(j->before);
	sg_step_finish(&j->s);
	sg_exec_free(j->x);
	free(j);
}

void sg_slow_stop(struct sg_engine *e)
{
	struct slow_rules *w = e->slow;
	if (!w)
		return;
	(void)sg_jobs_stop(&w->jobs); /* w->all has them */
	while (w->all)
		destroy(w->all);
	free(w);
	e->slow = NULL;
}

/* ---- what it is given ---- */

static struct rule_job *make(struct sg_engine *e, struct prepared *g)
{
	struct rule_job *j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	j->graph = g;
	j->all_next = e->slow->all;
	j->all_prev = &e->slow->all;
	if (e->slow->all)
		e->slow->all->all_prev = &j->all_next;
	e->slow->all = j;
	return j;
}

static void submit(struct sg_engine *e, struct rule_job *j)
{
	(void)sg_jobs_submit(&e->slow->jobs, &j->graph->slow, &j->job); /* it has no max */
}

/* What rules see of a state. The thread shares no value with the loop: Jansson counts references
 * atomically, but does not order what it frees. */
static json_t *copy_state(const struct sg_graph *g, const json_t *state)
{
	json_t *copy = json_object();
	for (size_t i = 0; copy && i < g->n_fields; i++) {
		json_t *v = g->fields[i].mirrored
				    ? json_deep_copy(json_object_get(state, g->fields[i].name))
				    : NULL;
		if (v && json_object_set_new(copy, g->fields[i].name, v) < 0) {
			json_decref(copy);
			copy = NULL;
		}
	}
	return copy;
}

/* NULL when out of memory. */
static struct sg_fact_in *copy_facts(const struct sg_fact_in *from, size_t n)
{
	struct sg_fact_in *to = calloc(n + 1, sizeof(*to));
	for (size_t i = 0; to && i < n; i++) {
		to[i].template_name = strdup(from[i].template_name);
		to[i].slots = json_deep_copy(from[i].slots);
		if (!to[i].template_name || !to[i].slots) {
			free_facts(to, n);
			return NULL;
		}
	}
	return to;
}

int sg_slow_decide(struct step *s, bool halt, const struct sg_rules_step *in, struct sg_error *err)
{
	struct run *r = s->run;
	struct rule_job *j = make(r->engine, r->f.graph);
	if (!j)
		return sg_error_nomem(err);
	j->in = *in;
	j->state = copy_state(r->f.graph->graph, r->f.state);
	j->in.state = j->state;
	memcpy(j->run_id, r->row.run_id, sizeof(j->run_id));
	(void)snprintf(j->timestamp, sizeof(j->timestamp), "%s", in->timestamp);
	j->in.run_id = j->run_id;
	j->in.timestamp = j->timestamp;
	j->in.facts = j->facts = copy_facts(in->facts, in->n_facts);
	j->in.about = j->about = copy_facts(in->about, in->n_about);
	if (!j->state || !j->facts || !j->about) {
		destroy(j);
		return sg_error_nomem(err);
	}
	j->decides = true;
	j->halt = halt;
	j->run = r;
	j->s = *s;
	s->recorded = NULL;
	if (s->exec) {
		j->x = s->exec;
		j->before = json_incref((json_t *)(uintptr_t)s->exec->state);
	}
	r->slow = j;
	r->phase = PHASE_BUSY;
	submit(r->engine, j);
	return 1;
}

bool sg_slow_may(const struct sg_engine *e)
{
	return e->slow && e->limits.rule_us > SG_RUN_RULE_TRY_US;
}

bool sg_slow_graph(const struct prepared *g)
{
	return g->rule_us >= QUICK_US;
}

bool sg_slow_late(struct prepared *g, int status, const struct sg_error *err)
{
	if (status != -SG_ELIMIT || strcmp(err->kind, "rule-timeout") != 0)
		return false;
	if (g->rule_us < SG_RUN_RULE_TRY_US)
		g->rule_us = SG_RUN_RULE_TRY_US;
	return true;
}

static int compute_elsewhere(struct sg_exec *x, struct sg_error *err)
{
	struct rule_job *j = make(x->engine, x->graph);
	if (!j)
		return sg_error_nomem(err);
	j->x = x;
	j->state = copy_state(x->graph->graph, x->state);
	j->update = json_deep_copy(x->update);
	if (!j->state || !j->update) {
		j->x = NULL; /* the caller's still */
		destroy(j);
		return sg_error_nomem(err);
	}
	submit(x->engine, j);
	return SG_EXEC_PENDING;
}

int sg_exec_compute(struct sg_exec *x, struct sg_error *err)
{
	struct prepared *g = x->graph;
	bool may = sg_slow_may(x->engine);
	if (may && sg_slow_graph(g))
		return compute_elsewhere(x, err);
	sg_rules_set_time(g->rules, may ? SG_RUN_RULE_TRY_US : x->engine->limits.rule_us);
	int r = sg_rules_compute(g->rules, x->node->id, x->state, x->update, err);
	if (!may || !sg_slow_late(g, r, err))
		return r;
	return compute_elsewhere(x, err);
}

/* ---- what comes back ---- */

static void computed(struct rule_job *j)
{
	struct sg_exec *x = sg_steal(j->x);
	json_decref(x->update);
	x->update = sg_steal(j->update);
	sg_exec_complete(x, j->status < 0 ? &j->err : NULL);
}

static void decided(struct rule_job *j)
{
	struct run *r = j->run;
	if (!r)
		return;
	r->slow = NULL;
	sg_step_decided(&j->s, j->halt, j->status < 0 ? NULL : &j->outcome, &j->err);
}

void sg_slow_drain(struct sg_engine *e)
{
	struct slow_rules *w = e->slow;
	if (!w || !w->all)
		return;
	for (struct sg_job *job = sg_jobs_take_done(&w->jobs), *next; job; job = next) {
		struct rule_job *j = (struct rule_job *)job;
		next = job->next;
		j->graph->rule_us += (j->used_us - j->graph->rule_us) / SHARE;
		if (j->decides)
			decided(j);
		else
			computed(j);
		destroy(j);
	}
}

void sg_slow_drop(struct run *r)
{
	struct rule_job *j = r->slow;
	if (!j)
		return;
	atomic_store(&j->dropped, true);
	j->run = NULL;
	if (j->x)
		j->x->run = NULL;
	r->slow = NULL;
}
