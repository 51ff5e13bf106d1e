/* halt: the run ends here. (In the original it is only a marker.) */
#include "run/kinds.h"

static int execute(struct sg_exec *x, struct sg_error *err)
{
	(void)x;
	(void)err;
	return SG_EXEC_HALT;
}

const struct sg_node_kind sg_kind_halt = {
	.spec = {.name = "halt"},
	.execute = execute,
};
