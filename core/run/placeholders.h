/* Texts with "{field}" placeholders, filled from the state.
 *
 * As Python's str.format with bare field names: {{ and }} are braces. Conversions and format
 * specifications are refused when the graph is loaded. Values are what Python's str() makes of
 * them; lists and dicts are their canonical JSON. */
#ifndef SG_RUN_PLACEHOLDERS_H
#define SG_RUN_PLACEHOLDERS_H

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "graph/graph.h"

struct sg_template;

/* config.<key> of a node is text. SG_EINVALID names what is wrong with it. */
int sg_template_parse(struct sg_template **ret, const struct sg_graph *g, const char *key,
	const char *text, struct sg_error *err);
void sg_template_destroy(struct sg_template *t);
/* Appends to out; SG_ELIMIT, kind "template-too-long", when its limit is reached. */
int sg_template_render(
	const struct sg_template *t, const json_t *state, struct sg_buf *out, struct sg_error *err);

#endif
