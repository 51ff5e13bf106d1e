/* stargraph compile: what a graph file becomes, checked as at a start of the server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/packs.h"
#include "cli/yaml_out.h"
#include "run/compile.h"
#include "run/run.h"

static void print_action(const struct sg_action *a)
{
	switch (a->kind) {
	case SG_GOTO: (void)printf("goto %s", a->target); break;
	case SG_HALT: (void)printf("halt (%s)", a->reason ? a->reason : ""); break;
	case SG_RETRY:
		(void)printf("retry %s after %lld ms", a->target, (long long)a->backoff_ms);
		break;
	case SG_ASSERT: (void)printf("assert %s %s", a->fact, a->slots); break;
	case SG_RETRACT: (void)printf("retract %s", a->pattern); break;
	case SG_INTERRUPT: (void)printf("interrupt (%s)", a->prompt); break;
	case SG_PARALLEL:
		(void)printf("parallel [");
		for (size_t i = 0; i < a->n_targets; i++)
			(void)printf("%s%s", i ? ", " : "", a->targets[i]);
		(void)printf(
			"] %s, join %s", a->strategy, a->join[0] ? a->join : "(the next node)");
		break;
	}
}

static void print_rules(const struct sg_graph *g)
{
	(void)puts("# rules (CLIPS conditions => actions):");
	for (size_t i = 0; i < g->n_rules; i++) {
		const char *lhs = g->rules[i].lhs[0] ? g->rules[i].lhs : "(initial-fact)";
		(void)printf("#   %s: ", g->rules[i].id);
		for (; *lhs; lhs++) /* one line a rule, whatever it holds */
			(void)putchar(*lhs == '\n' ? ' ' : *lhs);
		(void)printf(" => ");
		for (size_t k = 0; k < g->rules[i].n_actions; k++) {
			(void)fputs(k ? ", " : "", stdout);
			print_action(&g->rules[i].actions[k]);
		}
		(void)putchar('\n');
	}
}

static int compile(
	const char *path, bool show_clips, const struct sg_mounts *m, struct sg_error *err)
{
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	const struct sg_graph_limits limits = {.any_name = true};
	struct sg_graph *g = NULL;
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	int e = sg_graph_load(&g, path, kinds, sg_run_kinds(kinds), &limits, err);
	if (e == 0)
		e = sg_run_check(g, m, NULL, err);
	if (e == 0)
		e = sg_yaml_write(g->document, &text, err);
	if (e == 0 && text.failed)
		e = sg_error_nomem(err);
	if (e == 0) {
		(void)printf("# graph_hash: %s\n%s", g->hash, text.data);
		if (show_clips)
			print_rules(g);
	}
	sg_graph_destroy(g);
	return e;
}

static int with_packs(
	const char *path, bool show_clips, const struct sg_cli_packs *packs, struct sg_error *err)
{
	struct sg_mounts *m = NULL;
	int e = sg_cli_mount_packs(packs, &m, err);
	if (e == 0)
		e = compile(path, show_clips, m, err);
	sg_mounts_destroy(m);
	return e;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"show-clips", no_argument, NULL, 'c'},
		{"pack", required_argument, NULL, 'p'}, {0}};
	struct sg_error err = {0};
	struct sg_cli_packs packs = {0};
	bool show_clips = false;
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == '?')
			return sg_cli_usage(
				&sg_verb_compile, "bad option \"%s\"", argv[optind - 1]);
		if (o == 'p' && sg_cli_add_pack(&packs, &sg_verb_compile, optarg))
			return SG_EXIT_USAGE;
		show_clips = show_clips || o == 'c';
	}
	if (optind + 1 != argc)
		return sg_cli_usage(&sg_verb_compile, "one graph file is needed");
	if (with_packs(argv[optind], show_clips, &packs, &err) < 0)
		return sg_cli_fail(&err);
	return fflush(stdout) == 0 ? SG_EXIT_DONE : SG_EXIT_FAILED;
}

const struct sg_verb sg_verb_compile = {
	.name = "compile",
	.summary = "check a graph file and print the document that it becomes",
	.usage = "usage: stargraph compile [--show-clips] [--pack DIR]… GRAPH\n\n"
		 "  GRAPH         a graph file, IR or authoring format\n"
		 "  --pack DIR    a rule pack that the graph mounts; its key is not pinned\n"
		 "  --show-clips  also print each rule: id: CLIPS conditions => actions\n",
	.run = run,
};
