/* passthrough: does nothing; its rules decide. */
#include "run/kinds.h"

static int execute(struct sg_exec *x, struct sg_error *err)
{
	(void)x;
	(void)err;
	return SG_EXEC_DONE;
}

const struct sg_node_kind sg_kind_passthrough = {
	.spec = {.name = "passthrough"},
	.execute = execute,
};
