/* A comparison of two runs for people. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/compare.h"
#include "cli/table.h"

static void print_side(const char *name, const json_t *run)
{
	const char *error = sg_json_text_or_empty(run, "error");
	const char *why = *error ? error : sg_json_text_or_empty(run, "reason");
	const char *parent = sg_json_text_or_empty(run, "parent_run_id");
	(void)printf("%s  %s  %s  %s  %lld steps%s%s%s%s\n", name,
		sg_json_text_or_empty(run, "run_id"), sg_json_text_or_empty(run, "graph_id"),
		sg_json_text_or_empty(run, "status"), (long long)sg_json_int(run, "steps", 0),
		*why ? "  " : "", why, *parent ? "  fork of " : "", parent);
}

static void print_fact(const json_t *fact)
{
	const json_t *from = json_object_get(fact, "provenance");
	const char *key;
	json_t *v;
	(void)printf("     %s (%s", sg_json_text_or_empty(fact, "id"),
		sg_json_text_or_empty(fact, "template"));
	json_object_foreach (json_object_get(fact, "slots"), key, v) {
		sg_autobuf b = SG_BUF_INIT(1U << 20);
		if (sg_json_print(v, &b, NULL) == 0)
			(void)printf(" (%s %.200s)", key, b.data);
	}
	(void)putchar(')');
	if (json_object_size(from))
		(void)printf("  from %s %s, step %s", sg_json_text_or_empty(from, "origin"),
			sg_json_text_or_empty(from, "source"), sg_json_text_or_empty(from, "step"));
	(void)putchar('\n');
}

static void print_rule(const char *name, const json_t *side)
{
	size_t i;
	const json_t *fact;
	const char *unknown = sg_json_text_or_empty(side, "not_told"),
		   *rule = sg_json_text_or_empty(side, "decided_by");
	if (*unknown)
		(void)printf("  %s  the rules are not known: %s\n", name, unknown);
	else
		(void)printf("  %s  %s%s\n", name, *rule ? "rule " : "no rule decided", rule);
	json_array_foreach (json_object_get(side, "facts"), i, fact)
		print_fact(fact);
}

/* What the patch does to the state, in short. */
static void change_text(const json_t *patch, struct sg_buf *out)
{
	size_t i;
	const json_t *op;
	json_array_foreach (patch, i, op) {
		const char *path = sg_json_text_or_empty(op, "path");
		if (strncmp(path, "/state/", 7) != 0)
			continue;
		sg_buf_addf(out, "%s%s", out->len ? ", " : "", path + 7);
		const json_t *v = json_object_get(op, "value");
		sg_autobuf b = SG_BUF_INIT(1U << 20);
		if (v && sg_json_print(v, &b, NULL) == 0)
			sg_buf_addf(out, " = %.80s", b.data);
		else
			sg_buf_adds(out, " gone");
	}
}

static void axes_text(const json_t *axes, struct sg_buf *out)
{
	size_t i;
	const json_t *one;
	json_array_foreach (axes, i, one)
		sg_buf_addf(out, "%s%s", i ? " " : "", json_string_value(one));
}

static int print_steps(const json_t *steps)
{
	static const char *const headings[] = {"STEP", "A", "B", "AXES", "STATE OF B"};
	struct sg_cli_table t;
	size_t i;
	const json_t *one;
	sg_table_init(&t, SG_ARRAY_LEN(headings), headings);
	json_array_foreach (steps, i, one) {
		sg_autobuf axes = SG_BUF_INIT(4096), change = SG_BUF_INIT(1U << 20);
		const char *a = sg_json_text_or_empty(one, "node_a"),
			   *b = sg_json_text_or_empty(one, "node_b");
		char number[24];
		(void)snprintf(
			number, sizeof(number), "%lld", (long long)sg_json_int(one, "step", -1));
		axes_text(json_object_get(one, "axes"), &axes);
		if (*a && *b)
			change_text(json_object_get(one, "patch"), &change);
		const char *const row[] = {number, a, b, axes.data, change.data};
		sg_table_row(&t, row);
	}
	return sg_table_print(&t);
}

int sg_compare_print(const json_t *c)
{
	const json_t *first = json_object_get(c, "first"), *route = json_object_get(c, "route");
	const char *axis = sg_json_text_or_empty(first, "axis"),
		   *text = sg_json_text_or_empty(first, "text");
	print_side("a", json_object_get(c, "a"));
	print_side("b", json_object_get(c, "b"));
	if (json_is_true(json_object_get(c, "identical"))) {
		(void)puts("identical");
		return SG_EXIT_DONE;
	}
	long long step = (long long)sg_json_int(first, "step", -1);
	if (json_is_object(first) && step >= 0)
		(void)printf("first difference: %s, at step %lld: %s\n", axis, step, text);
	else if (json_is_object(first))
		(void)printf("difference: %s: %s; no step differs\n", axis, text);
	else
		(void)puts("no step differs; they ended differently");
	if (json_is_object(route)) {
		(void)printf("route: %s\n", sg_json_text_or_empty(route, "text"));
		print_rule("a", json_object_get(route, "a"));
		print_rule("b", json_object_get(route, "b"));
	}
	if (json_array_size(json_object_get(c, "steps"))) {
		(void)putchar('\n');
		if (print_steps(json_object_get(c, "steps")) < 0)
			return SG_EXIT_FAILED;
	}
	if (sg_json_int(c, "left_off", 0))
		(void)printf("… and %lld steps more that differ\n",
			(long long)sg_json_int(c, "left_off", 0));
	return SG_EXIT_DONE;
}
