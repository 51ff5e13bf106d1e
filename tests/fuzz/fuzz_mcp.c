/* Any bytes as what an MCP server writes to its standard output: the conversation ends with an
 * output or an error of a kind, and holds nothing back. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "tool/internal.h"

/* A server that has said everything and has gone. */
static void open_process(struct sg_process *p, const uint8_t *data, size_t size)
{
	*p = (struct sg_process){
		.pid = -1,
		.pidfd = -1,
		.in = open("/dev/null", O_WRONLY | O_CLOEXEC),
		.out = memfd_create("out", MFD_CLOEXEC),
		.error = -1,
		.exited = true,
		.deadline_us = sg_clock_monotonic_us() + 5000000,
		.cancel_fd = -1,
		.limit = 1U << 20,
		.line = SG_BUF_INIT(1U << 20),
		.tool_id = "t",
		.timeout_us = 5000000,
	};
	if (p->in < 0 || p->out < 0 || write(p->out, data, size) != (ssize_t)size ||
		lseek(p->out, 0, SEEK_SET) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char id[] = "t", name[] = "add";
	const struct sg_tool tool = {.id = id, .name = name, .protocol = SG_TOOL_MCP};
	const struct sg_tool_call call = {.tool = &tool, .arguments = "{\"a\":1}", .cancel_fd = -1};
	struct sg_process p;
	struct sg_error err = {0};
	json_t *output = NULL;
	open_process(&p, data, size);
	int r = sg_mcp_call(&p, &call, &output, &err);
	if (r < 0 ? output || !err.text[0] : !json_is_object(output))
		abort();
	json_decref(output);
	(void)sg_process_finish(&p);
	return 0;
}
