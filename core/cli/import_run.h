/* One run of the Python original into the store: see verb_import.c. */
#ifndef SG_CLI_IMPORT_RUN_H
#define SG_CLI_IMPORT_RUN_H

#include "audit/audit.h"
#include "graph/graph.h"
#include "original/original.h"

/* A graph file that the operator says had this hash in the original. */
struct sg_import_graph {
	char hash[65];
	struct sg_graph *graph;
};

struct sg_import {
	struct sg_original *from;
	struct sg_audit *audit;
	const struct sg_import_graph *graphs;
	size_t n_graphs;
	char source_sha256[SG_SHA256_HEX]; /* of the original's file */
	int schema;
	uint64_t steps; /* done, for the progress line */
};

enum sg_imported {
	SG_IMPORT_DONE,
	SG_IMPORT_KNOWN, /* the same rows are there already */
};
/* Puts row, steps, audit record and the text that marks it into t. SG_EINVALID: a value that is not
 * the original's; SG_ECONFLICT: another run has this id, or its rows changed since. */
int sg_import_run(struct sg_import *x, struct sg_txn *t, const char *run_id, enum sg_imported *ret,
	struct sg_error *err);

#endif
