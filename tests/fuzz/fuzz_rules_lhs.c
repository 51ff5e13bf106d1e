/* Any bytes as a rule's conditions and as a pack: compiling them never crashes or runs long, and
 * what compiles runs one step within its limits and leaves the environment usable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/rules.h"

static const struct sg_rules_field fields[] = {
	{"verdict", SG_SLOT_STRING}, {"risk", SG_SLOT_INTEGER}, {"flag", SG_SLOT_BOOL}};

static int step(struct sg_rules *r, const char *node, struct sg_error *err)
{
	struct sg_rules_outcome o;
	json_t *state = json_pack("{s:s, s:i, s:b}", "verdict", "fail", "risk", 3, "flag", 1);
	struct sg_rules_step in = {
		.node_id = node, .state = state, .run_id = "run-1", .timestamp = "t"};
	int e = sg_rules_run(r, &in, &o, err);
	if (e == 0)
		sg_rules_outcome_finish(&o);
	json_decref(state);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sg_error err = {0};
	struct sg_rules *r = NULL;
	char *text = strndup((const char *)data, size);
	bool pack = size > 0 && data[0] == '(' && size > 4 && memcmp(data, "(def", 4) == 0;
	struct sg_rules_rule rule = {.id = "r", .lhs = text, .where = "g.yaml:1"};
	struct sg_rules_pack p = {.id = "p",
		.version = "1",
		.text = (const char *)data,
		.len = size,
		.where = "rules.clp"};
	struct sg_rules_spec spec = {.fields = fields,
		.n_fields = 3,
		.rules = &rule,
		.n_rules = pack ? 0 : 1,
		.packs = &p,
		.n_packs = pack ? 1 : 0,
		.limits = {.wall_us = 200000}};
	if (sg_rules_create(&r, &spec, &err) < 0) {
		if (err.code == 0 || strchr(err.text, '\n'))
			abort();
	} else {
		if (step(r, "a", &err) < 0 && strchr(err.text, '\n'))
			abort();
		(void)step(r, "b", &err);
	}
	sg_rules_destroy(r);
	free(text);
	return 0;
}
