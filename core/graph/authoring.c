/* The authoring format (no ir_version; state, nodes as a mapping, routes), lowered to the IR. Each
 * part of the result knows where it stood in the source, so that later errors point there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pystr.h"
#include "graph/reader.h"

struct lowering {
	const struct sg_reader *r;
	const json_t *doc;
	json_t *ir, *origins, *rules;
};

bool sg_authoring_is(const json_t *doc)
{
	return json_is_object(doc) && !json_object_get(doc, "ir_version");
}

static int fail(
	const struct lowering *l, const char *pointer, int key, const char *text, const char *word)
{
	return sg_reader_fail(l->r, pointer, key, "%s \"%.64s\"", text, word);
}

static void origin(struct lowering *l, const char *lowered, const char *source)
{
	(void)json_object_set_new(l->origins, lowered, json_string(source));
}

static int lower_state(struct lowering *l)
{
	const json_t *state = json_object_get(l->doc, "state");
	const char *name;
	json_t *v;
	if (!state || json_is_null(state))
		return 0;
	json_t *schema = json_object();
	(void)json_object_set_new(l->ir, "state_schema", schema);
	origin(l, "/state_schema", "/state");
	if (!json_is_object(state))
		return sg_reader_fail(l->r, "/state", 0, "state must be a mapping of field: type");
	json_object_foreach ((json_t *)state, name, v) {
		json_t *own = json_is_string(v) ? json_pack("{s:O}", "type", v) : json_deep_copy(v);
		if (json_is_object(own) && !json_object_get(own, "type"))
			(void)json_object_set_new(own, "type", json_string("str"));
		if (json_is_object(own) && !json_object_get(own, "route"))
			(void)json_object_set_new(own, "route", json_false());
		if (json_object_set_new(schema, name, own) < 0)
			return sg_error_nomem(l->r->err);
	}
	return 0;
}

/* `std.web_search` means version 1, as in the original. */
static json_t *tool_version(json_t *v)
{
	const char *s = json_string_value(v);
	return s && !strchr(s, '@') ? json_sprintf("%s@1", s) : json_incref(v);
}

static int lower_tools(json_t *config)
{
	json_t *tool = json_object_get(config, "tool"), *tools = json_object_get(config, "tools"),
	       *v;
	size_t i;
	if (json_is_string(tool) && json_object_set_new(config, "tool", tool_version(tool)) < 0)
		return -1;
	json_array_foreach (tools, i, v)
		if (json_array_set_new(tools, i, tool_version(v)) < 0)
			return -1;
	return 0;
}

static json_t *lower_node(struct lowering *l, const char *name, const json_t *v, const char *at)
{
	json_t *config = json_deep_copy(v), *node = json_pack("{s:s}", "id", name);
	json_t *kind = json_object_get(config, "kind"), *spec = json_object_get(config, "spec");
	if (json_is_string(kind))
		(void)json_object_set(node, "kind", kind);
	else
		(void)sg_reader_fail(l->r, at, 0, "node \"%.64s\" has no kind", name);
	if (spec)
		(void)json_object_set(node, "spec", spec);
	(void)json_object_del(config, "kind");
	(void)json_object_del(config, "spec");
	if (lower_tools(config) < 0 || json_object_set_new(node, "config", config) < 0) {
		json_decref(node);
		return NULL;
	}
	return node;
}

static int lower_nodes(struct lowering *l)
{
	const json_t *nodes = json_object_get(l->doc, "nodes");
	char at[SG_GRAPH_POINTER_MAX], lowered[SG_GRAPH_POINTER_MAX];
	json_t *list = json_array(), *v;
	const char *name;
	(void)json_object_set_new(l->ir, "nodes", list);
	if (!json_is_object(nodes) || json_object_size(nodes) == 0)
		return sg_reader_fail(l->r, "/nodes", 0,
			"nodes must be a mapping of name: {kind: …}, with at least one");
	json_object_foreach ((json_t *)nodes, name, v) {
		sg_reader_child(at, "/nodes", name);
		sg_reader_item(lowered, "/nodes", json_array_size(list));
		origin(l, lowered, at);
		if (!json_is_object(v))
			return sg_reader_fail(
				l->r, at, 0, "node \"%.64s\" must be a mapping with a kind", name);
		if (!json_is_string(json_object_get(v, "kind")))
			return sg_reader_fail(l->r, at, 0, "node \"%.64s\" has no kind", name);
		/* every key but kind and spec is configuration, so its errors stand there */
		sg_reader_child(lowered, lowered, "config");
		origin(l, lowered, at);
		if (json_array_append_new(list, lower_node(l, name, v, at)) < 0)
			return sg_error_nomem(l->r->err);
	}
	return 0;
}

static bool has_node(const struct lowering *l, const char *name)
{
	return json_object_get(json_object_get(l->doc, "nodes"), name) != NULL;
}

static int unknown_node(
	const struct lowering *l, const char *at, int key, const char *what, const char *word)
{
	const json_t *nodes = json_object_get(l->doc, "nodes");
	sg_autofree const char **names = calloc(json_object_size(nodes) + 2, sizeof(*names));
	size_t n = 0;
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)nodes, name, v)
		if (names)
			names[n++] = name;
	if (names)
		names[n++] = "done";
	return sg_reader_unknown(l->r, at, key, what, word, names, n);
}

static int add_rule(struct lowering *l, const char *at, const char *source, const char *suffix,
	json_t *when, const char *target)
{
	char lowered[SG_GRAPH_POINTER_MAX];
	sg_reader_item(lowered, "/rules", json_array_size(l->rules));
	origin(l, lowered, at);
	json_t *then;
	if (strcmp(target, "done") == 0)
		then = json_pack("{s:s, s:o}", "kind", "halt", "reason",
			json_sprintf("%s complete", source));
	else
		then = json_pack("{s:s, s:s}", "kind", "goto", "target", target);
	json_t *rule = json_pack("{s:o, s:o, s:[o]}", "id",
		json_sprintf("r-%s%s%s", source, suffix[0] ? "-" : "", suffix), "when", when,
		"then", then);
	if (!rule || json_array_append_new(l->rules, rule) < 0)
		return sg_error_nomem(l->r->err);
	if (strcmp(target, "done") != 0 && !has_node(l, target))
		return unknown_node(l, at, 0, "no node", target);
	return 0;
}

/* The values that reach here were YAML keys, so they are text already. */
static int lower_verdicts(struct lowering *l, const char *at, const char *source, const json_t *map)
{
	const json_t *verdict = json_object_get(json_object_get(l->doc, "state"), "verdict");
	char sub[SG_GRAPH_POINTER_MAX];
	const char *value;
	json_t *target;
	if (!json_is_true(json_object_get(verdict, "route")))
		return sg_reader_fail(l->r, at, 0,
			"route \"%.64s\" branches on verdicts, but the state has no routed verdict "
			"field; add verdict: {type: str, route: true} to state",
			source);
	if (json_object_size(map) == 0)
		return fail(l, at, 0, "an empty route from", source);
	json_object_foreach ((json_t *)map, value, target) {
		sg_reader_child(sub, at, value);
		if (!json_is_string(target))
			return fail(l, sub, 0, "a route's target must be a node or done: verdict",
				value);
		int e = add_rule(l, sub, source, value,
			json_pack("{s:s, s:s}", "node", source, "verdict", value),
			json_string_value(target));
		if (e < 0)
			return e;
	}
	return 0;
}

static int lower_routes(struct lowering *l)
{
	const json_t *routes = json_object_get(l->doc, "routes");
	char at[SG_GRAPH_POINTER_MAX];
	const char *source;
	json_t *v;
	l->rules = json_array();
	(void)json_object_set_new(l->ir, "rules", l->rules);
	if (!routes || json_is_null(routes))
		return 0;
	if (!json_is_object(routes))
		return sg_reader_fail(
			l->r, "/routes", 0, "routes must be a mapping of node: target");
	json_object_foreach ((json_t *)routes, source, v) {
		int e;
		sg_reader_child(at, "/routes", source);
		if (!has_node(l, source))
			return unknown_node(l, at, 1, "a route from no node", source);
		if (json_is_string(v))
			e = add_rule(l, at, source, "", json_pack("{s:s}", "node", source),
				json_string_value(v));
		else if (json_is_object(v))
			e = lower_verdicts(l, at, source, v);
		else
			e = fail(l, at, 0,
				"a route must be a target or a mapping of verdict: target, from",
				source);
		if (e < 0)
			return e;
	}
	return 0;
}

static int lower_id(struct lowering *l)
{
	const json_t *id = json_object_get(l->doc, "id");
	const char *name = json_string_value(id);
	if (id && (!name || !sg_slug_valid(name)))
		return sg_reader_fail(l->r, "/id", 0,
			"id must be lower-case letters, digits, _ . -, first a letter or digit");
	if (!name) { /* the file's name without its end */
		const char *slash = strrchr(l->r->name, '/');
		sg_autofree char *stem = strdup(slash ? slash + 1 : l->r->name);
		char *dot = stem ? strrchr(stem, '.') : NULL;
		if (dot && dot != stem)
			*dot = '\0';
		bool fits = stem && sg_slug_valid(stem);
		return json_object_set_new(
			       l->ir, "id", json_sprintf("graph:%s", fits ? stem : "authored")) < 0
			       ? sg_error_nomem(l->r->err)
			       : 0;
	}
	return json_object_set_new(l->ir, "id", json_sprintf("graph:%s", name)) < 0
		       ? sg_error_nomem(l->r->err)
		       : 0;
}

int sg_authoring_lower(
	const struct sg_reader *r, const json_t *doc, json_t **ret, json_t **ret_origins)
{
	static const struct sg_key keys[] = {{"id", JSON_NULL, false}, {"state", JSON_NULL, false},
		{"nodes", JSON_NULL, true}, {"routes", JSON_NULL, false}, {"lm", JSON_NULL, false}};
	struct sg_reader own = *r; /* errors of this stage are of the format too */
	own.origins = json_object();
	struct lowering l = {.r = &own, .doc = doc, .ir = json_object(), .origins = json_object()};
	int e = sg_reader_keys(&own, "", doc, keys, SG_ARRAY_LEN(keys),
		"the document (a full IR document has ir_version)");
	(void)json_object_set_new(l.ir, "ir_version", json_string("1.0.0"));
	if (e == 0)
		e = lower_id(&l);
	if (e == 0)
		e = lower_state(&l);
	if (e == 0)
		e = lower_nodes(&l);
	if (e == 0)
		e = lower_routes(&l);
	if (e == 0 && json_object_get(doc, "lm"))
		(void)json_object_set(l.ir, "lm", json_object_get(doc, "lm"));
	json_decref(own.origins);
	if (e < 0) {
		json_decref(l.ir);
		json_decref(l.origins);
		return e;
	}
	*ret = l.ir;
	*ret_origins = l.origins;
	return 0;
}
