/* The other sections: rules, parallel blocks, pack mounts, migrations, references, environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "graph/reader.h"

/* ---- rules ---- */

static bool leads_away(const struct sg_action *a)
{
	return a->kind == SG_GOTO || a->kind == SG_RETRY || a->kind == SG_PARALLEL ||
	       a->kind == SG_INTERRUPT;
}

/* A halt node ends the run; a rule that would lead away from it could never do so. */
static int check_owner(const struct sg_reader *r, const char *pointer, const struct sg_rule *rule)
{
	int at = rule->node_id ? sg_graph_find_node(r->g, rule->node_id) : -1;
	if (at < 0 || strcmp(r->g->nodes[at].kind, "halt") != 0)
		return 0;
	for (size_t i = 0; i < rule->n_actions; i++)
		if (leads_away(&rule->actions[i]))
			return sg_reader_fail(r, pointer, 0,
				"rule %s would lead away from %s, but a node of kind halt ends the "
				"run; make it a passthrough",
				rule->id, rule->node_id);
	return 0;
}

static int read_then(
	struct sg_reader *r, const char *pointer, const json_t *v, struct sg_rule *rule)
{
	char list[SG_GRAPH_POINTER_MAX], at[SG_GRAPH_POINTER_MAX];
	json_t *then = json_object_get(v, "then"), *one;
	size_t i;
	sg_reader_child(list, pointer, "then");
	if (json_array_size(then) == 0)
		return sg_reader_fail(
			r, then ? list : pointer, 0, "rule %s has no action in `then`", rule->id);
	rule->then = then;
	rule->actions = calloc(json_array_size(then), sizeof(*rule->actions));
	if (!rule->actions)
		return sg_error_nomem(r->err);
	json_array_foreach (then, i, one) {
		sg_reader_item(at, list, i);
		int e = sg_read_action(r, at, one, &rule->actions[i]);
		if (e < 0)
			return e;
		rule->n_actions = i + 1;
	}
	return 0;
}

static int read_owner(
	struct sg_reader *r, const char *pointer, const json_t *v, struct sg_rule *rule)
{
	char at[SG_GRAPH_POINTER_MAX];
	const char *id = json_string_value(json_object_get(v, "node_id"));
	if (!id)
		return 0;
	sg_reader_child(at, pointer, "node_id");
	if (sg_graph_find_node(r->g, id) < 0)
		return sg_reader_no_node(r, at, id);
	free(rule->node_id);
	rule->node_id = strdup(id);
	return rule->node_id ? 0 : sg_error_nomem(r->err);
}

static int read_rule(
	struct sg_reader *r, const char *pointer, const json_t *v, struct sg_rule *rule)
{
	static const struct sg_key keys[] = {{"id", JSON_STRING, true}, {"when", JSON_NULL, false},
		{"then", JSON_ARRAY, false}, {"node_id", JSON_STRING, false}};
	char at[SG_GRAPH_POINTER_MAX];
	int e = sg_reader_keys(r, pointer, v, keys, SG_ARRAY_LEN(keys), "a rule");
	if (e < 0)
		return e;
	const char *id = json_string_value(json_object_get(v, "id"));
	sg_reader_child(at, pointer, "id");
	if (!sg_slug_valid(id))
		return sg_reader_fail(r, at, 0,
			"rule id \"%.64s\" must be lower-case letters, digits, _ . -, first a "
			"letter or digit, at most 128",
			id);
	const json_t *before = json_object_get(r->rule_ids, id);
	if (before)
		return sg_reader_fail(r, at, 0, "rule \"%s\" is declared twice, first on line %d",
			id, (int)json_integer_value(before));
	rule->id = strdup(id);
	sg_reader_place(r, pointer, &rule->line, &rule->column);
	if (!rule->id || json_object_set_new(r->rule_ids, id, json_integer(rule->line)) < 0)
		return sg_error_nomem(r->err);
	sg_reader_child(at, pointer, "when");
	sg_reader_place(r, at, &rule->when_line, &rule->when_column);
	e = sg_read_when(r, at, json_object_get(v, "when"), &rule->lhs, &rule->node_id);
	if (e == 0)
		e = read_owner(r, pointer, v, rule);
	if (e == 0)
		e = read_then(r, pointer, v, rule);
	return e == 0 ? check_owner(r, pointer, rule) : e;
}

static int read_rule_list(struct sg_reader *r, const json_t *rules)
{
	char at[SG_GRAPH_POINTER_MAX];
	size_t i;
	json_t *v;
	json_array_foreach ((json_t *)rules, i, v) {
		sg_reader_item(at, "/rules", i);
		r->g->n_rules = i + 1; /* what a half-read one holds is freed with the graph */
		int e = read_rule(r, at, v, &r->g->rules[i]);
		if (e < 0)
			return e;
	}
	return 0;
}

int sg_read_rules(struct sg_reader *r)
{
	const json_t *rules = json_object_get(r->doc, "rules");
	size_t max = r->limits.rules ? r->limits.rules : 10000, n = json_array_size(rules);
	if (n > max)
		return sg_reader_fail(r, "/rules", 0, "%zu rules; the limit is %zu", n, max);
	r->g->rules = calloc(n + 1, sizeof(*r->g->rules));
	r->rule_ids = json_object();
	int e = r->g->rules && r->rule_ids ? read_rule_list(r, rules) : sg_error_nomem(r->err);
	json_decref(r->rule_ids);
	r->rule_ids = NULL;
	return e;
}

/* ---- parallel blocks ---- */

static int read_block(
	struct sg_reader *r, const char *pointer, const json_t *v, struct sg_parallel *p)
{
	static const struct sg_key keys[] = {{"targets", JSON_ARRAY, true},
		{"join", JSON_STRING, false}, {"strategy", JSON_STRING, false}};
	char at[SG_GRAPH_POINTER_MAX];
	int e = sg_reader_keys(r, pointer, v, keys, SG_ARRAY_LEN(keys), "a parallel block");
	if (e < 0)
		return e;
	sg_reader_child(at, pointer, "targets");
	e = sg_read_targets(r, at, json_object_get(v, "targets"), &p->targets, &p->n_targets);
	if (e < 0)
		return e;
	for (size_t i = 0; i + 1 < r->g->n_parallel; i++)
		if (strcmp(r->g->parallel[i].targets[0], p->targets[0]) == 0)
			return sg_reader_fail(
				r, at, 0, "two parallel blocks begin at node %s", p->targets[0]);
	const json_t *strategy = json_object_get(v, "strategy");
	p->join = sg_strdup_or_empty(json_object_get(v, "join"));
	p->strategy = strdup(json_is_string(strategy) ? json_string_value(strategy) : "all");
	if (!p->join || !p->strategy)
		return sg_error_nomem(r->err);
	sg_reader_child(at, pointer, "join");
	if (p->join[0] && sg_graph_find_node(r->g, p->join) < 0)
		return sg_reader_no_node(r, at, p->join);
	sg_reader_child(at, pointer, "strategy");
	return sg_read_strategy(r, at, p->strategy, p->n_targets);
}

int sg_read_parallel(struct sg_reader *r)
{
	const json_t *blocks = json_object_get(r->doc, "parallel");
	char at[SG_GRAPH_POINTER_MAX];
	size_t i;
	json_t *v;
	r->g->parallel = calloc(json_array_size(blocks) + 1, sizeof(*r->g->parallel));
	if (!r->g->parallel)
		return sg_error_nomem(r->err);
	json_array_foreach ((json_t *)blocks, i, v) {
		sg_reader_item(at, "/parallel", i);
		r->g->n_parallel = i + 1;
		int e = read_block(r, at, v, &r->g->parallel[i]);
		if (e < 0)
			return e;
	}
	return 0;
}

/* ---- governance ---- */

static int read_mount(
	struct sg_reader *r, const char *pointer, const json_t *v, struct sg_pack_mount *m)
{
	static const struct sg_key keys[] = {{"id", JSON_STRING, true},
		{"version", JSON_STRING, false}, {"requires", JSON_OBJECT, false}};
	static const struct sg_key requires_keys[] = {
		{"stargraph_facts_version", JSON_STRING, false},
		{"api_version", JSON_STRING, false}};
	char at[SG_GRAPH_POINTER_MAX];
	int e = sg_reader_keys(r, pointer, v, keys, SG_ARRAY_LEN(keys), "a pack mount");
	const json_t *requires = json_object_get(v, "requires");
	sg_reader_child(at, pointer, "requires");
	if (e == 0 && json_is_object(requires))
		e = sg_reader_keys(
			r, at, requires, requires_keys, SG_ARRAY_LEN(requires_keys), "requires");
	if (e < 0)
		return e;
	const char *id = json_string_value(json_object_get(v, "id"));
	sg_reader_child(at, pointer, "id");
	if (!sg_slug_valid(id))
		return sg_reader_fail(r, at, 0, "\"%.64s\" is not a pack id", id);
	for (size_t i = 0; i + 1 < r->g->n_governance; i++)
		if (strcmp(r->g->governance[i].id, id) == 0)
			return sg_reader_fail(r, at, 0, "pack \"%s\" is mounted twice", id);
	sg_reader_place(r, pointer, &m->line, &m->column);
	m->id = strdup(id);
	const struct {
		const json_t *v;
		char **to;
	} texts[] = {{json_object_get(v, "version"), &m->version},
		{json_object_get(requires, "stargraph_facts_version"), &m->requires_facts},
		{json_object_get(requires, "api_version"), &m->requires_api}};
	for (size_t i = 0; i < SG_ARRAY_LEN(texts); i++) {
		*texts[i].to =
			json_is_string(texts[i].v) ? strdup(json_string_value(texts[i].v)) : NULL;
		if (json_is_string(texts[i].v) && !*texts[i].to)
			return sg_error_nomem(r->err);
	}
	return m->id ? 0 : sg_error_nomem(r->err);
}

int sg_read_governance(struct sg_reader *r)
{
	const json_t *mounts = json_object_get(r->doc, "governance");
	char at[SG_GRAPH_POINTER_MAX];
	size_t i;
	json_t *v;
	r->g->governance = calloc(json_array_size(mounts) + 1, sizeof(*r->g->governance));
	if (!r->g->governance)
		return sg_error_nomem(r->err);
	json_array_foreach ((json_t *)mounts, i, v) {
		sg_reader_item(at, "/governance", i);
		r->g->n_governance = i + 1;
		int e = read_mount(r, at, v, &r->g->governance[i]);
		if (e < 0)
			return e;
	}
	return 0;
}

/* ---- migrate: not part of the hash, since to_hash is this graph's own ---- */

static bool hash_text(const json_t *v)
{
	const char *s = json_string_value(v);
	return s && strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

int sg_read_migrate(struct sg_reader *r)
{
	static const struct sg_key keys[] = {
		{"from_hash", JSON_STRING, true}, {"to_hash", JSON_STRING, true}};
	const json_t *list = json_object_get(r->doc, "migrate");
	char at[SG_GRAPH_POINTER_MAX];
	size_t i;
	json_t *v;
	r->g->migrations = calloc(json_array_size(list) + 1, sizeof(*r->g->migrations));
	if (!r->g->migrations)
		return sg_error_nomem(r->err);
	json_array_foreach ((json_t *)list, i, v) {
		sg_reader_item(at, "/migrate", i);
		int e = sg_reader_keys(r, at, v, keys, SG_ARRAY_LEN(keys), "a migration");
		if (e < 0)
			return e;
		if (!hash_text(json_object_get(v, "from_hash")) ||
			!hash_text(json_object_get(v, "to_hash")))
			return sg_reader_fail(r, at, 0,
				"from_hash and to_hash are graph hashes, 64 hex digits each");
		struct sg_graph_migration *m = &r->g->migrations[r->g->n_migrations++];
		m->from = strdup(json_string_value(json_object_get(v, "from_hash")));
		m->to = strdup(json_string_value(json_object_get(v, "to_hash")));
		if (!m->from || !m->to)
			return sg_error_nomem(r->err);
	}
	return 0;
}

bool sg_graph_migrates_from(const struct sg_graph *g, const char *hash)
{
	for (size_t i = 0; i < g->n_migrations; i++)
		if (strcmp(g->migrations[i].from, hash) == 0 &&
			strcmp(g->migrations[i].to, g->hash) == 0)
			return true;
	return false;
}

/* ---- tools, skills, stores: names that must exist ---- */

#define ANY_NAME SIZE_MAX

static int read_names(struct sg_reader *r, const char *section, const char *key, const char *other,
	const char *const *known, size_t n_known)
{
	const struct sg_key keys[] = {
		{key, JSON_STRING, true}, {other, JSON_STRING, strcmp(other, "provider") == 0}};
	char list[SG_GRAPH_POINTER_MAX], at[SG_GRAPH_POINTER_MAX], what[64];
	const json_t *names = json_object_get(r->doc, section);
	size_t i, k;
	json_t *v;
	(void)snprintf(list, sizeof(list), "/%s", section);
	(void)snprintf(what, sizeof(what), "no %.*s", (int)strlen(section) - 1, section);
	json_array_foreach ((json_t *)names, i, v) {
		sg_reader_item(at, list, i);
		int e = sg_reader_keys(r, at, v, keys, 2, "the reference");
		if (e < 0)
			return e;
		const char *name = json_string_value(json_object_get(v, key));
		sg_reader_child(at, at, key);
		for (k = 0; k < i; k++)
			if (strcmp(json_string_value(
					   json_object_get(json_array_get(names, k), key)),
				    name) == 0)
				return sg_reader_fail(r, at, 0, "\"%.64s\" is named twice", name);
		for (k = 0; n_known != ANY_NAME && k < n_known && strcmp(known[k], name) != 0; k++)
			;
		if (k == n_known)
			return sg_reader_unknown(r, at, 0, what, name, known, n_known);
	}
	return 0;
}

static size_t known(const struct sg_graph_limits *l, const char *const *list, size_t n)
{
	return l->any_name && !list ? ANY_NAME : n;
}

int sg_read_references(struct sg_reader *r)
{
	const struct sg_graph_limits *l = &r->limits;
	int e = read_names(r, "tools", "id", "version", l->tools, known(l, l->tools, l->n_tools));
	if (e == 0)
		e = read_names(r, "skills", "id", "version", l->skills, l->n_skills);
	if (e == 0)
		e = read_names(r, "stores", "name", "provider", l->stores,
			known(l, l->stores, l->n_stores));
	return e;
}

/* ---- checkpoints, lm: bindings to an environment ---- */

/* Every step is durable here, whatever the block says; what it could only pretend is refused. */
static int read_checkpoints(const struct sg_reader *r)
{
	static const struct sg_key keys[] = {
		{"every", JSON_STRING, false}, {"store", JSON_STRING, false}};
	const json_t *v = json_object_get(r->doc, "checkpoints");
	if (!v || json_is_null(v))
		return 0;
	int e = sg_reader_keys(r, "/checkpoints", v, keys, SG_ARRAY_LEN(keys), "checkpoints");
	const char *every = json_string_value(json_object_get(v, "every"));
	if (e == 0 && every && strcmp(every, "node-exit") != 0)
		return sg_reader_fail(r, "/checkpoints/every", 0,
			"every step is made durable; the only value is node-exit, not \"%.40s\"",
			every);
	return e;
}

static int read_lm(const struct sg_reader *r)
{
	static const struct sg_key keys[] = {{"provider", JSON_STRING, false},
		{"model", JSON_STRING, true}, {"host", JSON_STRING, false},
		{"port", JSON_INTEGER, false}, {"args", JSON_ARRAY, false},
		{"startup_timeout_s", JSON_INTEGER, false}};
	const json_t *v = json_object_get(r->doc, "lm");
	if (!v || json_is_null(v))
		return 0;
	int e = sg_reader_keys(r, "/lm", v, keys, SG_ARRAY_LEN(keys), "lm");
	if (e < 0)
		return e;
	const char *provider = json_string_value(json_object_get(v, "provider"));
	const char *host = json_string_value(json_object_get(v, "host"));
	const json_t *port = json_object_get(v, "port");
	if (provider && strcmp(provider, "sglang") != 0)
		return sg_reader_fail(r, "/lm/provider", 0, "the only provider is sglang");
	if (host && strcmp(host, "127.0.0.1") != 0 && strcmp(host, "localhost") != 0 &&
		strcmp(host, "::1") != 0)
		return sg_reader_fail(
			r, "/lm/host", 0, "a graph may name a model server on this host only");
	if (port && (json_integer_value(port) < 1 || json_integer_value(port) > 65535))
		return sg_reader_fail(r, "/lm/port", 0, "a port is from 1 to 65535");
	if (json_array_size(json_object_get(v, "args")) > 0)
		return sg_reader_fail(r, "/lm/args", 0,
			"a graph may not give arguments to a program; start the model server "
			"yourself");
	return 0;
}

int sg_read_environment(struct sg_reader *r)
{
	int e = read_checkpoints(r);
	return e == 0 ? read_lm(r) : e;
}
