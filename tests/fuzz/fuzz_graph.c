/* Any bytes as a graph file: the loader never crashes, leaks or answers with more than one line,
 * and what loads has a canonical document that loads again to the same hash. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "graph/graph.h"

static const struct sg_kind_spec kinds[] = {{"echo", NULL}, {"halt", NULL}, {"passthrough", NULL},
	{"template", "{\"type\":\"object\",\"required\":[\"template\",\"out\"],"
		     "\"additionalProperties\":false,"
		     "\"properties\":{\"template\":{\"type\":\"string\"},\"out\":{\"type\":"
		     "\"string\"}}}"},
	{"subgraph", "{\"type\":\"object\"}"}, {"interrupt", "{\"type\":\"object\"}"},
	{"set", "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
		"\"values\":{\"type\":\"object\"},\"clips\":{\"type\":\"object\"}}}"},
	{"write_artifact", "{\"type\":\"object\",\"required\":[\"name\"]}"},
	{"classify_embedding", "{\"type\":\"object\"}", "examples_file", "examples"}};

static void check_again(const struct sg_graph *g)
{
	struct sg_graph *h = NULL;
	struct sg_error err = {0};
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	if (sg_json_canonical(g->document, &text, &err) < 0)
		abort();
	if (sg_graph_load_text(
		    &h, "stored", text.data, text.len, kinds, SG_ARRAY_LEN(kinds), NULL, &err) < 0)
		abort();
	if (strcmp(g->hash, h->hash) != 0)
		abort();
	sg_graph_destroy(h);
}

static void check_state(const struct sg_graph *g)
{
	json_t *state = NULL, *merged = NULL;
	struct sg_error err = {0};
	if (sg_graph_initial_state(g, NULL, false, &state, &err) < 0)
		abort();
	if (sg_graph_merge_state(g, state, state, &merged, &err) == 0)
		json_decref(merged);
	json_decref(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sg_graph *g = NULL;
	struct sg_error err = {0};
	if (sg_graph_load_text(&g, "/nonexistent/g.yaml", (const char *)data, size, kinds,
		    SG_ARRAY_LEN(kinds), NULL, &err) < 0) {
		if (err.code == 0 || strchr(err.text, '\n'))
			abort();
		return 0;
	}
	check_again(g);
	check_state(g);
	sg_graph_destroy(g);
	return 0;
}
