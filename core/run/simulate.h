/* Walks a graph on made-up node outputs: the rules really decide, no node runs, nothing is kept. */
#ifndef SG_RUN_SIMULATE_H
#define SG_RUN_SIMULATE_H

#include <jansson.h>

#include "graph/graph.h"
#include "rules/rules.h"

/* outputs: an object, node id → state update (null = none); a node without one changes nothing.
 * An interrupt is passed as if answered with nothing; each target of a parallel applies its output
 * in order. *ret is a new object: {"path": [node…], "steps": [{"node", "fired": [{"rule",
 * "matched", "actions": [kind…]}], "decision": "goto b"}…], "state": {…}, "end": "done" | "halted:
 * <reason>" | "stopped after N steps"}. SG_EINVALID for an output that is not of the state; and
 * rules' errors. */
int sg_run_simulate(const struct sg_graph *g, struct sg_rules *rules, const json_t *outputs,
	const json_t *params, long max_steps, json_t **ret, struct sg_error *err);

#endif
