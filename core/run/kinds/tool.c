/* tool: calls a program that stargraph.toml declares. State fields and literals become its
 * arguments, its output becomes state fields.
 *
 * A call is announced: the audit record tool_call is durable before the process starts. So after a
 * crash it is known that a call may have happened; see recover.c. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/schema.h"
#include "base/suggest.h"
#include "run/kinds.h"

#define MAX_ARGUMENTS (4U << 20) /* bytes of a call's arguments */

struct data {
	const struct sg_tool *tool; /* NULL: nothing is executed */
};

struct call {
	const struct sg_tool *tool;
	char *arguments, hash[SG_SHA256_HEX];
	char run_id[64], call_id[160];
	char *node_id;
	int64_t timeout_us;
	json_t *output; /* set by work */
};

static int unknown_tool(const struct sg_kind_load *l, const char *name, struct sg_error *err)
{
	size_t n;
	const char *const *ids = sg_tools_ids(l->tools, &n);
	const char *near = n ? sg_suggest(name, ids, n) : NULL;
	return sg_error_set(err, SG_EINVALID, NULL,
		"config.tool: no [[tool]] \"%.128s\" is declared in stargraph.toml%s%s%s", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int check_argument(const struct sg_tool *t, const char *name, struct sg_error *err)
{
	const json_t *properties = json_object_get(t->input, "properties");
	if (json_object_get(properties, name) ||
		!json_is_false(json_object_get(t->input, "additionalProperties")))
		return 0;
	return sg_error_set(
		err, SG_EINVALID, NULL, "config: tool %s takes no argument \"%.64s\"", t->id, name);
}

static int check_arguments(
	const struct sg_kind_load *l, const struct sg_tool *t, struct sg_error *err)
{
	json_t *inputs = json_object_get(l->node->config, "inputs"),
	       *given = json_object_get(l->node->config, "static"), *v;
	const char *name;
	int r = 0;
	json_object_foreach (inputs, name, v) {
		if (json_object_get(given, name))
			return sg_error_set(err, SG_EINVALID, NULL,
				"config: argument \"%.64s\" is in both inputs and static", name);
		if (!sg_graph_find_field(l->graph, json_string_value(v)))
			return sg_kind_unknown_field(l->graph, "inputs", json_string_value(v), err);
		if (t && (r = check_argument(t, name, err)) < 0)
			return r;
	}
	json_object_foreach (given, name, v)
		if (t && (r = check_argument(t, name, err)) < 0)
			return r;
	return 0;
}

static int check_outputs(
	const struct sg_kind_load *l, const struct sg_tool *t, struct sg_error *err)
{
	json_t *outputs = json_object_get(l->node->config, "outputs"), *v;
	const json_t *properties = t ? json_object_get(t->output, "properties") : NULL;
	const char *name;
	if (outputs && json_object_get(l->node->config, "out"))
		return sg_error_set(
			err, SG_EINVALID, NULL, "config: give either out or outputs, not both");
	if (!outputs) {
		const char *out = json_string_value(json_object_get(l->node->config, "out"));
		const struct sg_field *f = sg_graph_find_field(l->graph, out ? out : "tool_result");
		if (!f)
			return sg_kind_unknown_field(
				l->graph, "out", out ? out : "tool_result", err);
		return f->type == SG_DICT ? 0
					  : sg_error_set(err, SG_EINVALID, NULL,
						    "config.out: the state field \"%s\" has type "
						    "%s; an output is a dict",
						    f->name, sg_field_type_name(f->type));
	}
	json_object_foreach (outputs, name, v) {
		if (!sg_graph_find_field(l->graph, name))
			return sg_kind_unknown_field(l->graph, "outputs", name, err);
		if (t && json_is_false(json_object_get(t->output, "additionalProperties")) &&
			!json_object_get(properties, json_string_value(v)))
			return sg_error_set(err, SG_EINVALID, NULL,
				"config.outputs: tool %s has no output \"%.64s\"", t->id,
				json_string_value(v));
	}
	return 0;
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	const char *name = json_string_value(json_object_get(l->node->config, "tool"));
	const struct sg_tool *t = sg_tools_find(l->tools, name);
	if (l->tools && !t && !l->stored)
		return unknown_tool(l, name, err);
	int r = check_arguments(l, t, err);
	if (r == 0)
		r = check_outputs(l, t, err);
	if (r < 0)
		return r;
	struct data *d = calloc(1, sizeof(*d));
	if (!d)
		return sg_error_nomem(err);
	d->tool = t;
	*ret_data = d;
	return 0;
}

/* ---- the call ---- */

static void release_call(void *job)
{
	struct call *c = job;
	if (!c)
		return;
	free(c->arguments);
	free(c->node_id);
	json_decref(c->output);
	free(c);
}

static int work(void *job, int cancel_fd, struct sg_error *err)
{
	struct call *c = job;
	const struct sg_tool_call call = {.tool = c->tool,
		.arguments = c->arguments,
		.run_id = c->run_id,
		.node_id = c->node_id,
		.call_id = c->call_id,
		.timeout_us = c->timeout_us,
		.cancel_fd = cancel_fd};
	return sg_tool_call(&call, &c->output, err);
}

static int finish(struct sg_exec *x, void *job, int status, struct sg_error *err)
{
	struct call *c = job;
	struct sg_error ignored;
	char hash[SG_SHA256_HEX];
	int r = status < 0 ? status : sg_json_hash(c->output, hash, err);
	if (r < 0) {
		(void)sg_exec_note(x, "tool_result",
			json_pack("{s:s, s:s, s:s, s:b, s:s, s:s}", "call_id", c->call_id, "class",
				err->kind, "error", err->text, "ok", 0, "side_effects",
				sg_effects_name(c->tool->effects), "tool_name", c->tool->id),
			&ignored);
		return r;
	}
	x->record = json_pack("{s:s, s:s, s:s, s:s, s:s, s:O, s:s, s:s}", "kind", "tool", "node",
		x->node->id, "tool", c->tool->id, "call_id", c->call_id, "arguments_sha256",
		c->hash, "output", c->output, "output_sha256", hash, "side_effects",
		sg_effects_name(c->tool->effects));
	if (!x->record)
		return sg_error_nomem(err);
	return sg_exec_note(x, "tool_result",
		json_pack("{s:s, s:b, s:s, s:s, s:s}", "call_id", c->call_id, "ok", 1,
			"output_sha256", hash, "side_effects", sg_effects_name(c->tool->effects),
			"tool_name", c->tool->id),
		err);
}

/* The run was cancelled, or ran into a limit: the record says how far the call had come. */
static void dropped(struct sg_exec *x, void *job, int status, const struct sg_error *err)
{
	const struct call *c = job;
	sg_exec_note_dropped(x, c->run_id, "tool_result",
		json_pack("{s:s, s:s, s:s, s:b}", "call_id", c->call_id, "class",
			status < 0 ? err->kind : "tool-dropped", "error",
			status < 0 ? "the run had ended; the call's effects may have happened"
				   : "the run had ended; the call had answered",
			"ok", status >= 0));
}

static const struct sg_offload_ops ops = {
	.work = work, .finish = finish, .dropped = dropped, .release = release_call};

static json_t *arguments_of(const struct sg_exec *x)
{
	json_t *inputs = json_object_get(x->node->config, "inputs"),
	       *given = json_object_get(x->node->config, "static"), *v;
	json_t *all = given ? json_deep_copy(given) : json_object();
	const char *name;
	json_object_foreach (inputs, name, v)
		if (all)
			(void)json_object_set(
				all, name, json_object_get(x->state, json_string_value(v)));
	return all;
}

static int make_call(struct sg_exec *x, struct call *c, struct sg_error *err)
{
	const struct data *d = x->data;
	sg_autobuf text = SG_BUF_INIT(MAX_ARGUMENTS);
	struct sg_error why;
	json_auto_t *arguments = arguments_of(x);
	c->tool = d->tool;
	c->timeout_us = sg_exec_time_left_us(x);
	c->node_id = strdup(x->node->id);
	if (!arguments || !c->node_id)
		return sg_error_nomem(err);
	if (sg_schema_validate(d->tool->input, arguments, &why) < 0)
		return sg_error_set(err, SG_EINVALID, "tool-arguments",
			"tool %s: its arguments do not fit its schema: %.600s", d->tool->id,
			why.text);
	int r = sg_json_print(arguments, &text, err);
	if (r == -SG_ELIMIT)
		return sg_error_set(err, SG_ELIMIT, "tool-arguments",
			"tool %s: its arguments are larger than %u bytes", d->tool->id,
			MAX_ARGUMENTS);
	if (r == 0)
		r = sg_json_hash(arguments, c->hash, err);
	if (r < 0)
		return r;
	(void)snprintf(c->run_id, sizeof(c->run_id), "%s", sg_exec_run_id(x));
	(void)snprintf(c->call_id, sizeof(c->call_id), "%s:%lld", c->run_id, (long long)x->step);
	c->arguments = sg_buf_take(&text);
	return c->arguments ? 0 : sg_error_nomem(err);
}

static int announce(struct sg_exec *x, const struct call *c, struct sg_error *err)
{
	int r = sg_exec_note(x, "tool_call",
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "arguments_sha256", c->hash, "call_id",
			c->call_id, "node", x->node->id, "side_effects",
			sg_effects_name(c->tool->effects), "tool_name", c->tool->id),
		err);
	if (r < 0)
		return r;
	return sg_exec_announce(x) < 0 ? sg_error_nomem(err) : SG_EXEC_LATER;
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const struct data *d = x->data;
	if (!d->tool)
		return sg_error_set(err, SG_EREFUSED, "tool-undeclared",
			"the tool of node %s is not declared", x->node->id);
	struct call *c = calloc(1, sizeof(*c));
	int r = c ? make_call(x, c, err) : sg_error_nomem(err);
	if (r == 0 && sg_exec_announced(x))
		return sg_exec_offload(x, &ops, c, NULL, err);
	if (r == 0)
		r = announce(x, c, err);
	release_call(c);
	return r;
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	json_t *output = json_object_get(record, "output"),
	       *outputs = json_object_get(x->node->config, "outputs"), *v;
	const char *out = json_string_value(json_object_get(x->node->config, "out")), *field;
	if (!json_is_object(output))
		return sg_error_set(
			err, SG_ECORRUPT, "record-damaged", "a recorded tool call has no output");
	x->update = json_object();
	if (!x->update)
		return sg_error_nomem(err);
	if (!outputs)
		return json_object_set(x->update, out ? out : "tool_result", output) < 0
			       ? sg_error_nomem(err)
			       : 0;
	json_object_foreach (outputs, field, v) {
		json_t *value = json_object_get(output, json_string_value(v));
		if (!value)
			return sg_error_set(err, SG_EINVALID, "tool-output",
				"the output of the tool has no \"%.64s\"", json_string_value(v));
		if (json_object_set(x->update, field, value) < 0)
			return sg_error_nomem(err);
	}
	return 0;
}

static enum sg_effects effects(const void *data)
{
	const struct data *d = data;
	return d->tool ? d->tool->effects : SG_EFFECTS_NONE;
}

const struct sg_node_kind sg_kind_tool = {
	.spec = {.name = "tool",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"tool\"],\"additionalProperties\":"
			"false,\"properties\":{\"tool\":{\"type\":\"string\",\"minLength\":1},"
			"\"inputs\":{\"type\":\"object\",\"additionalProperties\":{\"type\":"
			"\"string\"}},\"static\":{\"type\":\"object\"},"
			"\"out\":{\"type\":\"string\"},\"outputs\":{\"type\":\"object\","
			"\"additionalProperties\":{\"type\":\"string\"}}}}"},
	.prepare = prepare,
	.release = free,
	.execute = execute,
	.apply = apply,
	.outside = true,
	.elsewhere = true,
	.announces = true,
	.cancel = sg_exec_offload_cancel,
	.effects = effects,
};
