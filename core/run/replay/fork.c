/* See fork.h. */
#include "run/replay/fork.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/schema.h"
#include "run/internal.h"

#define FACT \
	"{\"type\":\"object\",\"properties\":{\"template\":{\"type\":\"string\"}," \
	"\"head\":{\"type\":\"string\"},\"slots\":{\"type\":\"object\"}}," \
	"\"additionalProperties\":false}"

static const char schema[] =
	"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
	"\"state_overrides\":{\"type\":\"object\"},"
	"\"facts_assert\":{\"type\":\"array\",\"maxItems\":1000,\"items\":" FACT "},"
	"\"facts_retract\":{\"type\":\"array\",\"maxItems\":1000,\"items\":" FACT "},"
	"\"rule_pack_version\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":130},"
	"\"node_output_overrides\":{\"type\":\"object\"},"
	"\"respond_payloads\":{\"type\":\"object\"}}}";

static int check_objects(const json_t *map, const char *name, bool steps, struct sg_error *err)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)map, key, value) {
		if (steps && (!*key || key[strspn(key, "0123456789")]))
			return sg_error_set(err, SG_EINVALID, "mutation",
				"%s: \"%.64s\" is not a step", name, key);
		if (!json_is_object(value))
			return sg_error_set(err, SG_EINVALID, "mutation",
				"%s: what stands for \"%.64s\" is not an object", name, key);
	}
	return 0;
}

static int check_facts(const json_t *list, const char *name, struct sg_error *err)
{
	size_t i;
	json_t *one;
	json_array_foreach ((json_t *)(uintptr_t)list, i, one)
		if (!json_object_get(one, "template") == !json_object_get(one, "head"))
			return sg_error_set(err, SG_EINVALID, "mutation",
				"%s[%zu]: one of \"template\" and \"head\" names the fact", name,
				i);
	return 0;
}

static json_t *without_nulls(const json_t *mutation)
{
	json_t *own = json_object();
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)mutation, key, value)
		if (own && !json_is_null(value))
			(void)json_object_set(own, key, value);
	return own;
}

/* Members in canonical order, as they are stored: what is applied, or refused, first must not
 * depend on how they were sent. */
static int in_order(const json_t *mutation, json_t **ret, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(64U << 20);
	int rc = sg_json_print(mutation, &b, err);
	return rc < 0 ? rc : sg_json_parse(b.data, b.len, ret, err);
}

int sg_mutation_check(const json_t *mutation, json_t **ret, struct sg_error *err)
{
	json_auto_t *rules = NULL;
	json_auto_t *own = NULL;
	int rc = json_is_object(mutation)
			 ? 0
			 : sg_error_set(err, SG_EINVALID, "mutation", "the mutation is no object");
	if (rc == 0 && !(own = without_nulls(mutation)))
		rc = sg_error_nomem(err);
	if (rc == 0)
		rc = sg_json_parse(schema, sizeof(schema) - 1, &rules, err);
	if (rc == 0 && (rc = sg_schema_validate(rules, own, err)) < 0)
		(void)sg_error_prefix(err, "mutation");
	if (rc == 0)
		rc = check_objects(json_object_get(own, "node_output_overrides"),
			"node_output_overrides", false, err);
	if (rc == 0)
		rc = check_objects(
			json_object_get(own, "respond_payloads"), "respond_payloads", true, err);
	if (rc == 0)
		rc = check_facts(json_object_get(own, "facts_assert"), "facts_assert", err);
	if (rc == 0)
		rc = check_facts(json_object_get(own, "facts_retract"), "facts_retract", err);
	return rc == 0 ? in_order(own, ret, err) : rc;
}

int sg_cf_hash(const char *graph_hash, const json_t *mutation, char ret_hex[SG_SHA256_HEX],
	struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(64U << 20);
	sg_buf_add(&b, "stargraph-cf-v1", sizeof("stargraph-cf-v1"));
	sg_buf_add(&b, graph_hash, strlen(graph_hash) + 1);
	int rc = sg_json_canonical(mutation, &b, err);
	if (rc == 0)
		sg_sha256_hex(b.data, b.len, ret_hex);
	return rc;
}

/* ---- as stored ---- */

void sg_fork_finish(struct sg_fork *f)
{
	json_decref(f->mutation);
	free(f->actor);
	*f = (struct sg_fork){0};
}

int sg_fork_print(const struct sg_fork *f, struct sg_buf *out, struct sg_error *err)
{
	json_auto_t *j = json_pack("{s:s, s:s, s:I, s:b, s:O, s:s, s:I}", "actor", f->actor,
		"cf_hash", f->cf_hash, "first", (json_int_t)f->first, "inherit_answers", f->inherit,
		"mutation", f->mutation, "parent", f->parent, "step", (json_int_t)f->step);
	return j ? sg_json_print(j, out, err) : sg_error_nomem(err);
}

int sg_fork_parse(const char *text, struct sg_fork *ret, struct sg_error *err)
{
	json_auto_t *j = NULL;
	int rc = sg_json_parse(text, strlen(text), &j, err);
	if (rc < 0)
		return rc;
	const char *parent = json_string_value(json_object_get(j, "parent")),
		   *hash = json_string_value(json_object_get(j, "cf_hash")),
		   *actor = json_string_value(json_object_get(j, "actor"));
	json_t *mutation = NULL;
	if (!parent || strlen(parent) >= SG_RUN_ID_TEXT || !hash || strlen(hash) != 64 || !actor ||
		!json_is_integer(json_object_get(j, "step")) ||
		!json_is_integer(json_object_get(j, "first")) ||
		sg_mutation_check(json_object_get(j, "mutation"), &mutation, NULL) < 0)
		return sg_error_set(
			err, SG_ECORRUPT, NULL, "what the fork was made with is damaged");
	struct sg_fork f = {.mutation = mutation,
		.step = json_integer_value(json_object_get(j, "step")),
		.first = json_integer_value(json_object_get(j, "first")),
		.inherit = json_is_true(json_object_get(j, "inherit_answers")),
		.actor = strdup(actor)};
	(void)snprintf(f.parent, sizeof(f.parent), "%s", parent);
	(void)snprintf(f.cf_hash, sizeof(f.cf_hash), "%s", hash);
	if (!f.actor) {
		sg_fork_finish(&f);
		return sg_error_nomem(err);
	}
	*ret = f;
	return 0;
}

/* ---- what it changes ---- */

static int override_state(struct run *r, const json_t *fields, struct sg_error *err)
{
	const struct sg_graph *g = r->f.graph->graph;
	json_auto_t *set = json_object();
	json_auto_t *none = json_object();
	const char *name;
	json_t *value;
	if (!set || !none)
		return sg_error_nomem(err);
	json_object_foreach ((json_t *)(uintptr_t)fields, name, value) {
		const struct sg_field *f = sg_graph_find_field(g, name);
		json_t *typed = NULL;
		if (!f)
			return sg_error_set(err, SG_EINVALID, "mutation",
				"state_overrides: no state field \"%s\"", name);
		struct sg_field replaced = *f;
		replaced.reducer = SG_REDUCE_REPLACE;
		int rc = sg_graph_reduce(
			&replaced, json_object_get(r->f.state, name), value, &typed, err);
		if (rc < 0)
			return sg_error_prefix(err, "state_overrides");
		(void)json_object_set_new(set, name, typed);
	}
	return sg_step_merge(r, set, none, err);
}

static const char *template_of(const json_t *fact)
{
	const char *name = json_string_value(json_object_get(fact, "template"));
	return name ? name : json_string_value(json_object_get(fact, "head"));
}

static int assert_facts(
	const struct sg_fork *f, struct step *s, const json_t *facts, struct sg_error *err)
{
	struct run *r = s->run;
	char ts[SG_TIME_TEXT], step[24];
	sg_autofree char *source = NULL;
	size_t i;
	json_t *one;
	sg_time_format(s->ts_us, ts);
	(void)snprintf(step, sizeof(step), "%lld", (long long)r->step);
	if (asprintf(&source, SG_RUN_FORK_ACTOR "%s", f->actor) < 0)
		return sg_error_nomem(err);
	json_array_foreach ((json_t *)(uintptr_t)facts, i, one) {
		json_t *slots = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "_origin", "user",
			"_source", source, "_run_id", r->row.run_id, "_step", step, "_confidence",
			"1.0", "_timestamp", ts);
		json_t *given = json_object_get(one, "slots");
		if (!slots || (given && json_object_update(slots, given) < 0)) {
			json_decref(slots);
			return sg_error_nomem(err);
		}
		int rc = sg_carried_add(&r->f, template_of(one), slots, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int retract_facts(struct run *r, const json_t *facts, struct sg_error *err)
{
	size_t i;
	json_t *one;
	json_array_foreach ((json_t *)(uintptr_t)facts, i, one) {
		json_t *slots = json_object_get(one, "slots");
		json_auto_t *pattern = json_pack("{s:s, s:o}", "template", template_of(one),
			"slots", slots ? json_incref(slots) : json_object());
		if (!pattern)
			return sg_error_nomem(err);
		sg_carried_retract(&r->f, pattern);
	}
	return 0;
}

int sg_fork_mutate(const struct sg_fork *f, struct step *s, struct sg_error *err)
{
	const json_t *m = f->mutation, *part;
	int rc = 0;
	if (s->run->step != f->step)
		return 0;
	if ((part = json_object_get(m, "state_overrides")))
		rc = override_state(s->run, part, err);
	if (rc == 0 && (part = json_object_get(m, "facts_retract")))
		rc = retract_facts(s->run, part, err);
	if (rc == 0 && (part = json_object_get(m, "facts_assert")))
		rc = assert_facts(f, s, part, err);
	return rc;
}

json_t *sg_fork_output(const struct sg_fork *f, const struct sg_exec *x)
{
	const char *path = sg_frame_path(&x->run->f, x->node->id);
	return x->run->step < f->step
		       ? NULL
		       : json_object_get(
				 json_object_get(f->mutation, "node_output_overrides"), path);
}

json_t *sg_fork_answer(const struct sg_fork *f, int64_t step)
{
	char key[24];
	(void)snprintf(key, sizeof(key), "%lld", (long long)step);
	return json_object_get(json_object_get(f->mutation, "respond_payloads"), key);
}
