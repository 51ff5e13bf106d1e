/* One step of rules: 20 rules, 6 mirrored fields; reset, assert, run, read. Then growth with facts;
 * then what memory 100,000 evaluations leave behind; then verifying and loading each pack directory
 * that is named, and compiling it. Exit 1 when a bar of the issue is missed.
 * Usage: bench-rules [routing | PACK… KEY.pub.pem]; tests/bench/rules/run signs and names ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "pack/pack.h"
#include "rules/rules.h"

#define BAR_STEP_US 10000.0 /* 100 rules over 1,000 facts */
#define BAR_PACK_US 5000.0  /* verify and load */
#define BAR_MEMORY_KB 1024  /* over 100,000 evaluations */

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
static double growth(int n_facts)
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
	return m;
}

static long rss_anon_kb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[200];
	long kb = -1;
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %ld kB", &kb) == 1)
			break;
	if (f)
		(void)fclose(f);
	return kb;
}

static const char pack_text[] =
	"(deftemplate seen (slot what))"
	"(defrule a (verdict (value ?v)) => (assert (seen (what (str-cat ?v \"-\" ?v)))))"
	"(defrule b (seen (what ?w&:(fathom-matches ?w \"9[0-9]-\"))) => (assert (bosun-violation "
	"(kind ?w) (severity \"warn\") (reason (upcase ?w)))))";

static void evaluate(struct sg_rules *r, long i)
{
	char text[64], run_id[32];
	struct sg_rules_outcome o;
	struct sg_error err = {0};
	(void)snprintf(text, sizeof(text), "value-%ld", i);
	(void)snprintf(run_id, sizeof(run_id), "run-%ld", i);
	json_t *state = json_pack("{s:s}", "verdict", text);
	const struct sg_rules_step in = {
		.node_id = "a", .state = state, .run_id = run_id, .step = i, .timestamp = text};
	if (sg_rules_run(r, &in, &o, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	sg_rules_outcome_finish(&o);
	json_decref(state);
}

/* Every value is another one, so that nothing that is kept could hide. */
static int memory(void)
{
	const struct sg_rules_field field = {"verdict", SG_SLOT_STRING};
	const struct sg_rules_pack p = {.id = "p",
		.version = "1",
		.text = pack_text,
		.len = sizeof(pack_text) - 1,
		.where = "p"};
	const struct sg_rules_spec spec = {
		.fields = &field, .n_fields = 1, .packs = &p, .n_packs = 1};
	struct sg_rules *r;
	long before = 0;
	if (sg_rules_create(&r, &spec, NULL) != 0)
		exit(1);
	for (long i = 0; i < 110000; i++) {
		if (i == 10000)
			before = rss_anon_kb();
		evaluate(r, i);
	}
	long after = rss_anon_kb();
	sg_rules_destroy(r);
	(void)printf("100,000 evaluations: RssAnon %ld kB before, %ld kB after (bar: +%d)\n",
		before, after, BAR_MEMORY_KB);
	return after > before + BAR_MEMORY_KB;
}

static double compile_us(const struct sg_pack *p)
{
	const struct sg_rules_pack one = {.id = p->id,
		.version = p->version,
		.text = p->rules,
		.len = p->rules_len,
		.where = p->where};
	const struct sg_rules_spec spec = {.packs = &one, .n_packs = 1};
	struct sg_rules *r = NULL;
	struct sg_error err = {0};
	double start = now_us();
	if (sg_rules_create(&r, &spec, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	double took = now_us() - start;
	sg_rules_destroy(r);
	return took;
}

static int pack(const char *dir, const struct sg_pack_trust *trust)
{
	enum { ROUNDS = 101 };
	double load[ROUNDS], compile[ROUNDS];
	for (int i = 0; i < ROUNDS; i++) {
		struct sg_pack *p;
		struct sg_error err = {0};
		double start = now_us();
		if (sg_pack_load(&p, dir, trust, &err) != 0) {
			(void)fprintf(stderr, "%s\n", err.text);
			exit(1);
		}
		load[i] = now_us() - start;
		compile[i] = compile_us(p);
		sg_pack_destroy(p);
	}
	qsort(load, ROUNDS, sizeof(*load), compare);
	qsort(compile, ROUNDS, sizeof(*compile), compare);
	(void)printf("%s: verify and load p50 %.2f ms, p99 %.2f ms (bar 5); an environment with it "
		     "p50 %.2f ms\n",
		dir, load[ROUNDS / 2] / 1e3, load[ROUNDS - 2] / 1e3, compile[ROUNDS / 2] / 1e3);
	return load[ROUNDS / 2] > BAR_PACK_US;
}

static int packs(char **argv, int n)
{
	struct sg_pack_trust trust = {0};
	struct sg_error err = {0};
	int missed = 0;
	if (sg_pack_trust_load(&trust, &argv[n - 1], 1, NULL, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	for (int i = 0; i + 1 < n; i++)
		missed |= pack(argv[i], &trust);
	sg_pack_trust_finish(&trust);
	return missed;
}

int main(int argc, char **argv)
{
	routing();
	if (argc > 1 && strcmp(argv[1], "routing") == 0)
		return 0;
	(void)growth(100);
	(void)growth(300);
	int missed = growth(1000) > BAR_STEP_US;
	(void)growth(3000);
	missed |= memory();
	missed |= argc > 2 ? packs(argv + 1, argc - 1) : 0;
	(void)puts(missed ? "a bar is missed" : "every bar is met");
	return missed;
}
