/* The Model Context Protocol as a client over stdio: initialize, tools/list, tools/call.
 * Source: modelcontextprotocol.io/specification/2025-11-25 (basic/lifecycle, basic/transports,
 * server/tools). No client capability is offered, so a server may ask for nothing but a ping. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/suggest.h"
#include "tool/internal.h"

#define VERSION "2025-11-25"
#define MAX_PAGES 32
#define GRACE_US 2000000
#define MAX_NAMES 256

static const char *const versions[] = {VERSION, "2025-06-18", "2025-03-26", "2024-11-05"};

struct session {
	struct sg_process *process;
	const struct sg_tool_call *call;
	int next_id;
};

static int protocol_error(const struct session *s, const char *why, struct sg_error *err)
{
	return sg_error_set(
		err, SG_EINVALID, "tool-protocol", "tool %s: %s", s->call->tool->id, why);
}

static int send(const struct session *s, json_t *message, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(64U << 20);
	if (!message)
		return sg_error_nomem(err);
	int r = sg_json_print(message, &b, err);
	json_decref(message);
	if (r < 0)
		return r;
	sg_buf_addc(&b, '\n');
	return b.failed ? sg_error_nomem(err) : sg_process_write(s->process, b.data, b.len, err);
}

/* A request or a notification of the server's. */
static int answer_server(const struct session *s, const json_t *m, struct sg_error *err)
{
	json_t *id = json_object_get(m, "id");
	const char *method = json_string_value(json_object_get(m, "method"));
	if (!id || !method)
		return 0;
	if (strcmp(method, "ping") == 0)
		return send(s, json_pack("{s:s, s:O, s:{}}", "jsonrpc", "2.0", "id", id, "result"),
			err);
	return send(s,
		json_pack("{s:s, s:O, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code",
			-32601, "message", "this client offers nothing"),
		err);
}

static int read_message(const struct session *s, json_t **ret, struct sg_error *err)
{
	char *line;
	size_t n;
	int r = sg_process_line(s->process, &line, &n, err);
	if (r == 1)
		return sg_error_set(err, SG_EINVALID, "tool-no-output",
			"tool %s: the server closed its output", s->call->tool->id);
	struct sg_error why;
	if (r == 0 && sg_json_parse(line, n, ret, &why) < 0)
		return sg_error_set(err, SG_EINVALID, "tool-output",
			"tool %s: a line of the server is not JSON: %.400s", s->call->tool->id,
			why.text);
	return r;
}

/* Until the answer to this id; *ret_result is new. */
static int await(const struct session *s, int id, json_t **ret_result, struct sg_error *err)
{
	for (;;) {
		json_auto_t *m = NULL;
		int r = read_message(s, &m, err);
		if (r < 0)
			return r;
		const json_t *own = json_object_get(m, "id");
		if (json_object_get(m, "method")) {
			if ((r = answer_server(s, m, err)) < 0)
				return r;
			continue;
		}
		if (!json_is_integer(own) || json_integer_value(own) != id)
			continue;
		const json_t *failure = json_object_get(m, "error");
		json_t *result = json_object_get(m, "result");
		if (failure)
			return sg_error_set(err, SG_EINVALID, "tool-failed",
				"tool %s: the server says: %.600s", s->call->tool->id,
				json_string_value(json_object_get(failure, "message"))
					? json_string_value(json_object_get(failure, "message"))
					: "error");
		if (!json_is_object(result))
			return protocol_error(s, "an answer has no result", err);
		*ret_result = json_incref(result);
		return 0;
	}
}

/* Takes params. */
static int request(struct session *s, const char *method, json_t *params, json_t **ret_result,
	struct sg_error *err)
{
	int id = ++s->next_id;
	int r = send(s,
		json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", id, "method", method,
			"params", params),
		err);
	return r < 0 ? r : await(s, id, ret_result, err);
}

static int initialize(struct session *s, struct sg_error *err)
{
	json_auto_t *result = NULL;
	int r = request(s, "initialize",
		json_pack("{s:s, s:{}, s:{s:s, s:s}}", "protocolVersion", VERSION, "capabilities",
			"clientInfo", "name", "stargraph", "version", "1"),
		&result, err);
	if (r < 0)
		return r;
	const char *version = json_string_value(json_object_get(result, "protocolVersion"));
	bool known = false;
	for (size_t i = 0; version && i < SG_ARRAY_LEN(versions); i++)
		known = known || strcmp(version, versions[i]) == 0;
	if (!known)
		return protocol_error(s, "the server speaks no version of MCP known here", err);
	return send(s,
		json_pack("{s:s, s:s}", "jsonrpc", "2.0", "method", "notifications/initialized"),
		err);
}

/* 1 = not on this page. */
static int look_on_page(const json_t *tools, const char *name, const char **names, size_t *n)
{
	size_t i;
	const json_t *one;
	json_array_foreach (tools, i, one) {
		const char *own = json_string_value(json_object_get(one, "name"));
		if (own && strcmp(own, name) == 0)
			return 0;
		if (own && *n < MAX_NAMES)
			names[(*n)++] = own;
	}
	return 1;
}

/* Does the server have the tool? Its pages are kept until the answer, for the suggestion. */
static int find_tool(struct session *s, struct sg_error *err)
{
	const char *names[MAX_NAMES], *want = s->call->tool->name;
	json_auto_t *pages = json_array();
	const char *cursor = NULL;
	size_t n = 0;
	for (int page = 0; pages && page < MAX_PAGES; page++) {
		json_t *result = NULL;
		int r = request(s, "tools/list",
			cursor ? json_pack("{s:s}", "cursor", cursor) : json_object(), &result,
			err);
		if (r < 0)
			return r;
		(void)json_array_append_new(pages, result);
		if (look_on_page(json_object_get(result, "tools"), want, names, &n) == 0)
			return 0;
		cursor = json_string_value(json_object_get(result, "nextCursor"));
		if (!cursor)
			break;
	}
	const char *near = sg_suggest(want, names, n);
	return sg_error_set(err, SG_EINVALID, "tool-protocol",
		"tool %s: the server has no tool \"%s\"%s%s%s", s->call->tool->id, want,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* The text blocks of a result, joined by newlines; false when there are others. */
static bool join_text(const json_t *content, struct sg_buf *out)
{
	size_t i;
	const json_t *one;
	bool only = true;
	json_array_foreach (content, i, one) {
		const char *type = json_string_value(json_object_get(one, "type"));
		const json_t *text = json_object_get(one, "text");
		if (!type || strcmp(type, "text") != 0 || !json_is_string(text)) {
			only = false;
			continue;
		}
		if (out->len)
			sg_buf_addc(out, '\n');
		sg_buf_add(out, json_string_value(text), json_string_length(text));
	}
	return only;
}

static int take_result(
	const struct session *s, json_t *result, json_t **ret_output, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	json_t *structured = json_object_get(result, "structuredContent"),
	       *content = json_object_get(result, "content");
	bool only = join_text(content, &text);
	if (text.failed)
		return sg_error_nomem(err);
	const char *words = text.len ? text.data : "";
	if (json_is_true(json_object_get(result, "isError")))
		return sg_error_set(err, SG_EINVALID, "tool-failed", "tool %s says: %.600s",
			s->call->tool->id, words);
	if (json_is_object(structured))
		*ret_output = json_incref(structured);
	else if (only)
		*ret_output = json_pack("{s:s}", "text", words);
	else
		*ret_output = json_pack("{s:O}", "content", content);
	return *ret_output ? 0 : sg_error_nomem(err);
}

/* The transport's way to end: its input closes, and it goes by itself. What does not is killed. */
static void let_go(struct sg_process *p)
{
	struct sg_error ignored;
	int64_t until = sg_clock_monotonic_us() + GRACE_US;
	if (until < p->deadline_us)
		p->deadline_us = until;
	sg_process_close_stdin(p);
	(void)sg_process_wait(p, &ignored);
}

int sg_mcp_call(struct sg_process *p, const struct sg_tool_call *c, json_t **ret_output,
	struct sg_error *err)
{
	struct session s = {.process = p, .call = c};
	json_auto_t *result = NULL;
	json_t *arguments = NULL;
	int r = initialize(&s, err);
	if (r == 0)
		r = find_tool(&s, err);
	if (r == 0)
		r = sg_json_parse(c->arguments, strlen(c->arguments), &arguments, err);
	if (r == 0)
		r = request(&s, "tools/call",
			json_pack("{s:s, s:o}", "name", c->tool->name, "arguments", arguments),
			&result, err);
	if (r == 0)
		let_go(p);
	return r < 0 ? r : take_result(&s, result, ret_output, err);
}
