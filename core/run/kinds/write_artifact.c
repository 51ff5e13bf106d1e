/* write_artifact: keeps a text of the state, or the bytes that it is the base64 of, as an artifact
 * (artifacts.c), and writes the reference into a dict field. What it keeps lies in the store, in
 * the transaction of its own step, so nothing is kept twice or without its step. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "run/internal.h"

#define DEFAULT_OUT "artifact_ref"

static const char *text(const struct sg_node *n, const char *key)
{
	return json_string_value(json_object_get(n->config, key));
}

static const char *out_field(const struct sg_node *n)
{
	return text(n, "output_field") ? text(n, "output_field") : DEFAULT_OUT;
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	const struct sg_field *f = sg_graph_find_field(l->graph, out_field(l->node));
	(void)ret_data;
	if (!sg_kind_need_field(l, "content_field", SG_TYPE_BIT(SG_STR), err))
		return -SG_EINVALID;
	if (!f)
		return sg_kind_unknown_field(l->graph, "output_field", out_field(l->node), err);
	if (f->type != SG_DICT)
		return sg_error_set(err, SG_EINVALID, NULL,
			"config.output_field: the reference is a dict; the state field \"%s\" has "
			"type %s",
			f->name, sg_field_type_name(f->type));
	return 0;
}

/* *ret_bytes (owned, may stay NULL) holds what was decoded. */
static int content(
	const struct sg_exec *x, struct sg_artifact *ret, uint8_t **ret_bytes, struct sg_error *err)
{
	const char *field = text(x->node, "content_field");
	const char *encoding = text(x->node, "encoding");
	const json_t *v = json_object_get(x->state, field);
	if (!json_is_string(v))
		return sg_error_set(err, SG_EINVALID, "artifact-content",
			"the state field \"%s\" holds no text", field);
	*ret = (struct sg_artifact){.name = text(x->node, "name"),
		.content_type = text(x->node, "content_type"),
		.metadata = json_object_get(x->node->config, "metadata"),
		.data = json_string_value(v),
		.len = json_string_length(v)};
	if (!encoding || strcmp(encoding, "base64") != 0)
		return 0;
	*ret_bytes = malloc(ret->len + 1);
	int n = *ret_bytes ? sg_base64_decode(ret->data, ret->len, *ret_bytes, ret->len) : 0;
	if (!*ret_bytes)
		return sg_error_nomem(err);
	if (n < 0)
		return sg_error_set(err, SG_EINVALID, "artifact-content",
			"the state field \"%s\" is not base64", field);
	ret->data = *ret_bytes;
	ret->len = (size_t)n;
	return 0;
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	struct sg_artifact a;
	uint8_t *bytes = NULL;
	int r = content(x, &a, &bytes, err);
	json_t *ref = r < 0 ? NULL : sg_artifact_ref(x->run, &a);
	free(bytes);
	if (r < 0)
		return r;
	x->record = json_pack(
		"{s:s, s:s, s:o}", "kind", "artifact", "node", x->node->id, "artifact", ref);
	return x->record ? SG_EXEC_DONE : sg_error_nomem(err);
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const json_t *ref = json_object_get(record, "artifact");
	if (!json_is_object(ref))
		return sg_error_set(
			err, SG_ECORRUPT, "record-damaged", "a recorded artifact is no reference");
	x->update = json_pack("{s:O}", out_field(x->node), ref);
	return x->update ? 0 : sg_error_nomem(err);
}

static int store(struct sg_exec *x, struct sg_error *err)
{
	struct sg_artifact a;
	uint8_t *bytes = NULL;
	int r = content(x, &a, &bytes, err);
	if (r == 0)
		r = sg_artifact_put(x->run, json_object_get(x->record, "artifact"), &a, err);
	free(bytes);
	return r;
}

static enum sg_effects effects(const void *data)
{
	(void)data;
	return SG_EFFECTS_WRITE;
}

const struct sg_node_kind sg_kind_write_artifact = {
	.spec = {.name = "write_artifact",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"content_field\",\"name\","
			"\"content_type\"],\"additionalProperties\":false,\"properties\":{"
			"\"content_field\":{\"type\":\"string\"},"
			"\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255},"
			"\"content_type\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255},"
			"\"metadata\":{\"type\":\"object\"},"
			"\"encoding\":{\"enum\":[\"text\",\"base64\"]},"
			"\"output_field\":{\"type\":\"string\"},"
			"\"replay_policy\":{\"enum\":[\"must_stub\",\"fail_loud\"]}}}"},
	.prepare = prepare,
	.execute = execute,
	.apply = apply,
	.store = store,
	.effects = effects,
};
