/* GET /v1/registry/{kind}: the original's view of what graphs may use. Tools as [[tool]] declares
 * them, without what is the operator's own (command, environment, paths); stores as /v1/stores
 * shows them. Skills are a notion of the original's that nothing here can register. */
#include "api/internal.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

static json_t *tool_json(const json_t *declared)
{
	static const struct {
		const char *to, *from;
	} members[] = {{"description", "description"}, {"input_schema", "input"},
		{"output_schema", "output"}, {"permissions", "permissions"}};
	const char *id = json_string_value(json_object_get(declared, "id")),
		   *name = json_string_value(json_object_get(declared, "name")),
		   *protocol = json_string_value(json_object_get(declared, "protocol"));
	json_t *tool = json_pack("{s:s?, s:s?, s:s, s:O?}", "id", id, "name", name ? name : id,
		"protocol", protocol ? protocol : "jsonl", "side_effects",
		json_object_get(declared, "side_effects"));
	for (size_t i = 0; tool && i < SG_ARRAY_LEN(members); i++) {
		json_t *v = json_object_get(declared, members[i].from);
		if (v)
			(void)json_object_set(tool, members[i].to, v);
	}
	return tool;
}

static void reply(struct sg_call *c, const json_t *list)
{
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	struct sg_error err;
	if (sg_json_canonical(list, &b, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	sg_call_json(c, 200, &b);
}

static void tools(struct sg_call *c)
{
	json_auto_t *list = json_array();
	size_t i;
	const json_t *one;
	json_array_foreach (json_object_get(c->api->config->file, "tool"), i, one)
		(void)json_array_append_new(list, tool_json(one));
	reply(c, list);
}

static void skills(struct sg_call *c)
{
	json_auto_t *none = json_array();
	reply(c, none);
}

void sg_route_registry(struct sg_call *c)
{
	static const struct {
		const char *kind;
		void (*list)(struct sg_call *c);
	} kinds[] = {{"tools", tools}, {"stores", sg_route_stores}, {"skills", skills}};
	for (size_t i = 0; i < SG_ARRAY_LEN(kinds); i++) {
		if (strcmp(c->path_id, kinds[i].kind) != 0)
			continue;
		kinds[i].list(c);
		return;
	}
	char detail[128];
	(void)snprintf(detail, sizeof(detail), "unknown registry kind: '%s'", c->path_id);
	sg_call_problem(c, 404, detail);
}
