/* stargraph compile: what a graph file becomes, checked as at a start of the server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/draw.h"
#include "cli/packs.h"
#include "cli/yaml_out.h"
#include "run/compile.h"

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

struct wanted {
	bool show_clips;
	struct sg_draw_target draw;
};

static int print_document(const struct sg_graph *g, bool show_clips, struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	int e = sg_yaml_write(g->document, &text, err);
	if (e < 0)
		return e;
	if (text.failed)
		return sg_error_nomem(err);
	(void)printf("# graph_hash: %s\n%s", g->hash, text.data);
	if (show_clips)
		print_rules(g);
	return 0;
}

static int compile(
	const char *path, const struct wanted *w, const struct sg_mounts *m, struct sg_error *err)
{
	struct sg_graph *g = NULL;
	int e = sg_cli_load_graph(path, &g, err);
	if (e == 0)
		e = sg_run_check(g, m, NULL, err);
	if (e == 0 && w->draw.wanted)
		e = sg_draw_write(g, NULL, NULL, 0, &w->draw, err);
	else if (e == 0)
		e = print_document(g, w->show_clips, err);
	sg_graph_destroy(g);
	return e;
}

static int with_packs(const char *path, const struct wanted *w, const struct sg_cli_packs *packs,
	struct sg_error *err)
{
	struct sg_mounts *m = NULL;
	int e = sg_cli_mount_packs(packs, &m, err);
	if (e == 0)
		e = compile(path, w, m, err);
	sg_mounts_destroy(m);
	return e;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"show-clips", no_argument, NULL, 'c'},
		{"draw", required_argument, NULL, 'd'}, {"output", required_argument, NULL, 'o'},
		{"pack", required_argument, NULL, 'p'}, {0}};
	struct sg_error err = {0};
	struct sg_cli_packs packs = {0};
	struct wanted w = {0};
	int o;
	while ((o = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (o == '?')
			return sg_cli_usage(
				&sg_verb_compile, "bad option \"%s\"", argv[optind - 1]);
		if (o == 'p' && sg_cli_add_pack(&packs, &sg_verb_compile, optarg))
			return SG_EXIT_USAGE;
		if (o == 'd' && sg_draw_format(optarg, &w.draw) < 0)
			return sg_cli_usage(&sg_verb_compile, "--draw takes text or svg");
		if (o == 'o')
			w.draw.path = optarg;
		w.show_clips = w.show_clips || o == 'c';
	}
	if (optind + 1 != argc)
		return sg_cli_usage(&sg_verb_compile, "one graph file is needed");
	if (w.draw.path && !w.draw.wanted)
		return sg_cli_usage(&sg_verb_compile, "-o belongs to --draw");
	if (with_packs(argv[optind], &w, &packs, &err) < 0)
		return sg_cli_fail(&err);
	return fflush(stdout) == 0 ? SG_EXIT_DONE : SG_EXIT_FAILED;
}

const struct sg_verb sg_verb_compile = {
	.name = "compile",
	.summary = "check a graph file and print the document that it becomes",
	.usage = "usage: stargraph compile [--show-clips | --draw text|svg [-o FILE]]\n"
		 "                         [--pack DIR]… GRAPH\n\n"
		 "  GRAPH         a graph file, IR or authoring format\n"
		 "  --pack DIR    a rule pack that the graph mounts; its key is not pinned\n"
		 "  --show-clips  also print each rule: id: CLIPS conditions => actions\n"
		 "  --draw text|svg  draw the graph instead; -o FILE: not on standard output\n",
	.run = run,
};
