/* Tools: programs that the operator declares in [[tool]], called over stdin and stdout, each call
 * in a process of its own inside a sandbox. Knows neither the engine nor its threads.
 *
 * A process a call, for both protocols: nothing of one run reaches the next through a tool's
 * memory, every limit holds for one call, and a call ends with its run by ending its process.
 *
 * The sandbox (sandbox.h): Landlock, seccomp, a PID namespace where the kernel allows one, no
 * privileges, no descriptors but the three, an environment that is stated here.
 */
#ifndef SG_TOOL_TOOL_H
#define SG_TOOL_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_TOOL_ID_MAX 128
#define SG_TOOL_STDERR 2048U /* bytes of standard error that an error quotes, the last */
#define SG_TOOL_FILE_BYTES (256LL << 20) /* of one file that a tool writes */
#define SG_TOOL_FILES 256U		 /* open descriptors */

enum sg_effects { SG_EFFECTS_NONE, SG_EFFECTS_READ, SG_EFFECTS_WRITE, SG_EFFECTS_EXTERNAL };
const char *sg_effects_name(enum sg_effects e); /* "none", …; static */

enum sg_tool_protocol {
	SG_TOOL_JSONL, /* one line of JSON in, one out */
	SG_TOOL_MCP,   /* Model Context Protocol over stdio */
};

struct sg_tool_confinement;

/* One [[tool]]; read-only once made, so any thread may use it. */
struct sg_tool {
	char *id, *name; /* name: what an MCP server calls it; the id without another */
	char **argv;	 /* argv[0] absolute */
	enum sg_tool_protocol protocol;
	enum sg_effects effects;
	json_t *input, *output; /* owned schemas; output may be NULL: any object */
	char **permissions;
	size_t n_permissions;
	int64_t timeout_us;
	int64_t memory_bytes, output_bytes, processes;
	char *directory;			 /* its own; made, mode 0700 */
	char **environment;			 /* owned, NULL-terminated NAME=value */
	struct sg_tool_confinement *confinement; /* owned */
};

struct sg_tools;

/* list: the checked array of [[tool]] tables, or NULL. directory: where the tools' own directories
 * are made, `<directory>/<id>`. strict: refuse where the kernel lacks Landlock or seccomp.
 * SG_EINVALID names the tool; SG_EREFUSED, kind "tool-sandbox". */
int sg_tools_create(struct sg_tools **ret, const json_t *list, const char *directory, bool strict,
	struct sg_error *err);
void sg_tools_destroy(struct sg_tools *t);
/* NULL when there is none; t may be NULL. */
const struct sg_tool *sg_tools_find(const struct sg_tools *t, const char *id);
/* The ids, borrowed, in the file's order. */
const char *const *sg_tools_ids(const struct sg_tools *t, size_t *ret_n);
/* What the sandbox consists of on this host: "landlock-7 seccomp pid-namespace". */
const char *sg_tools_sandbox(const struct sg_tools *t);
/* Of this host, without any tool: 0, or SG_EREFUSED when Landlock or seccomp is missing. ret_text:
 * as sg_tools_sandbox. */
int sg_tool_sandbox_probe(char *ret_text, size_t size, struct sg_error *err);

struct sg_tool_call {
	const struct sg_tool *tool;
	const char *arguments; /* one line of JSON, an object that passed tool->input */
	const char *run_id, *node_id,
		*call_id;   /* STARGRAPH_RUN_ID, _NODE_ID, _CALL_ID of the process */
	int64_t timeout_us; /* at most the tool's own; 0 = the tool's */
	int cancel_fd;	    /* readable = stop, or -1 */
};

/* Blocks; SIGPIPE must be ignored or blocked. *ret_output: a new object that passed tool->output.
 * Whatever happens, no process of the call is left. Errors, by kind: tool-start, tool-exit,
 * tool-killed, tool-timeout, tool-output-limit, tool-output (not one JSON object in a line),
 * tool-no-output, tool-schema, tool-protocol, tool-failed (an MCP tool that says isError),
 * tool-cancelled. Each quotes the end of standard error. */
int sg_tool_call(const struct sg_tool_call *c, json_t **ret_output, struct sg_error *err);

#endif
