/* retrieval: one query against one store or several (gather.c). The record holds the hits and the
 * digest of each index. */
#include "base/cleanup.h"
#include "run/kinds.h"
#include "run/store_nodes.h"

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	struct sg_error here = {0};
	(void)ret_data;
	if (sg_kind_need_field(l, "query", SG_TYPE_BIT(SG_STR), &here) &&
		sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_LIST), &here))
		return sg_kind_check_gather(l, err);
	if (err)
		*err = here;
	return -here.code;
}

static void found(struct sg_exec *x, void *ctx, json_t *result, const struct sg_error *failure)
{
	struct sg_error err;
	(void)ctx;
	int r = failure ? -failure->code : 0;
	if (r == 0)
		r = sg_exec_set_record(x,
			json_pack("{s:s, s:s, s:O, s:O}", "kind", "retrieval", "node", x->node->id,
				"stores", json_object_get(result, "stores"), "hits",
				json_object_get(result, "hits")),
			&err);
	json_decref(result);
	sg_exec_complete(x, failure ? failure : r < 0 ? &err : NULL);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const char *field = json_string_value(json_object_get(x->node->config, "query"));
	const json_t *text = json_object_get(x->state, field);
	if (!json_is_string(text))
		return sg_error_set(err, SG_EINVALID, "retrieval-query",
			"the state field \"%s\" holds no text", field);
	return sg_exec_gather(
		x, json_string_value(text), json_string_length(text), found, NULL, err);
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const char *out = json_string_value(json_object_get(x->node->config, "out"));
	json_t *hits = json_object_get(record, "hits");
	if (!json_is_array(hits))
		return sg_error_set(err, SG_ECORRUPT, "record-damaged", "a retrieval without hits");
	x->update = json_pack("{s:O}", out, hits);
	return x->update ? 0 : sg_error_nomem(err);
}

const struct sg_node_kind sg_kind_retrieval = {
	.spec = {.name = "retrieval",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"stores\",\"query\",\"out\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"stores\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":16,"
			"\"items\":{\"type\":\"string\",\"minLength\":1}},"
			"\"query\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"},"
			"\"k\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100},"
			"\"mode\":{\"enum\":[\"vector\",\"text\",\"hybrid\"]},"
			"\"filter\":{\"type\":\"object\"},\"int8\":{\"type\":\"boolean\"}}}"},
	.prepare = prepare,
	.execute = execute,
	.apply = apply,
	.elsewhere = true,
	.outside = true, /* it sees what the run wrote before */
	.searches = true,
	.needs = {{"stores", "read"}},
};
