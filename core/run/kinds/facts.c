/* facts: the facts of a fact store that match a pattern, by id. */
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "knowledge/fact.h"
#include "run/store_nodes.h"

#define DEFAULT_LIMIT 100

static const char *const slots[] = {"user", "agent", "subject", "predicate", "object"};

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	struct sg_error here = {0};
	(void)ret_data;
	if (!sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_LIST), &here) ||
		(json_object_get(l->node->config, "count") &&
			!sg_kind_need_field(l, "count", SG_TYPE_BIT(SG_INT), &here)) ||
		!sg_kind_need_store(l, json_string_value(json_object_get(l->node->config, "store")),
			1U << SG_KNOW_FACT, &here)) {
		if (err)
			*err = here;
		return -here.code;
	}
	return 0;
}

/* On the knowledge thread. */
static int read_facts(json_t *args, struct sg_txn *t, json_t **ret, struct sg_error *err)
{
	return sg_know_facts(t, json_string_value(json_object_get(args, "store")),
		json_object_get(args, "pattern"),
		(size_t)json_integer_value(json_object_get(args, "limit")), ret, err);
}

static void done(struct sg_exec *x, json_t *facts, const struct sg_error *err)
{
	struct sg_error here;
	if (!err &&
		sg_exec_set_record(x,
			json_pack("{s:s, s:s, s:O, s:O}", "kind", "facts", "node", x->node->id,
				"store", json_object_get(x->node->config, "store"), "facts", facts),
			&here) < 0)
		err = &here;
	json_decref(facts);
	sg_exec_complete(x, err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const json_t *config = x->node->config, *limit = json_object_get(config, "limit");
	json_auto_t *pattern = json_object();
	for (size_t i = 0; i < SG_ARRAY_LEN(slots); i++) {
		if (!json_object_get(config, slots[i]))
			continue;
		json_t *v = sg_kind_text(x, slots[i], err);
		if (!v || json_object_set_new(pattern, slots[i], v) < 0)
			return v ? sg_error_nomem(err) : -err->code;
	}
	return sg_exec_read(x,
		json_pack("{s:O, s:O, s:I}", "store", json_object_get(config, "store"), "pattern",
			pattern, "limit",
			limit ? json_integer_value(limit) : (json_int_t)DEFAULT_LIMIT),
		read_facts, done, err);
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const char *out = json_string_value(json_object_get(x->node->config, "out"));
	const char *count = json_string_value(json_object_get(x->node->config, "count"));
	json_t *facts = json_object_get(record, "facts");
	if (!json_is_array(facts))
		return sg_error_set(err, SG_ECORRUPT, "record-damaged", "a record without facts");
	x->update = json_pack("{s:O}", out, facts);
	if (!x->update || (count && json_object_set_new(x->update, count,
					    json_integer((json_int_t)json_array_size(facts))) < 0))
		return sg_error_nomem(err);
	return 0;
}

const struct sg_node_kind sg_kind_facts = {
	.spec = {.name = "facts",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"store\",\"out\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"store\":{\"type\":\"string\",\"minLength\":1},"
			"\"user\":{\"type\":\"string\"},\"agent\":{\"type\":\"string\"},"
			"\"subject\":{\"type\":\"string\"},\"predicate\":{\"type\":\"string\"},"
			"\"object\":{\"type\":\"string\"},"
			"\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000},"
			"\"count\":{\"type\":\"string\"},"
			"\"out\":{\"type\":\"string\"}}}"},
	.prepare = prepare,
	.execute = execute,
	.apply = apply,
	.elsewhere = true,
	.outside = true,
	.needs = {{"store", "read"}},
};
