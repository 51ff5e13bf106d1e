/* See packs.h. */
#include "cli/packs.h"

#include "run/run.h"

int sg_cli_add_pack(struct sg_cli_packs *p, const struct sg_verb *verb, const char *dir)
{
	if (p->n == SG_MOUNTS_MAX)
		return sg_cli_usage(verb, "more than %d --pack", SG_MOUNTS_MAX);
	p->dirs[p->n++] = dir;
	return 0;
}

int sg_cli_mount_packs(const struct sg_cli_packs *p, struct sg_mounts **ret, struct sg_error *err)
{
	return sg_mounts_from_directories(ret, p->dirs, p->n, NULL, err);
}

int sg_cli_load_graph(const char *path, struct sg_graph **ret, struct sg_error *err)
{
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	const struct sg_graph_limits limits = {.any_name = true};
	return sg_graph_load(ret, path, kinds, sg_run_kinds(kinds), &limits, err);
}
