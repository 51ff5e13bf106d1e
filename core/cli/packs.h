/* The graph file and --pack DIR of the verbs that load graphs. */
#ifndef SG_CLI_PACKS_H
#define SG_CLI_PACKS_H

#include "cli/cli.h"
#include "graph/graph.h"
#include "run/mounts.h"

struct sg_cli_packs {
	const char *dirs[SG_MOUNTS_MAX]; /* borrowed from argv */
	size_t n;
};

/* One more --pack. 0, or the exit code of a usage error. */
int sg_cli_add_pack(struct sg_cli_packs *p, const struct sg_verb *verb, const char *dir);
/* Verified against the key that came with each, nothing pinned: for verbs that run nothing. */
int sg_cli_mount_packs(const struct sg_cli_packs *p, struct sg_mounts **ret, struct sg_error *err);
/* Any kind, and whatever stores, tools and models it names. */
int sg_cli_load_graph(const char *path, struct sg_graph **ret, struct sg_error *err);

#endif
