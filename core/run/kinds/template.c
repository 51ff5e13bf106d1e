/* template: renders "{field}" placeholders over the state into one text field. Pure. */
#include "base/cleanup.h"
#include "run/kinds.h"
#include "run/placeholders.h"

#define MAX_OUTPUT (8U << 20) /* bytes of a rendered text */

static void release(void *data)
{
	sg_template_destroy(data);
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	struct sg_error here;
	struct sg_template *t = NULL;
	if (!sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_STR), &here)) {
		*err = here;
		return -here.code;
	}
	int r = sg_template_parse(&t, l->graph, "template",
		json_string_value(json_object_get(l->node->config, "template")), err);
	if (r == 0)
		*ret_data = t;
	return r;
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	sg_autobuf out = SG_BUF_INIT(MAX_OUTPUT);
	int r = sg_template_render(x->data, x->state, &out, err);
	if (r < 0)
		return r;
	const char *field = json_string_value(json_object_get(x->node->config, "out"));
	x->update = json_pack("{s:s#}", field, out.data ? out.data : "", (int)out.len);
	return x->update ? SG_EXEC_DONE : sg_error_nomem(err);
}

const struct sg_node_kind sg_kind_template = {
	.spec = {.name = "template",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"template\",\"out\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"template\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"}}}"},
	.prepare = prepare,
	.release = release,
	.execute = execute,
};
