/* Which rules fire in a graph whose nodes do not run: for `simulate` and `run --inspect`. */
#ifndef SG_CLI_TRACE_H
#define SG_CLI_TRACE_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/packs.h"

/* Prints the trace on standard output. fixtures: a YAML file of node: output for each node; NULL =
 * no node changes anything. The packs are verified and not pinned. */
int sg_trace_print(const char *graph, const char *fixtures, const struct sg_cli_packs *packs,
	const json_t *params, struct sg_error *err);

#endif
