/* echo: copies state.message to itself, as the original's fixture node does. */
#include "run/kinds.h"

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	(void)ret_data;
	if (sg_graph_find_field(l->graph, "message"))
		return 0;
	return sg_error_set(err, SG_EINVALID, NULL,
		"echo copies the state field \"message\", which state_schema does not declare; a "
		"node that does nothing is a passthrough");
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	json_t *message = json_object_get(x->state, "message");
	x->update = json_pack("{s:O}", "message", message ? message : json_null());
	return x->update ? SG_EXEC_DONE : sg_error_nomem(err);
}

const struct sg_node_kind sg_kind_echo = {
	.spec = {.name = "echo"},
	.prepare = prepare,
	.execute = execute,
};
