/* interrupt: the run waits here for a person. The node's rules are asked after the answer. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "run/kinds.h"

static void release(void *data)
{
	free(data); /* everything it points at is the configuration's */
}

static int check_target(const struct sg_kind_load *l, const char *on_timeout, struct sg_error *err)
{
	if (strcmp(on_timeout, "halt") == 0)
		return 0;
	if (strncmp(on_timeout, "goto:", 5) != 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"config.on_timeout: \"%s\" is neither \"halt\" nor \"goto:<node>\"",
			on_timeout);
	if (sg_graph_find_node(l->graph, on_timeout + 5) < 0)
		return sg_error_set(err, SG_EINVALID, NULL, "config.on_timeout: no node \"%s\"",
			on_timeout + 5);
	return 0;
}

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	const json_t *c = l->node->config;
	const char *on_timeout = json_string_value(json_object_get(c, "on_timeout"));
	int64_t timeout_us = 0;
	int r = on_timeout ? check_target(l, on_timeout, err) : 0;
	if (r < 0)
		return r;
	const json_t *timeout = json_object_get(c, "timeout");
	if (timeout && !json_is_null(timeout)) {
		r = sg_graph_duration(timeout, &timeout_us, err);
		if (r < 0)
			return sg_error_prefix(err, "config.timeout");
	}
	struct sg_action *a = calloc(1, sizeof(*a));
	if (!a)
		return sg_error_nomem(err);
	a->kind = SG_INTERRUPT;
	a->prompt = (char *)(uintptr_t)json_string_value(json_object_get(c, "prompt"));
	a->payload = json_object_get(c, "interrupt_payload");
	a->requested_capability =
		(char *)(uintptr_t)json_string_value(json_object_get(c, "requested_capability"));
	a->timeout_us = timeout_us;
	a->on_timeout = (char *)(uintptr_t)on_timeout;
	*ret_data = a;
	return 0;
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	(void)err;
	x->ask = x->data;
	return SG_EXEC_INTERRUPT;
}

const struct sg_node_kind sg_kind_interrupt = {
	.spec = {.name = "interrupt",
		.config_schema = "{\"type\":\"object\",\"required\":[\"prompt\"],"
				 "\"additionalProperties\":false,\"properties\":{"
				 "\"prompt\":{\"type\":\"string\"},"
				 "\"interrupt_payload\":{\"type\":\"object\"},"
				 "\"requested_capability\":{\"type\":[\"string\",\"null\"]},"
				 "\"timeout\":{\"type\":[\"string\",\"number\",\"null\"]},"
				 "\"on_timeout\":{\"type\":\"string\"}}}"},
	.prepare = prepare,
	.release = release,
	.execute = execute,
};
