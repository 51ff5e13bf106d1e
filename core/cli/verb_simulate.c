/* stargraph simulate: which rules fire, on node outputs out of a file. No node runs. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "config/yaml.h"
#include "run/compile.h"
#include "run/run.h"
#include "run/simulate.h"

#define MAX_STEPS 200

/* The outputs must be of this graph's nodes, and cover them all. */
static int check_fixtures(const struct sg_graph *g, const struct sg_yaml *y, struct sg_error *err)
{
	const char *name;
	json_t *v;
	if (!json_is_object(y->root))
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s:1:1: must be a mapping of node: output", y->path);
	json_object_foreach (y->root, name, v)
		if (sg_graph_find_node(g, name) < 0)
			return sg_error_set(err, SG_EINVALID, NULL,
				"%s: graph %s has no node \"%.64s\"", y->path, g->id, name);
	for (size_t i = 0; i < g->n_nodes; i++)
		if (!json_object_get(y->root, g->nodes[i].id))
			return sg_error_set(err, SG_EINVALID, "missing-fixture",
				"%s: no output for node %s; write \"%s: {}\" if it changes nothing",
				y->path, g->nodes[i].id, g->nodes[i].id);
	return 0;
}

static size_t count_firings(const json_t *steps)
{
	size_t i, n = 0;
	const json_t *one;
	json_array_foreach (steps, i, one)
		n += json_array_size(json_object_get(one, "fired"));
	return n;
}

static void print_list(const json_t *list)
{
	size_t i;
	const json_t *one;
	(void)putchar('[');
	json_array_foreach (list, i, one)
		(void)printf("%s%s", i ? "," : "", json_string_value(one));
	(void)putchar(']');
}

static void print_steps(const json_t *steps)
{
	size_t i, k;
	const json_t *one, *f;
	json_array_foreach (steps, i, one) {
		(void)printf("step=%zu node=%s decision=\"%s\"\n", i,
			json_string_value(json_object_get(one, "node")),
			json_string_value(json_object_get(one, "decision")));
		json_array_foreach (json_object_get(one, "fired"), k, f) {
			(void)printf("  rule=%s fired=True matched=[%s] actions=",
				json_string_value(json_object_get(f, "rule")),
				json_string_value(json_object_get(f, "matched")));
			print_list(json_object_get(f, "actions"));
			(void)putchar('\n');
		}
	}
}

static bool ever_fired(const json_t *steps, const char *rule)
{
	size_t i, k;
	const json_t *one, *f;
	json_array_foreach (steps, i, one)
		json_array_foreach (json_object_get(one, "fired"), k, f)
			if (strcmp(json_string_value(json_object_get(f, "rule")), rule) == 0)
				return true;
	return false;
}

static void print_silent(const struct sg_graph *g, const json_t *steps)
{
	for (size_t i = 0; i < g->n_rules; i++)
		if (!ever_fired(steps, g->rules[i].id))
			(void)printf("  rule=%s fired=False\n", g->rules[i].id);
}

static int walk(const struct sg_graph *g, const struct sg_yaml *y, const json_t *params,
	struct sg_error *err)
{
	struct sg_rules *rules = NULL;
	json_t *trace = NULL;
	int e = check_fixtures(g, y, err);
	if (e == 0)
		e = sg_run_check_nodes(g, err);
	if (e == 0)
		e = sg_run_compile(g, NULL, NULL, 0, &rules, err);
	if (e == 0)
		e = sg_run_simulate(g, rules, y->root, params, MAX_STEPS, &trace, err);
	if (e == 0) {
		const json_t *steps = json_object_get(trace, "steps");
		(void)printf("graph_hash=%s\nrule_firings=%zu\n", g->hash, count_firings(steps));
		print_steps(steps);
		print_silent(g, steps);
		(void)printf("path=");
		print_list(json_object_get(trace, "path"));
		(void)printf("\nend=\"%s\"\n", json_string_value(json_object_get(trace, "end")));
	}
	json_decref(trace);
	sg_rules_destroy(rules);
	return e;
}

static int simulate(
	const char *graph, const char *fixtures, const json_t *params, struct sg_error *err)
{
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	const struct sg_graph_limits limits = {.any_store = true};
	struct sg_graph *g = NULL;
	struct sg_yaml y = {0};
	int e = sg_graph_load(&g, graph, kinds, sg_run_kinds(kinds), &limits, err);
	if (e == 0)
		e = sg_yaml_read_file(fixtures, &y, err);
	if (e == 0) {
		e = walk(g, &y, params, err);
		sg_yaml_finish(&y);
	}
	sg_graph_destroy(g);
	return e;
}

static int add_input(json_t *params, const char *text)
{
	const char *eq = strchr(text, '=');
	char *key = eq && eq != text ? strndup(text, (size_t)(eq - text)) : NULL;
	int bad = !key || json_object_set_new(params, key, json_string(eq + 1)) < 0;
	free(key);
	return bad ? sg_cli_usage(&sg_verb_simulate, "\"%s\" is not key=value", text) : 0;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {{"fixtures", required_argument, NULL, 'f'},
		{"inputs", required_argument, NULL, 'i'}, {0}};
	struct sg_error err = {0};
	const char *fixtures = NULL;
	json_t *params = json_object();
	int o, code = 0;
	opterr = 0;
	while (code == 0 && (o = getopt_long(argc, argv, "i:", options, NULL)) != -1) {
		if (o == 'f')
			fixtures = optarg;
		else if (o == 'i')
			code = add_input(params, optarg);
		else
			code = sg_cli_usage(
				&sg_verb_simulate, "bad option \"%s\"", argv[optind - 1]);
	}
	if (code == 0 && (optind + 1 != argc || !fixtures))
		code = sg_cli_usage(
			&sg_verb_simulate, "a graph file and --fixtures FILE are needed");
	if (code == 0 && simulate(argv[optind], fixtures, params, &err) < 0)
		code = sg_cli_fail(&err);
	json_decref(params);
	return code == 0 && fflush(stdout) != 0 ? SG_EXIT_FAILED : code;
}

const struct sg_verb sg_verb_simulate = {
	.name = "simulate",
	.summary = "show which rules fire on node outputs out of a file",
	.usage =
		"usage: stargraph simulate GRAPH --fixtures FILE [-i key=value]…\n\n"
		"  --fixtures FILE  YAML: node id: state update, one for each node ({} = nothing)\n"
		"  -i key=value     a field of the first state\n\n"
		"The rules really decide; no node runs and nothing is kept.\n",
	.run = run,
};
