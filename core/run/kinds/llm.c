/* llm: asks a language model on this host. A text goes in, filled from the state; a text comes out,
 * or JSON that fits a schema and becomes state fields. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/schema.h"
#include "run/chat.h"
#include "run/placeholders.h"

struct data {
	struct sg_chat chat;
	struct sg_template *system, *prompt; /* owned; system may be NULL */
};

static void release(void *arg)
{
	struct data *d = arg;
	if (!d)
		return;
	sg_chat_finish(&d->chat);
	sg_template_destroy(d->system);
	sg_template_destroy(d->prompt);
	free(d);
}

static int parse_text(const struct sg_kind_load *l, const char *key, struct sg_template **ret,
	struct sg_error *err)
{
	const char *text = json_string_value(json_object_get(l->node->config, key));
	return text ? sg_template_parse(ret, l->graph, key, text, err) : 0;
}

static int check_outputs(const struct sg_kind_load *l, struct sg_error *err)
{
	const json_t *schema = json_object_get(l->node->config, "schema"),
		     *properties = json_object_get(schema, "properties");
	json_t *outputs = json_object_get(l->node->config, "outputs"), *v;
	const char *field;
	if (!schema)
		return sg_error_set(err, SG_EINVALID, NULL,
			"config.outputs: members need a schema of the answer");
	json_object_foreach (outputs, field, v) {
		if (!sg_graph_find_field(l->graph, field))
			return sg_kind_unknown_field(l->graph, "outputs", field, err);
		if (!json_object_get(properties, json_string_value(v)))
			return sg_error_set(err, SG_EINVALID, NULL,
				"config.outputs: the schema has no property \"%.64s\"",
				json_string_value(v));
	}
	return 0;
}

static int check_out(const struct sg_kind_load *l, struct sg_error *err)
{
	struct sg_error here = {0};
	unsigned types = json_object_get(l->node->config, "schema") ? SG_TYPE_BIT(SG_DICT)
								    : SG_TYPE_BIT(SG_STR);
	if (sg_kind_need_field(l, "out", types, &here))
		return 0;
	*err = here;
	return -here.code;
}

static int check_schema(const struct sg_kind_load *l, struct sg_error *err)
{
	const json_t *schema = json_object_get(l->node->config, "schema");
	const char *type = json_string_value(json_object_get(schema, "type"));
	if (!schema)
		return json_object_get(l->node->config, "response_format")
			       ? sg_error_set(err, SG_EINVALID, NULL,
					 "config.response_format: it is the form of an answer with "
					 "a schema")
			       : 0;
	int r = sg_schema_check(schema, err);
	if (r < 0)
		return sg_error_prefix(err, "config.schema");
	if (!type || strcmp(type, "object") != 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"config.schema: an answer is an object; say type: object");
	return 0;
}

static int fill(const struct sg_kind_load *l, void *data, struct sg_error *err)
{
	struct data *d = data;
	const json_t *config = l->node->config;
	if (!json_object_get(config, "out") == !json_object_get(config, "outputs"))
		return sg_error_set(
			err, SG_EINVALID, NULL, "config: one of out and outputs is needed");
	int r = check_schema(l, err);
	if (r == 0)
		r = json_object_get(config, "out") ? check_out(l, err) : check_outputs(l, err);
	if (r == 0)
		r = parse_text(l, "system", &d->system, err);
	if (r == 0)
		r = parse_text(l, "prompt", &d->prompt, err);
	if (r == 0)
		r = sg_chat_prepare(l, &d->chat, err);
	d->chat.schema = json_incref(json_object_get(config, "schema"));
	return r;
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	return sg_kind_make(l, sizeof(struct data), fill, release, ret_data, err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const struct data *d = x->data;
	sg_autobuf system = SG_BUF_INIT(SG_CHAT_MAX_PROMPT),
		   prompt = SG_BUF_INIT(SG_CHAT_MAX_PROMPT);
	int r = d->system ? sg_template_render(d->system, x->state, &system, err) : 0;
	if (r == 0)
		r = sg_template_render(d->prompt, x->state, &prompt, err);
	return r < 0 ? r : sg_chat_ask(x, &d->chat, &system, &prompt, NULL, err);
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const struct data *d = x->data;
	json_auto_t *answer = NULL;
	const char *out = json_string_value(json_object_get(x->node->config, "out")), *field;
	json_t *outputs = json_object_get(x->node->config, "outputs"), *v;
	int r = sg_chat_read(x, &d->chat, record, &answer, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (out)
		r = sg_chat_put(x, out, json_incref(answer), err);
	json_object_foreach (outputs, field, v) {
		json_t *value = json_object_get(answer, json_string_value(v));
		if (r == 0 && value) /* what the schema does not require may be missing */
			r = sg_chat_put(x, field, json_incref(value), err);
	}
	return r < 0 ? r : sg_chat_done(x, err);
}

const struct sg_node_kind sg_kind_llm = {
	.spec = {.name = "llm",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"prompt\"],\"additionalProperties\":"
			"false,\"properties\":{" SG_CHAT_PROPERTIES ","
			"\"system\":{\"type\":\"string\"},\"prompt\":{\"type\":\"string\"},"
			"\"schema\":{\"type\":\"object\"},\"out\":{\"type\":\"string\"},"
			"\"outputs\":{\"type\":\"object\",\"additionalProperties\":{\"type\":"
			"\"string\"}}}}"},
	.prepare = prepare,
	.release = release,
	.execute = execute,
	.apply = apply,
	.store = sg_chat_store,
	.effects = sg_chat_effects,
	.cancel = sg_exec_offload_cancel,
	.elsewhere = true,
	.outside = true,
	.asks = true,
};
