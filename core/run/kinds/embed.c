/* embed: a text field becomes a vector field, a list of 384 numbers. */
#include <stdio.h>
#include <stdlib.h>

#include "embed/embed.h"
#include "run/kinds.h"
#include "run/vectors.h"

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	(void)ret_data;
	struct sg_error here;
	if (!sg_kind_need_field(l, "input", SG_TYPE_BIT(SG_STR), &here) ||
		!sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_LIST), &here)) {
		*err = here;
		return -here.code;
	}
	return sg_vector_need_model(l, err);
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const char *out = json_string_value(json_object_get(x->node->config, "out"));
	float vector[SG_EMBED_DIM];
	int r = sg_exec_embedding_read(record, vector, err);
	if (r < 0)
		return r;
	x->update = json_pack("{s:o}", out, sg_vector_json(vector));
	return x->update ? 0 : sg_error_nomem(err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const char *field = json_string_value(json_object_get(x->node->config, "input"));
	const json_t *text = json_object_get(x->state, field);
	if (!json_is_string(text))
		return sg_error_set(err, SG_EINVALID, "embed-input",
			"the state field \"%s\" holds no text", field);
	return sg_exec_embed(x, json_string_value(text), json_string_length(text), err);
}

const struct sg_node_kind sg_kind_embed = {
	.spec = {.name = "embed",
		.config_schema = "{\"type\":\"object\",\"required\":[\"input\",\"out\"],"
				 "\"additionalProperties\":false,\"properties\":{"
				 "\"input\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"}}}"},
	.prepare = prepare,
	.execute = execute,
	.apply = apply,
	.elsewhere = true,
	.embeds = true,
};
