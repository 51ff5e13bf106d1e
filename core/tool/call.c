/* One call: start, speak, check what came back, leave nothing behind. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/json.h"
#include "base/schema.h"
#include "tool/internal.h"

static bool blank(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\r\n", s[i]) || !s[i])
			return false;
	return true;
}

static int bad_output(const struct sg_tool_call *c, const char *why, struct sg_error *err)
{
	return sg_error_set(err, SG_EINVALID, "tool-output", "tool %s: %s", c->tool->id, why);
}

static int parse_line(const struct sg_tool_call *c, const char *line, size_t n, json_t **ret,
	struct sg_error *err)
{
	struct sg_error why;
	json_t *v = NULL;
	if (sg_json_parse(line, n, &v, &why) < 0)
		return sg_error_set(err, SG_EINVALID, "tool-output",
			"tool %s: its line is not JSON: %.400s", c->tool->id, why.text);
	if (!json_is_object(v)) {
		json_decref(v);
		return bad_output(c, "its line is not a JSON object", err);
	}
	*ret = v;
	return 0;
}

/* The one line of the jsonl protocol, and nothing after it. */
static int speak_jsonl(
	struct sg_process *p, const struct sg_tool_call *c, json_t **ret, struct sg_error *err)
{
	char *line = NULL;
	size_t n = 0;
	json_auto_t *v = NULL;
	int r = sg_process_write(p, c->arguments, strlen(c->arguments), err);
	if (r == 0)
		r = sg_process_write(p, "\n", 1, err);
	sg_process_close_stdin(p);
	if (r == 0)
		r = sg_process_line(p, &line, &n, err);
	if (r == 0)
		r = parse_line(c, line, n, &v, err);
	if (r < 0)
		return r;
	bool half = r == 1 && !blank(p->line.data, p->line.len), none = r == 1 && !half;
	r = sg_process_wait(p, err);
	if (r < 0)
		return r;
	if (half)
		return bad_output(c, "its output ended in the middle of a line", err);
	if (none)
		return sg_error_set(err, SG_EINVALID, "tool-no-output",
			"tool %s ended without output", c->tool->id);
	if (!blank(p->line.data + p->taken, p->line.len - p->taken))
		return bad_output(c, "it wrote more than one line", err);
	*ret = sg_steal(v);
	return 0;
}

static int check_status(const struct sg_tool_call *c, int status, struct sg_error *err)
{
	if (WIFSIGNALED(status))
		return sg_error_set(err, SG_EIO, "tool-killed",
			"tool %s was killed by signal %d (%s)", c->tool->id, WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return sg_error_set(err, SG_EIO, "tool-exit", "tool %s exited with %d", c->tool->id,
			WEXITSTATUS(status));
	return 0;
}

static int check_output(const struct sg_tool_call *c, const json_t *output, struct sg_error *err)
{
	struct sg_error why;
	if (!c->tool->output || sg_schema_validate(c->tool->output, output, &why) == 0)
		return 0;
	return sg_error_set(err, SG_EINVALID, "tool-schema",
		"tool %s: its output does not fit its schema: %.600s", c->tool->id, why.text);
}

int sg_tool_call(const struct sg_tool_call *c, json_t **ret_output, struct sg_error *err)
{
	struct sg_process p;
	struct sg_error here, end = {0};
	json_auto_t *output = NULL;
	int r = sg_process_start(&p, c, &here);
	if (r == 0 && c->tool->protocol == SG_TOOL_MCP)
		r = sg_mcp_call(&p, c, &output, &here);
	else if (r == 0)
		r = speak_jsonl(&p, c, &output, &here);
	bool ended = p.exited;
	int status = sg_process_finish(&p);
	/* How it ended says more than that it said nothing; an MCP server is told to go. */
	bool silent = r < 0 && (strcmp(here.kind, "tool-output") == 0 ||
				       strcmp(here.kind, "tool-no-output") == 0);
	if ((silent || (r == 0 && c->tool->protocol == SG_TOOL_JSONL)) && ended &&
		check_status(c, status, &end) < 0) {
		here = end;
		r = -here.code;
	}
	if (r == 0)
		r = check_output(c, output, &here);
	if (r < 0) {
		if (strcmp(here.kind, "tool-schema") != 0)
			(void)sg_process_quote(&p, &here);
		*err = here;
		return r;
	}
	*ret_output = sg_steal(output);
	return 0;
}
