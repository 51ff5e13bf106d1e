/* CLIPS source text as a tree of lists and atoms, for checking before CLIPS sees it. Tokens follow
 * CLIPS's own scanner (scanner.c of 6.30): white space, strings with backslash escapes, comments
 * from ';' to the end of the line, and the delimiters ( ) & | ~ " < ;.
 */
#ifndef SG_RULES_SX_H
#define SG_RULES_SX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

#define SG_SX_MAX_DEPTH 32
#define SG_SX_MAX_NODES 100000U
#define SG_SX_NONE (-1)

enum sg_sx_kind { SG_SX_LIST, SG_SX_ATOM, SG_SX_STRING };

struct sg_sx_node {
	enum sg_sx_kind kind;
	const char *
		text; /* atoms and strings: as written, quotes included; borrowed from the source */
	size_t len;
	int line;   /* from 1 */
	bool glued; /* no white space before it */
	int first;  /* lists: index of the first child, or SG_SX_NONE */
	int next;   /* index of the next sibling, or SG_SX_NONE */
};

struct sg_sx {
	struct sg_sx_node *nodes; /* nodes[0] is a list of all top-level forms */
	size_t n, cap;
};

/* SG_EINVALID: "line N: unbalanced parenthesis", "string without an end", too deep, too many, NUL.
 */
int sg_sx_parse(struct sg_sx *ret, const char *text, size_t len, struct sg_error *err);
void sg_sx_finish(struct sg_sx *sx);

bool sg_sx_is(const struct sg_sx *sx, int node, const char *atom);
/* The head atom of a list, or an empty string; never NULL; at most 127 bytes, else "". */
const char *sg_sx_head(const struct sg_sx *sx, int node, char ret_name[128]);

/* The form's text again: white space reduced to one blank, comments gone, and '.' in the first atom
 * of a list become '-' (the original's mangling of dotted names). */
void sg_sx_write(const struct sg_sx *sx, int node, struct sg_buf *out);

#endif
