/* Any bytes as what a state holds, and as a carried fact: a value never becomes syntax. Whatever it
 * says, the same rules fire, the facts are the same in number, and what the record says reads back
 * as the value that went in. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/rules.h"

static const struct sg_rules_field fields[] = {{"a", SG_SLOT_STRING}, {"b", SG_SLOT_STRING}};
static const char *const slots[] = {"text"};
static const struct sg_rules_template carried = {"said", slots, 1};
static const char pack[] =
	"(defrule always (a (value ?a)) (said (text ?t)) =>"
	" (assert (bosun-violation (kind \"k\") (severity \"warn\") (reason (str-cat ?a)))))"
	"(defrule look (a (value ?a&:(or (has-card-number ?a) (has-iban ?a)))) => )"
	"(defrule never (bosun-violation (severity \"halt\")) => )";

static struct sg_rules *make(void)
{
	struct sg_rules *r = NULL;
	const struct sg_rules_pack p = {.id = "p",
		.version = "1",
		.text = pack,
		.len = sizeof(pack) - 1,
		.where = "rules.clp"};
	const struct sg_rules_spec spec = {.fields = fields,
		.n_fields = 2,
		.templates = &carried,
		.n_templates = 1,
		.packs = &p,
		.n_packs = 1,
		.limits = {.wall_us = 5000000}};
	if (sg_rules_create(&r, &spec, NULL) < 0)
		abort();
	return r;
}

static void check(const struct sg_rules_outcome *o, const json_t *value)
{
	size_t always = 0;
	for (size_t i = 0; i < o->n_firings; i++) {
		always += strcmp(o->firings[i].rule_id, "p/always") == 0;
		if (strcmp(o->firings[i].rule_id, "p/never") == 0)
			abort();
	}
	/* initial-fact, node-id, a, b, said, bosun-violation */
	if (always != 1 || o->n_facts != 6)
		abort();
	json_t *all = json_loads(o->facts, 0, NULL), *said = NULL;
	if (sg_rules_parse_pattern(json_string_value(json_array_get(all, 2)), &said, NULL) < 0 ||
		!json_equal(json_object_get(json_object_get(said, "slots"), "value"), value))
		abort();
	json_decref(said);
	json_decref(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sg_rules *r;
	json_t *value = json_stringn((const char *)data, size);
	struct sg_rules_outcome o;
	struct sg_error err = {0};
	r = r ? r : make();
	if (!value || strlen(json_string_value(value)) != size || size > 30000) {
		json_decref(value);
		return 0;
	}
	json_t *state = json_pack("{s:O, s:O}", "a", value, "b", value);
	json_t *in = json_pack("{s:O}", "text", value);
	const struct sg_fact_in fact = {"said", in};
	const struct sg_rules_step step = {.node_id = "n",
		.state = state,
		.run_id = "run-1",
		.step = 1,
		.timestamp = "t",
		.facts = &fact,
		.n_facts = 1};
	if (sg_rules_run(r, &step, &o, &err) < 0) {
		if (strcmp(err.kind, "rule-timeout") != 0)
			abort();
	} else {
		check(&o, value);
		sg_rules_outcome_finish(&o);
	}
	json_decref(in);
	json_decref(state);
	json_decref(value);
	return 0;
}
