/* set: writes values into state fields: literals, and CLIPS expressions over the mirrored fields,
 * which the rules' own sandbox evaluates (rules.h, sg_rules_compute). All expressions see the state
 * as it was before the node. Pure. */
#include <string.h>

#include "run/internal.h"

#define MAX_EXPRESSIONS 64 /* of one node */

static int check_field(const struct sg_kind_load *l, const char *key, const char *name,
	const struct sg_field **ret, struct sg_error *err)
{
	*ret = sg_graph_find_field(l->graph, name);
	return *ret ? 0 : sg_kind_unknown_field(l->graph, key, name, err);
}

static int check_values(const struct sg_kind_load *l, const json_t *values, struct sg_error *err)
{
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)values, name, v) {
		const struct sg_field *f;
		json_t *reduced = NULL;
		int r = check_field(l, "values", name, &f, err);
		if (r < 0)
			return r;
		r = sg_graph_reduce(f, f->initial, v, &reduced, err);
		json_decref(reduced);
		if (r < 0)
			return sg_error_prefix(err, "config.values.%s", name);
	}
	return 0;
}

static int check_clips(const struct sg_kind_load *l, const json_t *clips, const json_t *values,
	struct sg_error *err)
{
	const char *name;
	json_t *v;
	if (json_object_size(clips) > MAX_EXPRESSIONS)
		return sg_error_set(err, SG_EINVALID, NULL,
			"config.clips: more than %d expressions", MAX_EXPRESSIONS);
	json_object_foreach ((json_t *)(uintptr_t)clips, name, v) {
		const struct sg_field *f;
		int r = check_field(l, "clips", name, &f, err);
		if (r < 0)
			return r;
		if (!json_is_string(v))
			return sg_error_set(err, SG_EINVALID, NULL,
				"config.clips.%s: a CLIPS expression is a text; literals belong "
				"under values",
				name);
		if (json_object_get(values, name))
			return sg_error_set(err, SG_EINVALID, NULL,
				"config: %s stands under both values and clips", name);
	}
	return 0;
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	const json_t *values = json_object_get(l->node->config, "values"),
		     *clips = json_object_get(l->node->config, "clips");
	(void)ret_data;
	if (json_object_size(values) + json_object_size(clips) == 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"config: set needs values: {field: literal} or clips: {field: expression}");
	int r = check_values(l, values, err);
	return r < 0 ? r : check_clips(l, clips, values, err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const json_t *values = json_object_get(x->node->config, "values");
	x->update = values ? json_deep_copy(values) : json_object();
	if (!x->update)
		return sg_error_nomem(err);
	return sg_exec_compute(x, err);
}

const struct sg_node_kind sg_kind_set = {
	.spec = {.name = "set",
		.config_schema = "{\"type\":\"object\",\"additionalProperties\":false,"
				 "\"properties\":{\"values\":{\"type\":\"object\"},"
				 "\"clips\":{\"type\":\"object\"}}}"},
	.prepare = prepare,
	.execute = execute,
};
