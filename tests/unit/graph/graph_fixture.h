/* Loading graph texts with a small table of kinds. */
#ifndef SG_TEST_GRAPH_FIXTURE_H
#define SG_TEST_GRAPH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "graph/graph.h"

#define TEMPLATE_SCHEMA \
	"{\"type\":\"object\",\"required\":[\"template\",\"out\"],\"additionalProperties\":false," \
	"\"properties\":{\"template\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"}}}"
#define SUBGRAPH_SCHEMA \
	"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"inputs\":{" \
	"\"type\":\"object\"}," \
	"\"outputs\":{\"type\":\"object\"},\"max_steps\":{\"type\":\"integer\",\"minimum\":1}}}"

static const struct sg_kind_spec fixture_kinds[] = {{"echo", NULL}, {"halt", NULL},
	{"passthrough", NULL}, {"template", TEMPLATE_SCHEMA}, {"subgraph", SUBGRAPH_SCHEMA},
	{"interrupt", "{\"type\":\"object\"}"}};

static inline int load(struct sg_graph **ret, const char *text, struct sg_error *err)
{
	return sg_graph_load_text(ret, "g.yaml", text, strlen(text), fixture_kinds,
		SG_ARRAY_LEN(fixture_kinds), NULL, err);
}

static inline struct sg_graph *must_load(const char *text)
{
	struct sg_graph *g = NULL;
	struct sg_error err = {0};
	if (load(&g, text, &err) != 0)
		fail_msg("%s", err.text);
	return g;
}

/* The text must be refused, with a message that contains `what`. */
static inline void must_refuse(const char *text, const char *what)
{
	struct sg_graph *g = NULL;
	struct sg_error err = {0};
	if (load(&g, text, &err) == 0)
		fail_msg("loaded, though it should say: %s", what);
	if (!strstr(err.text, what))
		fail_msg("says \"%s\", not \"%s\"", err.text, what);
	if (strncmp(err.text, "g.yaml:", 7) != 0)
		fail_msg("does not say where: %s", err.text);
	if (strchr(err.text, '\n'))
		fail_msg("more than one line: %s", err.text);
}

static inline json_t *parse(const char *text)
{
	json_error_t e;
	json_t *v = json_loads(text, JSON_DECODE_ANY, &e);
	if (!v)
		fail_msg("bad JSON in the test: %s: %s", e.text, text);
	return v;
}

#endif
