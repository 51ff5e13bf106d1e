/* The tree is one growing array, so that hostile text costs memory in proportion to its length and
 * no recursion while parsing. */
#include "rules/sx.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct parser {
	struct sg_sx *sx;
	const char *p, *end;
	int line;
	bool glued;
	int open[SG_SX_MAX_DEPTH + 1]; /* the lists around the cursor, outermost first */
	int last[SG_SX_MAX_DEPTH + 1]; /* and the latest child of each */
	int depth;
	struct sg_error *err;
};

static int fail(struct parser *ps, const char *what)
{
	return sg_error_set(ps->err, SG_EINVALID, NULL, "line %d: %s", ps->line, what);
}

static int add(struct parser *ps, enum sg_sx_kind kind, const char *text, size_t len)
{
	struct sg_sx *sx = ps->sx;
	if (sx->n >= SG_SX_MAX_NODES)
		return fail(ps, "too long: more than 100000 words");
	if (sx->n == sx->cap) {
		size_t cap = sx->cap ? sx->cap * 2 : 64;
		struct sg_sx_node *grown = realloc(sx->nodes, cap * sizeof(*grown));
		if (!grown)
			return sg_error_nomem(ps->err);
		sx->nodes = grown;
		sx->cap = cap;
	}
	int at = (int)sx->n++;
	sx->nodes[at] = (struct sg_sx_node){.kind = kind,
		.text = text,
		.len = len,
		.line = ps->line,
		.glued = ps->glued,
		.first = SG_SX_NONE,
		.next = SG_SX_NONE};
	if (at > 0) {
		int before = ps->last[ps->depth];
		if (before == SG_SX_NONE)
			sx->nodes[ps->open[ps->depth]].first = at;
		else
			sx->nodes[before].next = at;
		ps->last[ps->depth] = at;
	}
	ps->glued = true;
	return at;
}

static int open_list(struct parser *ps)
{
	int at = add(ps, SG_SX_LIST, ps->p, 1);
	if (at < 0)
		return at;
	if (ps->depth == SG_SX_MAX_DEPTH)
		return fail(ps, "nested more than 32 deep");
	ps->depth++;
	ps->open[ps->depth] = at;
	ps->last[ps->depth] = SG_SX_NONE;
	ps->p++;
	return 0;
}

static int close_list(struct parser *ps)
{
	if (ps->depth == 0)
		return fail(ps, "a closing parenthesis too many");
	ps->depth--;
	ps->p++;
	ps->glued = true;
	return 0;
}

static int string_token(struct parser *ps)
{
	const char *start = ps->p++;
	int line = ps->line;
	while (ps->p < ps->end && *ps->p != '"') {
		if (*ps->p == '\\' && ps->p + 1 < ps->end)
			ps->p++;
		if (*ps->p == '\n')
			ps->line++;
		ps->p++;
	}
	if (ps->p >= ps->end) {
		ps->line = line;
		return fail(ps, "a string without an end");
	}
	ps->p++;
	int at = add(ps, SG_SX_STRING, start, (size_t)(ps->p - start));
	return at < 0 ? at : 0;
}

static bool ends_atom(char c)
{
	return strchr(" \t\n\r\f\"();&|~<", c) != NULL; /* NUL is refused before */
}

static int atom_token(struct parser *ps)
{
	const char *start = ps->p++;
	bool alone =
		*start == '&' || *start == '|' || *start == '~' || (*start == ':' || *start == '=');
	if (alone && (*start != '=' || (ps->p < ps->end && *ps->p == '('))) {
		/* a connective; "=" only right before its expression, else a function's name */
	} else {
		while (ps->p < ps->end && !ends_atom(*ps->p))
			ps->p++;
	}
	int at = add(ps, SG_SX_ATOM, start, (size_t)(ps->p - start));
	return at < 0 ? at : 0;
}

static void skip_blank(struct parser *ps)
{
	while (ps->p < ps->end) {
		if (*ps->p == '\n')
			ps->line++;
		if (*ps->p == ';') {
			while (ps->p < ps->end && *ps->p != '\n')
				ps->p++;
		} else if (strchr(" \t\n\r\f", *ps->p)) {
			ps->p++;
		} else {
			return;
		}
		ps->glued = false;
	}
}

static int parse_all(struct parser *ps)
{
	int r = add(ps, SG_SX_LIST, ps->p, 0);
	if (r < 0)
		return r;
	ps->last[0] = SG_SX_NONE;
	ps->glued = false;
	for (skip_blank(ps); ps->p < ps->end; skip_blank(ps)) {
		if (*ps->p == '(')
			r = open_list(ps);
		else if (*ps->p == ')')
			r = close_list(ps);
		else if (*ps->p == '"')
			r = string_token(ps);
		else
			r = atom_token(ps);
		if (r < 0)
			return r;
	}
	if (ps->depth > 0) {
		ps->line = ps->sx->nodes[ps->open[ps->depth]].line;
		return fail(ps, "a parenthesis is opened and not closed");
	}
	return 0;
}

int sg_sx_parse(struct sg_sx *ret, const char *text, size_t len, struct sg_error *err)
{
	struct sg_sx sx = {0};
	struct parser ps = {.sx = &sx, .p = text, .end = text + len, .line = 1, .err = err};
	if (memchr(text, '\0', len))
		return fail(&ps, "a NUL byte");
	int r = parse_all(&ps);
	if (r < 0) {
		sg_sx_finish(&sx);
		return r;
	}
	*ret = sx;
	return 0;
}

void sg_sx_finish(struct sg_sx *sx)
{
	free(sx->nodes);
	*sx = (struct sg_sx){0};
}

bool sg_sx_is(const struct sg_sx *sx, int node, const char *atom)
{
	if (node == SG_SX_NONE)
		return false;
	const struct sg_sx_node *n = &sx->nodes[node];
	return n->kind == SG_SX_ATOM && n->len == strlen(atom) &&
	       memcmp(n->text, atom, n->len) == 0;
}

const char *sg_sx_head(const struct sg_sx *sx, int node, char ret_name[128])
{
	ret_name[0] = '\0';
	if (node == SG_SX_NONE || sx->nodes[node].kind != SG_SX_LIST)
		return ret_name;
	int first = sx->nodes[node].first;
	if (first == SG_SX_NONE || sx->nodes[first].kind != SG_SX_ATOM ||
		sx->nodes[first].len > 127)
		return ret_name;
	memcpy(ret_name, sx->nodes[first].text, sx->nodes[first].len);
	ret_name[sx->nodes[first].len] = '\0';
	return ret_name;
}

static void write_atom(const struct sg_sx_node *n, bool is_head, struct sg_buf *out)
{
	for (size_t i = 0; i < n->len; i++)
		sg_buf_addc(out, is_head && n->text[i] == '.' ? '-' : n->text[i]);
}

static void write_children(const struct sg_sx *sx, int list, struct sg_buf *out)
{
	int first = sx->nodes[list].first;
	for (int at = first; at != SG_SX_NONE; at = sx->nodes[at].next) {
		const struct sg_sx_node *n = &sx->nodes[at];
		if (at != first && !n->glued)
			sg_buf_addc(out, ' ');
		if (n->kind == SG_SX_LIST) {
			sg_buf_addc(out, '(');
			write_children(sx, at, out); /* at most SG_SX_MAX_DEPTH deep */
			sg_buf_addc(out, ')');
		} else {
			write_atom(n, list != 0 && at == first && n->kind == SG_SX_ATOM, out);
		}
	}
}

void sg_sx_write(const struct sg_sx *sx, int node, struct sg_buf *out)
{
	const struct sg_sx_node *n = &sx->nodes[node];
	if (n->kind != SG_SX_LIST) {
		sg_buf_add(out, n->text, n->len);
		return;
	}
	if (node != 0)
		sg_buf_addc(out, '(');
	write_children(sx, node, out);
	if (node != 0)
		sg_buf_addc(out, ')');
}
