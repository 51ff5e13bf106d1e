/* One step of rules: 20 rules, 6 mirrored fields; reset, assert, run, read. Then growth with facts.
 * Prints medians in microseconds; the bars are in docs/reference/graphs.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "rules/rules.h"

static double now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(struct sg_rules *r, const struct sg_rules_step *in, int n, double *ret_p99)
{
	double *t = calloc((size_t)n, sizeof(*t));
	for (int i = 0; i < n; i++) {
		struct sg_rules_outcome o;
		struct sg_error err = {0};
		double start = now_us();
		if (sg_rules_run(r, in, &o, &err) != 0) {
			(void)fprintf(stderr, "%s: %s\n", err.kind, err.text);
			exit(1);
		}
		t[i] = now_us() - start;
		sg_rules_outcome_finish(&o);
	}
	qsort(t, (size_t)n, sizeof(*t), compare);
	double m = t[n / 2];
	*ret_p99 = t[n * 99 / 100];
	free(t);
	return m;
}

static void routing(void)
{
	const struct sg_rules_field fields[] = {{"label", SG_SLOT_STRING},
		{"confidence", SG_SLOT_FLOAT}, {"risk", SG_SLOT_INTEGER}, {"done", SG_SLOT_BOOL},
		{"owner", SG_SLOT_STRING}, {"phase", SG_SLOT_STRING}};
	struct sg_rules_rule rules[20];
	char text[20][2][160];
	json_t *then = json_pack("[{s:s, s:s}]", "kind", "goto", "target", "next");
	for (int i = 0; i < 20; i++) {
		(void)snprintf(text[i][0], sizeof(text[i][0]), "r-%d", i);
		(void)snprintf(text[i][1], sizeof(text[i][1]),
			"(node-id (id n%d)) (label (value \"l%d\")) (risk (typed ?r&:(> ?r %d)))",
			i / 2, i % 4, i);
		rules[i] =
			(struct sg_rules_rule){.id = text[i][0], .lhs = text[i][1], .then = then};
	}
	struct sg_rules_spec spec = {
		.fields = fields, .n_fields = 6, .rules = rules, .n_rules = 20};
	json_t *state = json_pack("{s:s, s:f, s:i, s:b, s:s, s:s}", "label", "l2", "confidence",
		0.5472256, "risk", 7, "done", 0, "owner", "somebody", "phase", "triage");
	struct sg_rules *r;
	struct sg_error err = {0};
	double p99, start = now_us();
	if (sg_rules_create(&r, &spec, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	double prepared = now_us() - start;
	struct sg_rules_step in = {.node_id = "n1",
		.state = state,
		.run_id = "run-0123456789abcdef",
		.step = 3,
		.timestamp = "2026-11-24T00:00:00.000000Z"};
	double m = median(r, &in, 20000, &p99);
	(void)printf("20 rules, 6 fields: prepare %.0f us, step p50 %.1f us, p99 %.1f us\n",
		prepared, m, p99);
	sg_rules_destroy(r);
	json_decref(state);
	json_decref(then);
}

/* 100 rules over n carried facts, each rule joining two of them by key. */
static void growth(int n_facts)
{
	const char *slots[] = {"group", "key", "n"};
	const struct sg_rules_template t = {"item", slots, 3};
	struct sg_rules_rule rules[100];
	char text[100][2][200];
	for (int i = 0; i < 100; i++) {
		(void)snprintf(text[i][0], sizeof(text[i][0]), "r-%d", i);
		(void)snprintf(text[i][1], sizeof(text[i][1]),
			"(node-id (id a)) (item (group %d) (key ?k)) (item (group %d) (key ?k) (n "
			"?n&:(> ?n 900)))",
			i, i + 1);
		rules[i] = (struct sg_rules_rule){.id = text[i][0], .lhs = text[i][1]};
	}
	struct sg_rules_spec spec = {
		.templates = &t, .n_templates = 1, .rules = rules, .n_rules = 100};
	struct sg_fact_in *facts = calloc((size_t)n_facts, sizeof(*facts));
	for (int i = 0; i < n_facts; i++)
		facts[i] = (struct sg_fact_in){"item",
			json_pack("{s:i, s:i, s:i}", "group", i % 101, "key", i % 7, "n", i)};
	struct sg_rules *r;
	struct sg_error err = {0};
	if (sg_rules_create(&r, &spec, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	struct sg_rules_step in = {
		.node_id = "a", .step = 1, .facts = facts, .n_facts = (size_t)n_facts};
	double p99, m = median(r, &in, 200, &p99);
	(void)printf("100 rules, %d facts: step p50 %.2f ms, p99 %.2f ms\n", n_facts, m / 1e3,
		p99 / 1e3);
	for (int i = 0; i < n_facts; i++)
		json_decref((json_t *)facts[i].slots);
	free(facts);
	sg_rules_destroy(r);
}

int main(int argc, char **argv)
{
	routing();
	if (argc > 1 && strcmp(argv[1], "routing") == 0)
		return 0;
	growth(100);
	growth(300);
	growth(1000);
	growth(3000);
	return 0;
}
