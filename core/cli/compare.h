/* stargraph compare in its two forms: two runs, and many runs under other rule packs. */
#ifndef SG_CLI_COMPARE_H
#define SG_CLI_COMPARE_H

#include "cli/packs.h"
#include "cli/replaying.h"

struct sg_compare_many {
	const struct sg_cli_packs *packs;
	int64_t since_us, until_us; /* of their start; 0 = open */
	const char *graph_id;	    /* NULL = any */
	char **runs;		    /* these alone, or NULL */
	size_t n_runs;
	bool json;
};

/* Two runs, as sg_compare tells it: for people. */
int sg_compare_print(const json_t *comparison);
/* Every chosen run executed with these packs, and a table of what came out. Exit code. */
int sg_compare_packs(
	struct sg_replaying *s, const struct sg_compare_many *with, struct sg_error *err);

#endif
