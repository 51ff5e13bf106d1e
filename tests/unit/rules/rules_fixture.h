/* Short ways to a prepared environment and one step in it. */
#ifndef SG_TEST_RULES_FIXTURE_H
#define SG_TEST_RULES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "rules/rules.h"

static const struct sg_rules_field fixture_fields[] = {{"verdict", SG_SLOT_STRING},
	{"risk", SG_SLOT_INTEGER}, {"score", SG_SLOT_FLOAT}, {"flag", SG_SLOT_BOOL}};

static inline json_t *parse(const char *text)
{
	json_error_t e;
	json_t *v = json_loads(text, JSON_DECODE_ANY, &e);
	if (!v)
		fail_msg("bad JSON in the test: %s: %s", e.text, text);
	return v;
}

static inline int create(struct sg_rules **ret, const struct sg_rules_rule *rules, size_t n,
	const char *pack, struct sg_error *err)
{
	struct sg_rules_pack p = {.id = "p",
		.version = "1",
		.text = pack,
		.len = pack ? strlen(pack) : 0,
		.where = "rules.clp"};
	struct sg_rules_spec spec = {.fields = fixture_fields,
		.n_fields = 4,
		.rules = rules,
		.n_rules = n,
		.packs = &p,
		.n_packs = pack ? 1 : 0};
	return sg_rules_create(ret, &spec, err);
}

static inline int run(struct sg_rules *r, const char *node, int64_t step, const char *state,
	struct sg_rules_outcome *o, struct sg_error *err)
{
	json_t *s = parse(state);
	struct sg_rules_step in = {.node_id = node,
		.state = s,
		.run_id = "run-1",
		.step = step,
		.timestamp = "2026-11-24T00:00:00.000000Z"};
	int e = sg_rules_run(r, &in, o, err);
	json_decref(s);
	return e;
}

/* "a,b,c": the rules that fired, in order. */
static inline const char *fired(const struct sg_rules_outcome *o)
{
	static char text[4096];
	text[0] = '\0';
	for (size_t i = 0; i < o->n_firings; i++) {
		strncat(text, i ? "," : "", sizeof(text) - strlen(text) - 1);
		strncat(text, o->firings[i].rule_id, sizeof(text) - strlen(text) - 1);
	}
	return text;
}

#endif
