/* Waiting for people: a run stops with an open question and goes on with the answer, or without one
 * when its time is over.
 *
 * Opening makes a checkpoint whose next_action is the interrupt; the answer, or the deadline, makes
 * the next one for the same node. For an `interrupt` node its rules are asked then; for a rule's
 * interrupt action the way was decided when it fired ("then" in the row's `waiting`). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/pystr.h"
#include "run/internal.h"

static json_t *text_or_null(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *move_json(const struct sg_action *a)
{
	if (a && a->kind == SG_PARALLEL)
		return sg_action_json(a);
	if (!a || !a->target)
		return json_null();
	return json_pack("{s:s, s:s, s:I}", "kind", a->kind == SG_RETRY ? "retry" : "goto",
		"target", a->target, "backoff_ms", (json_int_t)a->backoff_ms);
}

static json_t *waiting_json(const struct step *s, const struct sg_action *ask,
	const struct sg_action *then, bool at_node)
{
	const struct run *r = s->run;
	char since[SG_TIME_TEXT], deadline[SG_TIME_TEXT];
	/* A fork's steps are of the record's time, but people answer it now. */
	int64_t now = r->source && !r->source->replays ? sg_run_wall_us(r) : s->ts_us;
	sg_time_format(now, since);
	sg_time_format(now + ask->timeout_us, deadline);
	return json_pack("{s:s, s:o, s:o, s:s, s:s, s:o, s:s, s:s, s:o}", "at",
		at_node ? "node" : "rule", "capability", text_or_null(ask->requested_capability),
		"deadline", ask->timeout_us ? json_string(deadline) : json_null(), "node",
		sg_frame_path(&s->run->f, s->node_id), "on_timeout",
		ask->on_timeout ? ask->on_timeout : "halt", "payload",
		ask->payload ? json_incref(ask->payload) : json_object(), "prompt",
		ask->prompt ? ask->prompt : "", "since", since, "then", move_json(then));
}

static int put_event(struct step *s, const struct sg_action *ask, struct sg_error *err)
{
	struct run *r = s->run;
	json_t *j = json_pack("{s:o, s:s, s:o}", "interrupt_payload",
		ask->payload ? json_incref(ask->payload) : json_object(), "prompt",
		ask->prompt ? ask->prompt : "", "requested_capability",
		text_or_null(ask->requested_capability));
	struct sg_buf *b = &r->engine->scratch;
	sg_buf_reset(b);
	int rc = j ? sg_json_canonical(j, b, err) : sg_error_nomem(err);
	json_decref(j);
	if (rc < 0)
		return rc;
	return sg_batch_event(r->engine, r, s->ts_us, r->row.actor, "waiting_for_input",
		       r->step - 1, b->data, b->len, NULL, NULL)
		       ? 0
		       : sg_error_nomem(err);
}

static int action_text(const struct sg_action *ask, bool at_node, const json_t *waiting,
	struct sg_buf *out, struct sg_error *err)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:O}", "at", at_node ? "node" : "rule", "kind",
		"interrupt", "prompt", ask->prompt ? ask->prompt : "", "then",
		json_object_get(waiting, "then"));
	int rc = j ? sg_json_canonical(j, out, err) : sg_error_nomem(err);
	json_decref(j);
	return rc;
}

/* For a rule's interrupt the checkpoint has been committed by the caller. */
static int open_with(struct step *s, const struct sg_action *ask, bool at_node,
	const json_t *waiting, struct sg_error *err)
{
	struct run *r = s->run;
	sg_autobuf text = SG_BUF_INIT(2U << 20), action = SG_BUF_INIT(2U << 20);
	int rc = sg_json_canonical(waiting, &text, err);
	if (rc == 0 && at_node) {
		rc = action_text(ask, at_node, waiting, &action, err);
		s->action = action.data;
		s->reason = "interrupt";
		if (rc == 0)
			rc = sg_step_commit(s, err);
	}
	if (rc == 0)
		rc = put_event(s, ask, err);
	if (rc < 0)
		return rc;
	sg_run_set_text(&r->row.waiting, text.data);
	if (r->source && (rc = r->source->ask(r, NULL, err)) != 0)
		return rc < 0 ? rc : 0; /* sg_interrupt_proceed, before the next node */
	if (ask->timeout_us && !(r->source && r->source->replays) &&
		sg_interrupt_arm(r->engine, r->row.run_id, text.data) < 0)
		return sg_error_nomem(err);
	sg_run_settle(r, SG_RUN_WAITING, s->ts_us);
	return 0;
}

int sg_interrupt_open(struct step *s, const struct sg_action *ask, const struct sg_action *then,
	bool at_node, struct sg_error *err)
{
	json_t *waiting = waiting_json(s, ask, then, at_node);
	if (!waiting)
		return sg_error_nomem(err);
	int rc = open_with(s, ask, at_node, waiting, err);
	json_decref(waiting);
	return rc;
}

static int64_t deadline_of(const json_t *waiting)
{
	const json_t *d = json_object_get(waiting, "deadline");
	int64_t us;
	if (!json_is_string(d) ||
		sg_time_parse(json_string_value(d), json_string_length(d), &us) < 0)
		return 0;
	return us;
}

int sg_interrupt_arm(struct sg_engine *e, const char *run_id, const char *waiting)
{
	json_t *w = NULL;
	if (!waiting || sg_json_parse(waiting, strlen(waiting), &w, NULL) < 0)
		return 0;
	int64_t deadline = deadline_of(w);
	json_decref(w);
	if (!deadline)
		return 0;
	int64_t left = deadline - sg_clock_utc_us();
	return sg_timer_add(e, sg_clock_monotonic_us() + (left > 0 ? left : 0), run_id);
}

/* The answer's keys, and those of slot_answers, that name state fields. New object. */
static json_t *update_of(const struct sg_graph *g, const json_t *response)
{
	json_t *update = json_object();
	const json_t *sources[] = {response, json_object_get(response, "slot_answers")};
	for (size_t i = 0; update && i < SG_ARRAY_LEN(sources); i++) {
		const char *key;
		json_t *value;
		json_object_foreach ((json_t *)(uintptr_t)sources[i], key, value)
			if (sg_graph_find_field(g, key))
				(void)json_object_set(update, key, value);
	}
	return update;
}

static json_t *provenance(const struct run *r, const char *actor, int64_t ts_us)
{
	char ts[SG_TIME_TEXT], step[24];
	sg_time_format(ts_us, ts);
	(void)snprintf(step, sizeof(step), "%lld", (long long)r->step);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "_origin", "user", "_source", actor,
		"_run_id", r->row.run_id, "_step", step, "_confidence", "1.0", "_timestamp", ts);
}

/* (stargraph-evidence (data "<the whole answer>") …) and one (stargraph-answer (node) (key) (value)
 * (typed)) for each of its scalars. */
static int assert_answer(struct step *s, const json_t *response, const char *text,
	const char *actor, struct sg_error *err)
{
	struct run *r = s->run;
	json_t *slots = provenance(r, actor, s->ts_us);
	if (!slots || json_object_set_new(slots, "data", json_string(text)) < 0 ||
		json_object_set_new(slots, "node", json_string(s->node_id)) < 0) {
		json_decref(slots);
		return sg_error_nomem(err);
	}
	int rc = sg_carried_add(&r->f, "stargraph-evidence", slots, err);
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)response, key, value) {
		if (rc < 0 || json_is_array(value) || json_is_object(value) || json_is_null(value))
			continue;
		sg_autobuf plain = SG_BUF_INIT(1U << 20);
		sg_pystr(value, &plain);
		slots = provenance(r, actor, s->ts_us);
		if (!slots || json_object_set_new(slots, "node", json_string(s->node_id)) < 0 ||
			json_object_set_new(slots, "key", json_string(key)) < 0 ||
			json_object_set_new(
				slots, "value", json_string(plain.data ? plain.data : "")) < 0 ||
			json_object_set(slots, "typed", value) < 0) {
			json_decref(slots);
			return sg_error_nomem(err);
		}
		rc = sg_carried_add(&r->f, "stargraph-answer", slots, err);
	}
	return rc;
}

/* The source is "cf:<actor>" in a fork; who did it is the actor. */
static int audit_answer(struct step *s, const char *text, size_t len, const char *actor,
	bool inherited, struct sg_error *err)
{
	struct run *r = s->run;
	char hash[SG_SHA256_HEX];
	const char *who =
		*r->cf_hash && strncmp(actor, SG_RUN_FORK_ACTOR, sizeof(SG_RUN_FORK_ACTOR) - 1) == 0
			? actor + sizeof(SG_RUN_FORK_ACTOR) - 1
			: actor;
	struct sg_buf *b = &r->engine->scratch;
	sg_sha256_hex(text, len, hash);
	sg_buf_reset(b);
	sg_buf_adds(b, "{\"fact\":{\"actor\":");
	sg_buf_add_json_string(b, actor, strlen(actor));
	sg_buf_addf(b,
		",\"body_hash\":\"%s\",%s\"kind\":\"respond\"},\"pack_id\":\"stargraph.runtime\","
		"\"pack_version\":\"1.0\"}",
		hash, inherited ? "\"inherited\":true," : "");
	return !b->failed && sg_batch_event(r->engine, r, s->ts_us, who, "bosun_audit", r->step - 1,
				     b->data, b->len, "user", actor)
		       ? 0
		       : sg_error_nomem(err);
}

/* The way that was decided when the interrupt opened, made this step's. */
static int go_on(struct step *s, const json_t *then, struct sg_error *err)
{
	struct run *r = s->run;
	const struct sg_graph *g = r->f.graph->graph;
	sg_autobuf action = SG_BUF_INIT(4096);
	const char *target = json_string_value(json_object_get(then, "target"));
	struct sg_action a = {.kind = SG_GOTO, .target = (char *)(uintptr_t)target};
	if (target) {
		const char *kind = json_string_value(json_object_get(then, "kind"));
		if (kind && strcmp(kind, "retry") == 0)
			a.kind = SG_RETRY;
		a.backoff_ms = json_integer_value(json_object_get(then, "backoff_ms"));
		int rc = sg_json_canonical(then, &action, err);
		if (rc < 0)
			return rc;
		s->action = action.data;
		s->to_node = target;
	} else if (json_object_get(then, "targets")) {
		int rc = sg_json_canonical(then, &action, err);
		if (rc == 0)
			rc = sg_parallel_begin(r, then, err);
		if (rc < 0)
			return rc;
		sg_parallel_note_started(r);
		s->action = action.data;
		s->to_node = g->nodes[r->f.node].id;
		return sg_step_commit(s, err);
	} else if ((size_t)r->f.node + 1 < g->n_nodes) {
		s->to_node = g->nodes[r->f.node + 1].id;
	}
	int rc = sg_step_commit(s, err);
	if (rc < 0)
		return rc;
	if (target)
		return sg_run_follow(s, &a, err);
	sg_run_go(r, r->f.node + 1);
	return 0;
}

static struct step answer_step(struct run *r, const json_t *waiting, const char *reason)
{
	const struct sg_graph *g = r->f.graph->graph;
	const char *node = json_string_value(json_object_get(waiting, "node"));
	const char *slash = node ? strrchr(node, '/') : NULL; /* the graph is the innermost */
	int i = node ? sg_graph_find_node(g, slash ? slash + 1 : node) : -1;
	if (i >= 0)
		r->f.node = i;
	return (struct step){.run = r,
		.node_id = i >= 0 ? g->nodes[i].id : "",
		.ts_us = sg_run_step_us(r),
		.reason = reason,
		.rule_id = "",
		.to_node = ""};
}

static void resume(struct run *r, const char *actor)
{
	if (r->phase == PHASE_SETTLED)
		sg_run_reactivate(r);
	sg_migration_note(r, actor);
	sg_run_set_text(&r->row.waiting, NULL);
}

/* From here on an error fails the run: the answer has been taken. */
static int take(struct step *s, const json_t *waiting, const struct answer *a, const char *text,
	size_t len, struct sg_error *err)
{
	const char *at = json_string_value(json_object_get(waiting, "at"));
	json_t *entry = json_pack(
		"{s:s, s:s, s:O}", "kind", "answer", "actor", a->actor, "response", a->response);
	if (entry && a->inherited)
		(void)json_object_set_new(entry, "inherited", json_true());
	int rc = sg_step_record(s, entry) < 0 ? sg_error_nomem(err) : 0;
	if (rc == 0)
		rc = audit_answer(s, text, len, a->actor, a->inherited, err);
	if (rc == 0)
		rc = assert_answer(s, a->response, text, a->actor, err);
	if (rc == 0)
		rc = sg_step_mutate(s, err);
	if (rc < 0)
		return rc;
	if (at && strcmp(at, "node") == 0)
		return sg_step_decide(s, false, err);
	return go_on(s, json_object_get(waiting, "then"), err);
}

static int answer(
	struct run *r, const json_t *waiting, const struct answer *a, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(4U << 20);
	int rc = sg_json_canonical(a->response, &text, err);
	if (rc < 0)
		return rc;
	json_t *update = update_of(r->f.graph->graph, a->response);
	rc = update ? sg_step_merge(r, NULL, update, err) : sg_error_nomem(err);
	json_decref(update);
	if (rc < 0)
		return rc;
	struct step s = answer_step(r, waiting, "answer");
	struct sg_error failure;
	resume(r, a->actor);
	if (take(&s, waiting, a, text.data, text.len, &failure) < 0) {
		sg_step_keep(&s);
		sg_frame_fail(r, "rule", &failure, true);
	}
	sg_step_finish(&s);
	if (r->phase == PHASE_READY)
		sg_run_ready(r);
	return 0;
}

int sg_interrupt_answer(
	struct run *r, const json_t *response, const char *actor, struct sg_error *err)
{
	json_t *waiting = NULL;
	if (!json_is_object(response))
		return sg_error_set(
			err, SG_EINVALID, "schema-violation", "the response is not an object");
	int rc = sg_json_parse(r->row.waiting, strlen(r->row.waiting), &waiting, err);
	if (rc < 0)
		return rc;
	const struct answer a = {
		.response = (json_t *)(uintptr_t)response, .actor = (char *)(uintptr_t)actor};
	rc = answer(r, waiting, &a, err);
	json_decref(waiting);
	return rc;
}

static void put_timeout(struct step *s, const char *on_timeout)
{
	struct run *r = s->run;
	struct sg_buf *b = &r->engine->scratch;
	sg_buf_reset(b);
	sg_buf_adds(b, "{\"on_timeout\":");
	sg_buf_add_json_string(b, on_timeout, strlen(on_timeout));
	sg_buf_addc(b, '}');
	(void)sg_batch_event(r->engine, r, s->ts_us, "system", "interrupt_timeout", r->step - 1,
		b->data, b->len, NULL, NULL);
}

static void time_out(struct run *r, const json_t *waiting)
{
	const char *what = json_string_value(json_object_get(waiting, "on_timeout"));
	struct step s = answer_step(r, waiting, "timeout");
	struct sg_error err;
	int rc;
	what = what ? what : "halt";
	resume(r, "system");
	put_timeout(&s, what);
	if (strncmp(what, "goto:", 5) == 0) {
		json_t *then = json_pack("{s:s, s:s}", "kind", "goto", "target", what + 5);
		rc = sg_step_record(&s, json_pack("{s:s}", "kind", "timeout"));
		rc = rc < 0 || !then ? sg_error_nomem(&err) : sg_step_mutate(&s, &err);
		if (rc == 0)
			rc = go_on(&s, then, &err);
		json_decref(then);
	} else {
		rc = sg_error_set(&err, SG_ETIMEOUT, "interrupt_timeout",
			"nobody answered \"%s\" before its deadline; on_timeout=halt",
			json_string_value(json_object_get(waiting, "prompt")));
	}
	if (rc < 0)
		sg_frame_fail(r, "runtime", &err, false);
	sg_step_finish(&s);
}

static int proceed(
	struct run *r, const json_t *waiting, const struct answer *a, struct sg_error *err)
{
	if (a->response)
		return answer(r, waiting, a, err);
	time_out(r, waiting);
	return 0;
}

void sg_interrupt_proceed(struct run *r)
{
	struct answer a = {0};
	struct sg_error err;
	json_t *waiting = NULL;
	int rc = sg_json_parse(r->row.waiting, strlen(r->row.waiting), &waiting, &err);
	if (rc == 0)
		rc = r->source->ask(r, &a, &err);
	if (rc > 0)
		rc = proceed(r, waiting, &a, &err);
	if (rc < 0)
		sg_run_fail(r, "rule", &err);
	json_decref(waiting);
	json_decref(a.response);
	free(a.actor);
}

void sg_interrupt_timed_out(struct run *r)
{
	json_t *waiting = NULL;
	if (r->row.status != SG_RUN_WAITING || !r->row.waiting ||
		sg_json_parse(r->row.waiting, strlen(r->row.waiting), &waiting, NULL) < 0)
		return;
	int64_t deadline = deadline_of(waiting);
	if (deadline && deadline <= sg_clock_utc_us())
		time_out(r, waiting);
	json_decref(waiting);
	if (r->phase == PHASE_READY)
		sg_run_ready(r);
}
