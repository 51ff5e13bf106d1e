/* From a loaded graph to its prepared rules: the one bridge between graph and rules, which do not
 * know each other. Used by the engine and by the verbs that look at rules without running nodes. */
#ifndef SG_RUN_COMPILE_H
#define SG_RUN_COMPILE_H

#include "graph/graph.h"
#include "rules/rules.h"

struct sg_mounts;

/* Mirrored fields, asserted facts, the packs and the graph's rules, in that order. firings[i].rule
 * is then an index into g->rules. */
int sg_run_compile(const struct sg_graph *g, const struct sg_rules_limits *limits,
	const struct sg_rules_pack *packs, size_t n_packs, struct sg_rules **ret,
	struct sg_error *err);

/* Everything that a start of the server would refuse, but what needs a model: packs found and bound
 * (the hash changes), node kinds' own checks, parallel blocks, rules; subgraphs too. ret_rules are
 * those of g, for the caller to destroy; NULL = not wanted. m NULL = no packs. */
int sg_run_check(struct sg_graph *g, const struct sg_mounts *m, struct sg_rules **ret_rules,
	struct sg_error *err);

#endif
