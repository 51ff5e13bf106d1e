/* See pack_test.h. A case is one step of an environment that holds nothing but the pack; what it
 * expects is compared with what the rules asserted and decided. */
#include "run/pack_test.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/pystr.h"
#include "config/yaml.h"
#include "pack/pack.h"
#include "rules/rules.h"

#define MAX_FACTS 1000	 /* of one case */
#define MAX_TEXT 65536U	 /* of what a difference prints */
#define MAX_FIELDS 1000U /* of one table */

#define FACTS \
	"{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":" \
	"{\"type\":\"object\"}}}"
static const char table_schema[] =
	"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"cases\"],"
	"\"properties\":{\"fields\":{\"type\":\"object\",\"additionalProperties\":{\"enum\":"
	"[\"str\",\"int\",\"float\",\"bool\"]}},"
	"\"cases\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"object\","
	"\"additionalProperties\":false,\"required\":[\"name\",\"expect\"],\"properties\":{"
	"\"name\":{\"type\":\"string\",\"minLength\":1},\"node\":{\"type\":\"string\","
	"\"minLength\":1},\"first\":{\"type\":\"boolean\"},\"step\":{\"type\":\"integer\","
	"\"minimum\":0},\"state\":{\"type\":\"object\"},\"carried\":" FACTS ",\"facts\":" FACTS ","
	"\"expect\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
	"\"fired\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
	"\"actions\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"
	"\"violations\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"
	"\"facts\":" FACTS ",\"absent\":" FACTS ",\"error\":{\"type\":\"string\"}}}}}}}}";

struct tester {
	const struct sg_pack *pack;
	const struct sg_yaml *table;
	struct sg_rules *rules; /* of the table at hand: its fields are theirs */
	json_t *cases, *fired;	/* fired: rule -> how often */
	json_int_t failed;
	struct sg_error *err;
};

/* One case. */
struct trial {
	struct tester *t;
	json_t *spec;
	char pointer[64];
	json_t *fired, *actions, *made; /* made: {template, slots} of every fact that rules made */
	char problem[512];
};

/* ---- differences ---- */

static void print(const json_t *v, struct sg_buf *out)
{
	if (sg_json_canonical(v, out, NULL) < 0)
		sg_buf_adds(out, "?");
}

static void differs(struct trial *c, const char *what, const json_t *want, const json_t *have)
{
	sg_autobuf w = SG_BUF_INIT(MAX_TEXT), h = SG_BUF_INIT(MAX_TEXT);
	print(want, &w);
	print(have, &h);
	(void)snprintf(c->problem, sizeof(c->problem), "%s: expected %.200s, got %.200s", what,
		w.data ? w.data : "", h.data ? h.data : "");
}

/* Every key of want as it is in have; what want does not name may be anything. */
static bool covers(const json_t *want, const json_t *have)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)want, key, v) {
		const json_t *h = json_object_get(have, key);
		bool number = json_is_number(v) && json_is_number(h);
		if (number ? json_number_value(v) != json_number_value(h) : !json_equal(v, h))
			return false;
	}
	return true;
}

static bool all_cover(const json_t *want, const json_t *have)
{
	if (json_array_size(want) != json_array_size(have))
		return false;
	for (size_t i = 0; i < json_array_size(want); i++)
		if (!covers(json_array_get(want, i), json_array_get(have, i)))
			return false;
	return true;
}

/* ---- facts ---- */

/* A literal as a rule's text has it: what sg_rules_parse_pattern gives for the same value. */
static json_t *literal(const json_t *v)
{
	sg_autobuf text = SG_BUF_INIT(MAX_TEXT);
	if (json_is_boolean(v))
		return json_string(json_is_true(v) ? "TRUE" : "FALSE");
	sg_pystr(v, &text);
	return json_string(text.data ? text.data : "");
}

static char *mangled(const char *name)
{
	char *out = strdup(name);
	for (char *p = out; p && *p; p++)
		*p = *p == '.' ? '-' : *p;
	return out;
}

static bool made_one(const struct trial *c, const char *name, const json_t *slots)
{
	json_auto_t *want = json_object();
	sg_autofree char *template = mangled(name);
	const char *key;
	json_t *v, *one;
	size_t i;
	json_object_foreach ((json_t *)(uintptr_t)slots, key, v)
		(void)json_object_set_new(want, key, literal(v));
	json_array_foreach (c->made, i, one) {
		const char *t = json_string_value(json_object_get(one, "template"));
		if (t && template && strcmp(t, template) == 0 &&
			covers(want, json_object_get(one, "slots")))
			return true;
	}
	return false;
}

static void check_facts(struct trial *c, const json_t *list, const char *what, bool there)
{
	const char *name;
	json_t *slots, *one;
	size_t i;
	json_array_foreach ((json_t *)(uintptr_t)list, i, one)
		json_object_foreach (one, name, slots)
			if (!c->problem[0] && made_one(c, name, slots) != there)
				differs(c, what, one, c->made);
}

/* What the rules made, out of the record's text: slots as texts, actions left out. */
static int take_made(struct trial *c, const struct sg_rules_outcome *o)
{
	json_auto_t *texts = NULL;
	int r = sg_json_parse(o->facts, strlen(o->facts), &texts, c->t->err);
	for (size_t i = 0; r == 0 && i < o->n_facts; i++) {
		const char *text = json_string_value(json_array_get(texts, i));
		json_t *fact = NULL;
		if (o->fact_indices[i] < o->first_made || !text ||
			strncmp(text, "(stargraph_action ", 18) == 0)
			continue;
		if (sg_rules_parse_pattern(text, &fact, NULL) == 0 &&
			json_array_append_new(c->made, fact) < 0)
			r = sg_error_nomem(c->t->err);
	}
	return r;
}

static json_t *violations_of(const struct trial *c)
{
	json_t *out = json_array(), *one;
	size_t i;
	json_array_foreach (c->made, i, one) {
		const char *t = json_string_value(json_object_get(one, "template"));
		if (t && strcmp(t, "bosun-violation") == 0)
			(void)json_array_append(out, json_object_get(one, "slots"));
	}
	return out;
}

/* ---- a case ---- */

static void take_firings(struct trial *c, const struct sg_rules_outcome *o)
{
	size_t skip = strlen(c->t->pack->id) + 1; /* "<pack>/" */
	for (size_t i = 0; i < o->n_firings; i++) {
		const char *rule = o->firings[i].rule_id + skip;
		sg_json_count(c->t->fired, rule);
		(void)json_array_append_new(c->fired, json_string(rule));
		(void)json_array_extend(c->actions, o->firings[i].actions);
	}
}

static void judge(struct trial *c)
{
	const json_t *expect = json_object_get(c->spec, "expect");
	const json_t *fired = json_object_get(expect, "fired");
	json_auto_t *violations = violations_of(c);
	json_auto_t *none = json_array();
	const json_t *want = json_object_get(expect, "actions");
	const json_t *error = json_object_get(expect, "error");
	if (error) {
		(void)snprintf(c->problem, sizeof(c->problem), "expected the error %.64s, got none",
			json_string_value(error));
		return;
	}
	if (!all_cover(want ? want : none, c->actions))
		differs(c, "actions", want ? want : none, c->actions);
	want = json_object_get(expect, "violations");
	if (!c->problem[0] && !all_cover(want ? want : none, violations))
		differs(c, "violations", want ? want : none, violations);
	if (!c->problem[0] && fired && !json_equal(fired, c->fired))
		differs(c, "fired", fired, c->fired);
	check_facts(c, json_object_get(expect, "facts"), "facts", true);
	check_facts(c, json_object_get(expect, "absent"), "absent", false);
}

/* The run failed: 0 when that is what the case expects, or is its problem. */
static int judge_error(struct trial *c)
{
	struct sg_error *err = c->t->err;
	const char *want =
		json_string_value(json_object_get(json_object_get(c->spec, "expect"), "error"));
	if (err->code == SG_ENOMEM)
		return -SG_ENOMEM;
	if (!want || strcmp(want, err->kind) != 0)
		(void)snprintf(
			c->problem, sizeof(c->problem), "%.60s: %.400s", err->kind, err->text);
	return 0;
}

static int add_facts(struct trial *c, const char *key, struct sg_fact_in *to, size_t *n)
{
	const char *name;
	json_t *slots, *one;
	size_t i;
	json_array_foreach (json_object_get(c->spec, key), i, one)
		json_object_foreach (one, name, slots) {
			if (*n == MAX_FACTS)
				return sg_error_set(c->t->err, SG_ELIMIT, NULL,
					"more than %d facts in one case", MAX_FACTS);
			to[(*n)++] = (struct sg_fact_in){name, slots};
		}
	return 0;
}

static int run_rules(struct trial *c, struct sg_rules_outcome *ret)
{
	struct sg_fact_in facts[MAX_FACTS];
	size_t n = 0, seen;
	int r = add_facts(c, "carried", facts, &n);
	seen = n;
	if (r == 0)
		r = add_facts(c, "facts", facts, &n);
	if (r < 0)
		return r;
	const json_t *node = json_object_get(c->spec, "node"),
		     *step = json_object_get(c->spec, "step"),
		     *state = json_object_get(c->spec, "state");
	json_auto_t *empty = json_object();
	bool first = json_is_true(json_object_get(c->spec, "first"));
	const struct sg_rules_step in = {.node_id = node ? json_string_value(node) : "work",
		.state = state ? state : empty,
		.run_id = "test",
		.step = step ? json_integer_value(step) : !first,
		.timestamp = "2000-01-01T00:00:00.000000Z",
		.first = first,
		.facts = facts,
		.n_facts = n,
		.n_seen = seen};
	return sg_rules_run(c->t->rules, &in, ret, c->t->err);
}

static int try_rules(struct trial *c)
{
	struct sg_rules_outcome o = {0};
	int r = run_rules(c, &o);
	if (r < 0)
		return judge_error(c);
	take_firings(c, &o);
	r = take_made(c, &o);
	sg_rules_outcome_finish(&o);
	if (r == 0)
		judge(c);
	return r;
}

static int run_case(struct tester *t, size_t i)
{
	struct trial c = {.t = t,
		.spec = json_array_get(json_object_get(t->table->root, "cases"), i),
		.fired = json_array(),
		.actions = json_array(),
		.made = json_array()};
	int line, column, r = c.fired && c.actions && c.made ? 0 : sg_error_nomem(t->err);
	char where[512];
	(void)snprintf(c.pointer, sizeof(c.pointer), "/cases/%zu", i);
	sg_yaml_mark(t->table, c.pointer, 0, &line, &column);
	(void)snprintf(where, sizeof(where), "%.480s:%d", t->table->path, line);
	if (r == 0)
		r = try_rules(&c);
	json_t *said = json_pack("{s:O, s:s, s:b, s:O}", "name", json_object_get(c.spec, "name"),
		"where", where, "ok", !c.problem[0], "fired", c.fired);
	if (c.problem[0])
		(void)json_object_set_new(said, "problem", json_string(c.problem));
	if (r == 0 && (!said || json_array_append(t->cases, said) < 0))
		r = sg_error_nomem(t->err);
	t->failed += c.problem[0] != '\0';
	json_decref(said);
	json_decref(c.fired);
	json_decref(c.actions);
	json_decref(c.made);
	return r;
}

/* ---- a table ---- */

static int compile(struct tester *t, struct sg_rules **ret)
{
	const json_t *of = json_object_get(t->table->root, "fields");
	static const char *const types[] = {[SG_SLOT_STRING] = "str",
		[SG_SLOT_INTEGER] = "int",
		[SG_SLOT_FLOAT] = "float",
		[SG_SLOT_BOOL] = "bool"};
	sg_autofree struct sg_rules_field *fields =
		calloc(json_object_size(of) + 1, sizeof(*fields));
	const struct sg_rules_pack pack = {.id = t->pack->id,
		.version = t->pack->version,
		.text = t->pack->rules,
		.len = t->pack->rules_len,
		.where = t->pack->where};
	const char *name;
	json_t *type;
	size_t n = 0;
	if (!fields || json_object_size(of) > MAX_FIELDS)
		return sg_error_set(
			t->err, SG_ELIMIT, NULL, "more than %u fields in a table", MAX_FIELDS);
	json_object_foreach ((json_t *)(uintptr_t)of, name, type) {
		fields[n].name = name;
		for (size_t k = 0; k < SG_ARRAY_LEN(types); k++)
			if (strcmp(json_string_value(type), types[k]) == 0)
				fields[n].type = (enum sg_slot_type)k;
		n++;
	}
	const struct sg_rules_spec spec = {
		.fields = fields, .n_fields = n, .packs = &pack, .n_packs = 1};
	return sg_rules_create(ret, &spec, t->err);
}

static int note_rules(struct tester *t)
{
	const char *id, *where;
	for (size_t i = 0; sg_rules_at(t->rules, i, &id, &where); i++) {
		const char *rule = id + strlen(t->pack->id) + 1;
		if (!json_object_get(t->fired, rule) &&
			json_object_set_new(t->fired, rule, json_integer(0)) < 0)
			return sg_error_nomem(t->err);
	}
	return 0;
}

/* A state field is one of the table's. */
static int check_case(struct tester *t, size_t i)
{
	const json_t *spec = json_array_get(json_object_get(t->table->root, "cases"), i);
	const json_t *fields = json_object_get(t->table->root, "fields");
	const char *name;
	json_t *v;
	char pointer[200];
	json_object_foreach (json_object_get(spec, "state"), name, v)
		if (!json_object_get(fields, name)) {
			(void)snprintf(
				pointer, sizeof(pointer), "/cases/%zu/state/%.128s", i, name);
			(void)sg_error_set(t->err, SG_EINVALID, NULL,
				"the state field \"%.64s\" is not among the table's fields", name);
			return sg_yaml_locate(t->table, pointer, t->err);
		}
	return 0;
}

static int run_table(struct tester *t, const char *path)
{
	struct sg_yaml y = {0};
	int r = sg_yaml_read_file(path, &y, t->err);
	if (r < 0)
		return r;
	t->table = &y;
	r = sg_yaml_validate(&y, table_schema, t->err);
	size_t n = json_array_size(json_object_get(y.root, "cases"));
	for (size_t i = 0; r == 0 && i < n; i++)
		r = check_case(t, i);
	if (r == 0)
		r = compile(t, &t->rules);
	if (r == 0)
		r = note_rules(t);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = run_case(t, i);
	sg_rules_destroy(t->rules);
	t->rules = NULL;
	t->table = NULL;
	sg_yaml_finish(&y);
	return r;
}

static int is_table(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".yaml") == 0;
}

static int run_tables(struct tester *t, const char *dir)
{
	sg_autofree char *tests = NULL;
	struct dirent **names = NULL;
	if (asprintf(&tests, "%s/tests", dir) < 0)
		return sg_error_nomem(t->err);
	int n = scandir(tests, &names, is_table, alphasort);
	int r = n > 0 && n <= SG_PACK_TEST_FILES
			? 0
			: sg_error_set(t->err, n > 0 ? SG_ELIMIT : SG_ENOTFOUND, NULL,
				  n > 0 ? "%s: more than %d tables"
					: "%s: no fact tables (*.yaml) are there",
				  tests, SG_PACK_TEST_FILES);
	for (int i = 0; i < n; i++) {
		char path[4400];
		(void)snprintf(path, sizeof(path), "%s/%s", tests, names[i]->d_name);
		if (r == 0)
			r = run_table(t, path);
		free(names[i]);
	}
	free(names);
	return r;
}

static json_t *never_fired(const struct tester *t)
{
	json_t *out = json_array(), *n;
	const char *rule;
	json_object_foreach (t->fired, rule, n)
		if (json_integer_value(n) == 0)
			(void)json_array_append_new(out, json_string(rule));
	return out;
}

int sg_pack_test(const char *dir, json_t **ret, struct sg_error *err)
{
	struct sg_error local = {0};
	struct sg_pack *pack = NULL;
	struct tester t = {
		.cases = json_array(), .fired = json_object(), .err = err ? err : &local};
	int r = t.cases && t.fired ? sg_pack_read(&pack, dir, t.err) : sg_error_nomem(t.err);
	t.pack = pack;
	if (r == 0)
		r = run_tables(&t, dir);
	json_t *all = r < 0 ? NULL
			    : json_pack("{s:s, s:s, s:O, s:I, s:O, s:o}", "pack", pack->id,
				      "version", pack->version, "cases", t.cases, "failed",
				      t.failed, "rules", t.fired, "never_fired", never_fired(&t));
	if (r == 0 && !all)
		r = sg_error_nomem(t.err);
	sg_pack_destroy(pack);
	json_decref(t.cases);
	json_decref(t.fired);
	if (r == 0)
		*ret = all;
	return r;
}
