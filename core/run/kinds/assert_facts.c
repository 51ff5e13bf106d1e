/* assert_facts: typed deltas into a fact store, in the batch that carries the step. The deltas are
 * a list in the state, or stand in the node with {field} placeholders, so that a graph's rules
 * decide by their way through it. With `memory`, each delta counts as a rule's match of the
 * episodes it was made from, in the same batch: facts and marks hold together or not at all.
 *
 * A delta that does not apply (replaces names a fact that is gone) must fail its step, not the
 * batch with every other run's steps in it. So the deltas are tried on the knowledge thread, and
 * are put into the batch only when nothing came between: all that was asserted before was durable
 * when the trial began, and nothing was asserted since. Else they are tried again. */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "knowledge/fact.h"
#include "knowledge/memory.h"
#include "run/internal.h"
#include "run/store_nodes.h"

/* Between execute and done: x->job. */
struct trial {
	json_t *deltas; /* owned */
	uint64_t made;	/* engine->facts_made when it began */
	bool clean;	/* and all of them were durable */
};

static int need_deltas(const struct sg_kind_load *l, struct sg_error *err)
{
	const json_t *deltas = json_object_get(l->node->config, "deltas"), *one;
	size_t i;
	if (json_is_string(deltas))
		return sg_kind_need_field(l, "deltas", SG_TYPE_BIT(SG_LIST), err) ? 0 : -err->code;
	json_array_foreach (deltas, i, one)
		if (!json_is_object(one))
			return sg_error_set(
				err, SG_EINVALID, NULL, "config.deltas: item %zu is no mapping", i);
	return 0;
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	struct sg_error here = {0};
	const json_t *config = l->node->config;
	(void)ret_data;
	if (need_deltas(l, &here) < 0 ||
		(json_object_get(config, "sources") &&
			!sg_kind_need_field(l, "sources", SG_TYPE_BIT(SG_LIST), &here)) ||
		(json_object_get(config, "out") &&
			!sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_LIST), &here)) ||
		!sg_kind_need_store(l, json_string_value(json_object_get(config, "store")),
			1U << SG_KNOW_FACT, &here) ||
		(json_object_get(config, "memory") &&
			!sg_kind_need_store(l, json_string_value(json_object_get(config, "memory")),
				1U << SG_KNOW_MEMORY, &here))) {
		if (err)
			*err = here;
		return -here.code;
	}
	return 0;
}

/* ---- what the deltas are ---- */

/* A copy with every {field} in its texts filled; as deep as the document, which is bounded. */
static json_t *fill(const json_t *v, const json_t *state)
{
	json_t *out = json_is_object(v) ? json_object() : json_is_array(v) ? json_array() : NULL;
	const char *key;
	size_t i;
	json_t *one;
	if (json_is_string(v)) {
		json_auto_t *slots = json_pack("{s:O}", "v", v);
		json_auto_t *filled = slots ? sg_graph_fill(slots, state) : NULL;
		return json_incref(json_object_get(filled, "v"));
	}
	if (!json_is_object(v) && !json_is_array(v))
		return json_incref((json_t *)(uintptr_t)v);
	json_object_foreach ((json_t *)(uintptr_t)v, key, one)
		if (json_object_set_new(out, key, fill(one, state)) < 0)
			goto nomem;
	json_array_foreach (v, i, one)
		if (json_array_append_new(out, fill(one, state)) < 0)
			goto nomem;
	return out;
nomem:
	json_decref(out);
	return NULL;
}

/* Ids, of a list of ids or of episodes as recall gives them. */
static json_t *source_ids(const struct sg_exec *x)
{
	const char *field = json_string_value(json_object_get(x->node->config, "sources"));
	json_t *ids = json_array(), *one;
	size_t i;
	json_array_foreach (field ? json_object_get(x->state, field) : NULL, i, one) {
		json_t *id = json_is_object(one) ? json_object_get(one, "id") : one;
		if (json_array_append(ids, id) < 0) {
			json_decref(ids);
			return NULL;
		}
	}
	return ids;
}

/* The time and the sources where a delta names none. */
static int complete(const struct sg_exec *x, json_t *deltas, struct sg_error *err)
{
	char now[SG_TIME_TEXT];
	json_auto_t *ids = source_ids(x);
	size_t i;
	json_t *d;
	if (!ids)
		return sg_error_set(err, SG_EINVALID, "ConsolidationRuleError",
			"sources holds something that is neither an id nor an episode");
	sg_time_format(sg_clock_utc_us(), now);
	json_array_foreach (deltas, i, d) {
		if (!json_is_object(d))
			return sg_error_set(err, SG_EINVALID, "ConsolidationRuleError",
				"delta %zu: it is no mapping", i);
		if ((!json_object_get(d, "promotion_ts") &&
			    json_object_set_new(d, "promotion_ts", json_string(now)) < 0) ||
			(!json_object_get(d, "source_episode_ids") && json_array_size(ids) &&
				json_object_set(d, "source_episode_ids", ids) < 0))
			return sg_error_nomem(err);
	}
	return 0;
}

static int make(const struct sg_exec *x, json_t **ret, struct sg_error *err)
{
	const json_t *deltas = json_object_get(x->node->config, "deltas");
	const char *field = json_string_value(deltas);
	const json_t *in_state = field ? json_object_get(x->state, field) : NULL;
	if (field && !json_is_array(in_state))
		return sg_error_set(err, SG_EINVALID, "ConsolidationRuleError",
			"the state field \"%s\" holds no list", field);
	json_auto_t *list = field ? json_deep_copy(in_state) : fill(deltas, x->state);
	int r = list ? complete(x, list, err) : sg_error_nomem(err);
	if (r == 0)
		*ret = json_incref(list);
	return r;
}

/* ---- trial and write ---- */

static void free_trial(struct sg_exec *x)
{
	struct trial *j = x->job;
	x->job = NULL;
	if (j)
		json_decref(j->deltas);
	free(j);
}

/* On the knowledge thread. */
static int try_deltas(json_t *args, struct sg_txn *t, json_t **ret, struct sg_error *err)
{
	return sg_know_try_deltas(t, json_string_value(json_object_get(args, "store")),
		json_object_get(args, "deltas"), ret, err);
}

static int count_matches(
	struct sg_txn *t, const char *memory, const json_t *delta, struct sg_error *err)
{
	int r = 0;
	size_t i;
	const json_t *one;
	json_array_foreach (json_object_get(delta, "source_episode_ids"), i, one) {
		const char *id = json_string_value(one);
		if (r == 0 && id)
			r = sg_know_touch(t, memory, &id, 1, false, true, 0, err);
	}
	return r;
}

/* On the writer thread. */
static int write_deltas(const json_t *o, struct sg_txn *t, struct sg_error *err)
{
	const char *store = json_string_value(json_object_get(o, "store"));
	const char *memory = json_string_value(json_object_get(o, "memory"));
	int r = 0;
	size_t i;
	const json_t *d;
	json_array_foreach (json_object_get(o, "deltas"), i, d) {
		if (r == 0)
			r = sg_know_apply_delta(t, store, d, err);
		if (r == 0 && memory)
			r = count_matches(t, memory, d, err);
	}
	return r;
}

static int put(struct sg_exec *x, json_t *ids, struct sg_error *err)
{
	struct trial *j = x->job;
	json_t *store = json_object_get(x->node->config, "store");
	int r = sg_exec_set_record(x,
		json_pack("{s:s, s:s, s:O, s:O, s:O}", "kind", "assert_facts", "node", x->node->id,
			"store", store, "deltas", j->deltas, "fact_ids", ids),
		err);
	if (r == 0)
		r = sg_exec_write(x,
			json_pack("{s:O, s:O, s:O*}", "store", store, "deltas", j->deltas, "memory",
				json_object_get(x->node->config, "memory")),
			write_deltas, err);
	if (r == 0) {
		x->engine->facts_made++;
		x->engine->gather->n_facts++;
	}
	return r;
}

static int attempt(struct sg_exec *x, struct sg_error *err);

static void done(struct sg_exec *x, json_t *ids, const struct sg_error *err)
{
	const struct trial *j = x->job;
	struct sg_error here = {0};
	bool stale = !j->clean || j->made != x->engine->facts_made;
	int r = 0;
	if (x->run && stale && !x->engine->failed && !x->engine->stopping)
		r = attempt(x, &here); /* whatever it found is of a store that has moved on */
	else if (x->run && !err)
		r = stale ? sg_error_set(&here, SG_EBUSY, "stopping", "the engine is stopping")
			  : put(x, ids, &here);
	json_decref(ids);
	if (r == SG_EXEC_PENDING)
		return;
	free_trial(x);
	sg_exec_complete(x, r < 0 ? &here : err);
}

static int attempt(struct sg_exec *x, struct sg_error *err)
{
	struct trial *j = x->job;
	j->made = x->engine->facts_made;
	j->clean = j->made == x->engine->facts_durable;
	/* A copy: the thread counts references of its own. */
	json_t *deltas = json_deep_copy(j->deltas);
	json_t *store = json_deep_copy(json_object_get(x->node->config, "store"));
	return sg_exec_read(x, json_pack("{s:o, s:o}", "store", store, "deltas", deltas),
		try_deltas, done, err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	struct trial *j = calloc(1, sizeof(*j));
	if (!j)
		return sg_error_nomem(err);
	x->job = j;
	int r = make(x, &j->deltas, err);
	if (r == 0)
		r = attempt(x, err);
	if (r < 0)
		free_trial(x);
	return r;
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const char *out = json_string_value(json_object_get(x->node->config, "out"));
	json_t *ids = json_object_get(record, "fact_ids");
	if (!json_is_array(ids))
		return sg_error_set(
			err, SG_ECORRUPT, "record-damaged", "deltas without the facts' ids");
	if (!out)
		return 0;
	x->update = json_pack("{s:O}", out, ids);
	return x->update ? 0 : sg_error_nomem(err);
}

const struct sg_node_kind sg_kind_assert_facts = {
	.spec = {.name = "assert_facts",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"store\",\"deltas\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"store\":{\"type\":\"string\",\"minLength\":1},"
			"\"memory\":{\"type\":\"string\",\"minLength\":1},"
			"\"deltas\":{\"type\":[\"string\",\"array\"]},"
			"\"sources\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"}}}"},
	.prepare = prepare,
	.execute = execute,
	.apply = apply,
	/* Not elsewhere: its deltas and its step are in one batch, so it is not started ahead. */
	.outside = true,
	.needs = {{"store", "write"}, {"memory", "write"}},
};
