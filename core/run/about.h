/* Facts about a step itself: where the run stands, what the graph is made of, every text that rules
 * see. They are laid out only where a mounted rule has a pattern on them, so nobody else pays for
 * them, and come from nothing that a replay does not have. docs/reference/rules.md names them. */
#ifndef SG_RUN_ABOUT_H
#define SG_RUN_ABOUT_H

#include <jansson.h>
#include <stdint.h>

#include "graph/graph.h"
#include "rules/rules.h"

#define SG_ABOUT_PART 32768U  /* bytes of a text that one stargraph-text fact holds */
#define SG_ABOUT_OVERLAP 128U /* that the next one repeats */

struct sg_about_step {
	const struct sg_graph *graph;
	const char *node_id, *run_id, *timestamp;
	int64_t step, elapsed_ms;
	int64_t visits;	    /* of the node in this run, this one included */
	int64_t in_a_row;   /* of these, since another node ran */
	int64_t tool_calls; /* of the run */
	int64_t tokens;	    /* of the run, as its models counted them */
	const json_t *state;
};

struct sg_about {
	struct sg_fact_in *facts; /* owned, and the slots of each */
	size_t n;
};

/* What the rules ask for (sg_rules_asks); nothing for none. */
int sg_about_make(struct sg_about *ret, const struct sg_rules *rules,
	const struct sg_about_step *of, struct sg_error *err);
void sg_about_finish(struct sg_about *a);
/* What a record of a model's answer says that it took; 0 for any other. */
int64_t sg_about_tokens(const json_t *record);

#endif
