/* What the files of core/tool share. */
#ifndef SG_TOOL_INTERNAL_H
#define SG_TOOL_INTERNAL_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "tool/tool.h"

struct sock_fprog;

/* What a child is confined by; made once a tool, used by every call's child, which only makes
 * system calls with it. */
struct sg_tool_confinement {
	int landlock_fd;	   /* -1 = the kernel has none */
	struct sock_fprog *filter; /* owned; NULL = the kernel has no seccomp */
	bool namespaces;	   /* user and PID namespaces can be made */
};

/* sandbox.c */
/* Paths that the tool may read and execute, and those it may change; NULL-terminated. */
int sg_sandbox_create(struct sg_tool_confinement **ret, const char *const *read_paths,
	const char *const *write_paths, struct sg_error *err);
void sg_sandbox_destroy(struct sg_tool_confinement *c);
int sg_sandbox_landlock_abi(void); /* 0 = none */
bool sg_sandbox_seccomp(void);
bool sg_sandbox_namespaces(void);
/* For the child only: no memory, no locks. 0, or -errno with *ret_step saying what failed. */
int sg_sandbox_enter(const struct sg_tool_confinement *c, const char **ret_step);

/* filter.c */
int sg_filter_create(struct sock_fprog **ret, struct sg_error *err);
void sg_filter_destroy(struct sock_fprog *f);

/* process.c: one process of a tool. */
struct sg_process {
	pid_t pid;
	int pidfd, in, out, error; /* -1 = closed */
	bool exited;
	int64_t deadline_us;
	int cancel_fd;
	size_t limit;	    /* bytes of standard output, and of standard error */
	size_t seen, noise; /* read so far from each */
	struct sg_buf line; /* standard output not yet taken */
	size_t taken;	    /* bytes of it that were handed out last */
	char tail[SG_TOOL_STDERR];
	size_t n_tail;
	const char *tool_id;
	int64_t timeout_us;
};
int sg_process_start(struct sg_process *p, const struct sg_tool_call *c, struct sg_error *err);
/* Writes all of data to its stdin, reading what it says meanwhile. A tool that closed its stdin is
 * no error. */
int sg_process_write(struct sg_process *p, const char *data, size_t n, struct sg_error *err);
void sg_process_close_stdin(struct sg_process *p);
/* The next line without its newline, NUL-terminated, valid until the next call. 1 = no more: it
 * closed its stdout; p->line.len bytes of an unfinished line may be there. */
int sg_process_line(struct sg_process *p, char **ret_line, size_t *ret_n, struct sg_error *err);
/* Until it has exited; whatever it still writes to stdout stays in p->line. */
int sg_process_wait(struct sg_process *p, struct sg_error *err);
/* Kills what is left of it and reaps it. *ret_status as of waitpid; -1 when it never started. */
int sg_process_finish(struct sg_process *p);
/* Adds the end of standard error to the error's text. */
int sg_process_quote(const struct sg_process *p, struct sg_error *err);

/* mcp.c: the conversation; the output before its schema is checked. */
int sg_mcp_call(struct sg_process *p, const struct sg_tool_call *c, json_t **ret_output,
	struct sg_error *err);

#endif
