/* From a loaded graph to its prepared rules: the one bridge between graph and rules, which do not
 * know each other. Used by the engine and by the verbs that look at rules without running nodes. */
#ifndef SG_RUN_COMPILE_H
#define SG_RUN_COMPILE_H

#include "graph/graph.h"
#include "rules/rules.h"

/* Mirrored fields, asserted facts, the packs and the graph's rules, in that order. firings[i].rule
 * is then an index into g->rules. */
int sg_run_compile(const struct sg_graph *g, const struct sg_rules_limits *limits,
	const struct sg_rules_pack *packs, size_t n_packs, struct sg_rules **ret,
	struct sg_error *err);

/* What each node kind checks beyond its schema (fields that exist, placeholders), without a model:
 * kinds that embed are checked when they are loaded to run. Subgraphs too. */
int sg_run_check_nodes(const struct sg_graph *g, struct sg_error *err);

#endif
