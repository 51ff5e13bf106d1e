/* What runs away ends by its limit, and soon: no step keeps the thread for longer than 50 ms when
 * its rules may work for 25 ms. Measured in the thread's own time, so that a busy machine does not
 * count. */
#include "rules_fixture.h"

#include <stdlib.h>
#include <time.h>

#define WALL_US 25000
#define MOST_US 80000 /* 50,000 where nothing else runs; caches are shared */
#define FACTS 310     /* two patterns: 96,100 combinations, just allowed */

static int64_t cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct bomb {
	const char *name, *lhs, *pack, *kind;
	size_t facts, text; /* carried facts, and the length of each one's text */
	bool seen;	    /* they come before the state's fields */
};

static const struct bomb bombs[] = {
	{"endless firings", NULL,
		"(deftemplate c (slot n))\n(defrule a (node-id (id ?x)) => (assert (c (n 0))))\n"
		"(defrule b ?f <- (c (n ?n)) => (modify ?f (n (+ ?n 1))))\n",
		"", 0, 0},
	{"endless facts", NULL,
		"(deftemplate c (slot n))\n(defrule a (node-id (id ?x)) => (assert (c (n 0))))\n"
		"(defrule b (c (n ?n)) => (assert (c (n (+ ?n 1)))))\n",
		"", 0, 0},
	{"four patterns", "(mark (of ?a)) (mark (of ?b)) (mark (of ?c)) (mark (of ?d))", NULL, "",
		80, 8},
	{"two patterns", "(mark (of ?a)) (mark (of ?b)) (test (eq ?a ?b))", NULL, NULL, FACTS, 8},
	{"regular expressions",
		"(mark (of ?a)) (mark (of ?b)) (test (fathom-matches (str-cat ?a ?b) "
		"\"^(a|aa)*b$\"))",
		NULL, "", FACTS, 2000},
	{"long upcase", "(mark (of ?a)) (mark (of ?b)) (test (eq (upcase ?a) (upcase ?b)))", NULL,
		"", FACTS, 20000},
	{"long lowcase", "(mark (of ?a)) (mark (of ?b)) (test (eq (lowcase ?a) (lowcase ?b)))",
		NULL, "", FACTS, 20000},
	{"long str-cat", "(mark (of ?a)) (mark (of ?b)) (test (eq (str-cat ?a ?b) x))", NULL, "",
		FACTS, 20000},
	{"long sub-string", "(mark (of ?a)) (mark (of ?b)) (test (eq (sub-string 2 19999 ?a) ?b))",
		NULL, "", FACTS, 20000},
	{"long str-index", "(mark (of ?a)) (mark (of ?b)) (test (str-index \"ab\" ?a))", NULL, "",
		FACTS, 20000},
	{"long str-length", "(mark (of ?a)) (mark (of ?b)) (test (eq (str-length ?a) 1))", NULL,
		NULL, FACTS, 20000},
	{"long str-compare", "(mark (of ?a)) (mark (of ?b)) (test (eq (str-compare ?a ?b) 7))",
		NULL, NULL, FACTS, 20000},
	{"a deep expression",
		"(mark (of ?a)) (mark (of ?b)) (test (eq (str-cat (str-cat (str-cat ?a ?a) "
		"(str-cat ?b "
		"?b)) (str-cat (str-cat ?a ?a) (str-cat ?b ?b))) x))",
		NULL, "", FACTS, 6000},
	{"a not over all", "(mark (of ?a)) (not (mark (of ?b&:(eq (upcase ?b) (lowcase ?a)))))",
		NULL, "", FACTS, 20000},
	{"a field's test",
		"(verdict (value ?v)) (mark (of ?a)) (mark (of ?b&:(eq (upcase ?v) ?b)))", NULL, "",
		FACTS, 8},
	{"a late field", "(verdict (value ?v)) (mark (of ?a)) (mark (of ?b&:(eq (upcase ?v) ?b)))",
		NULL, "", FACTS, 8, true},
	{"a late number",
		"(risk (typed ?v)) (mark (n ?a)) (mark (n ?b&:(> (+ ?a ?b) (* ?v 1000))))", NULL,
		NULL, FACTS, 8, true},
	{"a heavy test",
		"(risk (typed ?v)) (mark (n ?a)) (mark (n ?b&:(> (+ ?a ?b ?a) (* ?v "
		"1000))))",
		NULL, NULL, FACTS, 8, true},
	{"a heavier test",
		"(risk (typed ?v)) (mark (n ?a)) (mark (n ?b&:(> (+ ?a ?b ?a ?b ?a ?b ?a ?b ?a ?b "
		"?a ?b ?b ?a ?b) (* ?v 1000))))",
		NULL, "rule-explosion", FACTS, 8, true},
	{"a late node",
		"(mark (of ?a)) (mark (of ?b)) (node-id (id ?n&:(eq (upcase (str-cat ?n ?a ?b)) "
		"?n)))",
		NULL, "", FACTS, 3000, true},
	{"a late not",
		"(node-id (id ?n)) (not (and (mark (of ?a)) (mark (of ?b&:(eq (upcase (str-cat ?n "
		"?a)) ?b)))))",
		NULL, "", FACTS, 3000, true},
};

static int make(struct sg_rules **ret, const struct bomb *b, struct sg_error *err)
{
	static const char *const slots[] = {"of", "n"};
	const struct sg_rules_template mark = {"mark", slots, 2};
	const struct sg_rules_rule rule = {.id = "r", .lhs = b->lhs, .where = b->name};
	struct sg_rules_pack p = {.id = "p",
		.version = "1",
		.text = b->pack,
		.len = b->pack ? strlen(b->pack) : 0,
		.where = b->name};
	struct sg_rules_spec spec = {.fields = fixture_fields,
		.n_fields = 4,
		.templates = &mark,
		.n_templates = 1,
		.rules = &rule,
		.n_rules = b->lhs ? 1 : 0,
		.packs = &p,
		.n_packs = b->pack ? 1 : 0,
		.limits = {.wall_us = WALL_US}};
	return sg_rules_create(ret, &spec, err);
}

static json_t *mark_of(size_t i, size_t len)
{
	char *text = malloc(len + 1);
	(void)memset(text, 'a', len);
	text[len] = '\0';
	json_t *slots = json_pack("{s:s, s:I}", "of", text, "n", (json_int_t)i);
	free(text);
	return slots;
}

static int step(struct sg_rules *r, const struct bomb *b, int64_t *ret_us, struct sg_error *err)
{
	struct sg_fact_in facts[FACTS];
	struct sg_rules_outcome o;
	char *big = calloc(1, 1000001);
	memset(big, 'v', 1000000);
	json_t *state = json_pack("{s:s, s:i}", "verdict", big, "risk", 3);
	free(big);
	for (size_t i = 0; i < b->facts; i++)
		facts[i] = (struct sg_fact_in){"mark", mark_of(i, b->text)};
	struct sg_rules_step in = {.node_id = "a",
		.state = state,
		.facts = facts,
		.n_facts = b->facts,
		.n_seen = b->seen ? b->facts : 0,
		.first = true};
	int64_t from = cpu_us();
	int e = sg_rules_run(r, &in, &o, err);
	*ret_us = cpu_us() - from;
	if (e == 0)
		sg_rules_outcome_finish(&o);
	for (size_t i = 0; i < b->facts; i++)
		json_decref((json_t *)(uintptr_t)facts[i].slots);
	json_decref(state);
	return e;
}

static void a_runaway_step_ends_soon(void **state SG_UNUSED)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(bombs); i++) {
		const struct bomb *b = &bombs[i];
		struct sg_rules *r;
		struct sg_error err = {0};
		int64_t us, best = INT64_MAX;
		if (make(&r, b, &err) < 0)
			fail_msg("%s", err.text);
		for (int k = 0; k < 3; k++) { /* after the first it builds its environment again */
			int e = step(r, b, &us, &err);
			best = us < best ? us : best;
			if (!b->kind && e < 0 && strcmp(err.kind, "rule-timeout") != 0)
				fail_msg("%s: %s", b->name, err.text);
			if (b->kind &&
				(e != -SG_ELIMIT || (*b->kind && strcmp(err.kind, b->kind) != 0)))
				fail_msg("%s: %d %s", b->name, e, err.text);
		}
		print_message("%-20s %6.1f ms\n", b->name, (double)best / 1000);
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		if (best > MOST_US)
			fail_msg("%s took %lld us", b->name, (long long)best);
#endif
		sg_rules_destroy(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_runaway_step_ends_soon)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
