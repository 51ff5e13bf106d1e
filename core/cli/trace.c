/* See trace.h. */
#include "cli/trace.h"

#include <stdio.h>
#include <string.h>

#include "cli/packs.h"
#include "config/yaml.h"
#include "run/compile.h"
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

/* No output for any node. */
static json_t *no_outputs(const struct sg_graph *g)
{
	json_t *all = json_object();
	for (size_t i = 0; all && i < g->n_nodes; i++)
		(void)json_object_set_new(all, g->nodes[i].id, json_object());
	return all;
}

static void print_trace(const struct sg_graph *g, const json_t *trace)
{
	const json_t *steps = json_object_get(trace, "steps");
	(void)printf("graph_hash=%s\nrule_firings=%zu\n", g->hash, count_firings(steps));
	print_steps(steps);
	print_silent(g, steps);
	(void)printf("path=");
	print_list(json_object_get(trace, "path"));
	(void)printf("\nend=\"%s\"\n", json_string_value(json_object_get(trace, "end")));
}

static int walk(struct sg_graph *g, const json_t *outputs, const struct sg_mounts *m,
	const json_t *params, struct sg_error *err)
{
	struct sg_rules *rules = NULL;
	json_t *trace = NULL;
	int e = sg_run_check(g, m, &rules, err);
	if (e == 0)
		e = sg_run_simulate(g, rules, outputs, params, MAX_STEPS, &trace, err);
	if (e == 0)
		print_trace(g, trace);
	json_decref(trace);
	sg_rules_destroy(rules);
	return e;
}

static int with_file(struct sg_graph *g, const char *fixtures, const struct sg_mounts *m,
	const json_t *params, struct sg_error *err)
{
	struct sg_yaml y = {0};
	int e = sg_yaml_read_file(fixtures, &y, err);
	if (e < 0)
		return e;
	e = check_fixtures(g, &y, err);
	if (e == 0)
		e = walk(g, y.root, m, params, err);
	sg_yaml_finish(&y);
	return e;
}

static int without(
	struct sg_graph *g, const struct sg_mounts *m, const json_t *params, struct sg_error *err)
{
	json_t *none = no_outputs(g);
	int e = none ? walk(g, none, m, params, err) : sg_error_nomem(err);
	json_decref(none);
	return e;
}

int sg_trace_print(const char *graph, const char *fixtures, const struct sg_cli_packs *packs,
	const json_t *params, struct sg_error *err)
{
	struct sg_graph *g = NULL;
	struct sg_mounts *m = NULL;
	int e = sg_cli_mount_packs(packs, &m, err);
	if (e == 0)
		e = sg_cli_load_graph(graph, &g, err);
	if (e == 0)
		e = fixtures ? with_file(g, fixtures, m, params, err) : without(g, m, params, err);
	sg_graph_destroy(g);
	sg_mounts_destroy(m);
	return e;
}
