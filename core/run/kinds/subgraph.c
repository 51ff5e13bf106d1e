/* subgraph: another graph, walked as part of this run; see frames.c. */
#include "run/internal.h"

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	(void)ret_data;
	return sg_subgraph_check(l->graph, l->node, err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	(void)x;
	(void)err;
	return SG_EXEC_ENTER;
}

const struct sg_node_kind sg_kind_subgraph = {
	.spec = {.name = "subgraph",
		.config_schema = "{\"type\":\"object\",\"additionalProperties\":false,"
				 "\"properties\":{\"inputs\":{\"type\":\"object\"},"
				 "\"outputs\":{\"type\":\"object\"},"
				 "\"max_steps\":{\"type\":\"integer\",\"minimum\":1,"
				 "\"maximum\":10000}}}"},
	.prepare = prepare,
	.execute = execute,
};
