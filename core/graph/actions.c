/* The seven actions of a rule's `then`, each with its keys and targets checked. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "graph/reader.h"

#define MAX_BACKOFF_MS 86400000 /* a day */
#define MAX_SLOTS 64

struct action_kind {
	const char *name;
	enum sg_action_kind kind;
	struct sg_key keys[8];
	size_t n_keys;
};

#define KIND \
	{ \
		"kind", JSON_STRING, true \
	}
static const struct action_kind kinds[] = {
	{"goto", SG_GOTO, {KIND, {"target", JSON_STRING, true}}, 2},
	{"halt", SG_HALT, {KIND, {"reason", JSON_STRING, false}}, 2},
	{"parallel", SG_PARALLEL,
		{KIND, {"targets", JSON_ARRAY, true}, {"join", JSON_STRING, false},
			{"strategy", JSON_STRING, false}},
		4},
	{"retry", SG_RETRY,
		{KIND, {"target", JSON_STRING, true}, {"backoff_ms", JSON_INTEGER, false}}, 3},
	{"assert", SG_ASSERT, {KIND, {"fact", JSON_STRING, true}, {"slots", JSON_NULL, false}}, 3},
	{"retract", SG_RETRACT, {KIND, {"pattern", JSON_STRING, true}}, 2},
	{"interrupt", SG_INTERRUPT,
		{KIND, {"prompt", JSON_STRING, true}, {"interrupt_payload", JSON_OBJECT, false},
			{"requested_capability", JSON_STRING, false}, {"timeout", JSON_NULL, false},
			{"on_timeout", JSON_STRING, false}},
		6},
};

void sg_action_finish(struct sg_action *a)
{
	free(a->target);
	for (size_t i = 0; i < a->n_targets; i++)
		free(a->targets[i]);
	free(a->targets);
	free(a->join);
	free(a->strategy);
	free(a->reason);
	free(a->fact);
	free(a->slots);
	free(a->pattern);
	free(a->prompt);
	json_decref(a->payload);
	free(a->requested_capability);
	free(a->on_timeout);
	*a = (struct sg_action){0};
}

static int copy_text(const struct sg_reader *r, const json_t *v, const char *absent, char **ret)
{
	if (!json_is_string(v) && !absent)
		return 0;
	*ret = strdup(json_is_string(v) ? json_string_value(v) : absent);
	return *ret ? 0 : sg_error_nomem(r->err);
}

static int check_target(
	const struct sg_reader *r, const char *pointer, const char *key, const char *id)
{
	char at[SG_GRAPH_POINTER_MAX];
	if (sg_graph_find_node(r->g, id) >= 0)
		return 0;
	sg_reader_child(at, pointer, key);
	return sg_reader_no_node(r, at, id);
}

int sg_read_strategy(const struct sg_reader *r, const char *pointer, const char *strategy, size_t n)
{
	static const char *const known[] = {"all", "any", "race", "quorum"};
	char *end;
	for (size_t i = 0; i < SG_ARRAY_LEN(known); i++)
		if (strcmp(strategy, known[i]) == 0)
			return 0;
	if (strncmp(strategy, "quorum:", 7) != 0)
		return sg_reader_unknown(
			r, pointer, 0, "unknown strategy", strategy, known, SG_ARRAY_LEN(known));
	long want = strtol(strategy + 7, &end, 10);
	if (!isdigit((unsigned char)strategy[7]) || *end || want < 1 || want > (long)n)
		return sg_reader_fail(r, pointer, 0,
			"\"%.40s\" with %zu targets; write quorum:N, N from 1 to %zu", strategy, n,
			n);
	return 0;
}

int sg_read_targets(
	const struct sg_reader *r, const char *pointer, const json_t *v, char ***ret, size_t *ret_n)
{
	char at[SG_GRAPH_POINTER_MAX];
	size_t n = json_array_size(v), i;
	json_t *one;
	if (n == 0)
		return sg_reader_fail(r, pointer, 0, "targets must name at least one node");
	*ret = calloc(n, sizeof(**ret));
	if (!*ret)
		return sg_error_nomem(r->err);
	json_array_foreach ((json_t *)v, i, one) {
		sg_reader_item(at, pointer, i);
		if (!json_is_string(one))
			return sg_reader_fail(r, at, 0, "a target is a node id");
		if (sg_graph_find_node(r->g, json_string_value(one)) < 0)
			return sg_reader_no_node(r, at, json_string_value(one));
		for (size_t k = 0; k < i; k++)
			if (strcmp((*ret)[k], json_string_value(one)) == 0)
				return sg_reader_fail(r, at, 0, "\"%s\" is named twice", (*ret)[k]);
		(*ret)[i] = strdup(json_string_value(one));
		if (!(*ret)[i])
			return sg_error_nomem(r->err);
		*ret_n = i + 1;
	}
	return 0;
}

static int read_parallel(
	const struct sg_reader *r, const char *pointer, const json_t *v, struct sg_action *a)
{
	char at[SG_GRAPH_POINTER_MAX];
	sg_reader_child(at, pointer, "targets");
	int e = sg_read_targets(r, at, json_object_get(v, "targets"), &a->targets, &a->n_targets);
	if (e == 0)
		e = copy_text(r, json_object_get(v, "join"), "", &a->join);
	if (e == 0)
		e = copy_text(r, json_object_get(v, "strategy"), "all", &a->strategy);
	sg_reader_child(at, pointer, "strategy");
	if (e == 0)
		e = sg_read_strategy(r, at, a->strategy, a->n_targets);
	return e == 0 && a->join[0] ? check_target(r, pointer, "join", a->join) : e;
}

static int read_retry(
	const struct sg_reader *r, const char *pointer, const json_t *v, struct sg_action *a)
{
	char at[SG_GRAPH_POINTER_MAX];
	a->backoff_ms = json_integer_value(json_object_get(v, "backoff_ms"));
	sg_reader_child(at, pointer, "backoff_ms");
	if (a->backoff_ms < 0 || a->backoff_ms > MAX_BACKOFF_MS)
		return sg_reader_fail(r, at, 0, "backoff_ms must be from 0 to %d", MAX_BACKOFF_MS);
	return check_target(r, pointer, "target", a->target);
}

static bool fact_word(const char *s)
{
	size_t n = strlen(s);
	return n >= 1 && n <= 64 && (isalpha((unsigned char)s[0]) || s[0] == '_') &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

/* Every {name} in the text must be a state field. */
static int check_braces(const struct sg_reader *r, const char *at, const char *text)
{
	for (const char *p = strchr(text, '{'); p; p = strchr(p, '{')) {
		if (p[1] == '{') {
			p += 2;
			continue;
		}
		const char *end = strchr(p, '}');
		if (!end)
			return sg_reader_fail(r, at, 0, "a { without its }; {{ is a brace");
		sg_autofree char *name = strndup(p + 1, (size_t)(end - p - 1));
		if (!name)
			return sg_error_nomem(r->err);
		if (!sg_graph_find_field(r->g, name))
			return sg_reader_fail(r, at, 0, "{%.64s} is no state field", name);
		p = end;
	}
	return 0;
}

static struct sg_graph_fact *fact_of(struct sg_graph *g, const char *name)
{
	for (size_t i = 0; i < g->n_facts; i++)
		if (strcmp(g->facts[i].name, name) == 0)
			return &g->facts[i];
	struct sg_graph_fact *grown = realloc(g->facts, (g->n_facts + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	g->facts = grown;
	grown[g->n_facts] = (struct sg_graph_fact){.name = strdup(name)};
	return grown[g->n_facts].name ? &grown[g->n_facts++] : NULL;
}

/* Sorted: the stored document is the same graph, and has its keys sorted. */
static int note_slot(const struct sg_reader *r, struct sg_graph_fact *f, const char *name)
{
	size_t at = 0;
	while (at < f->n_slots && strcmp(f->slots[at], name) < 0)
		at++;
	if (at < f->n_slots && strcmp(f->slots[at], name) == 0)
		return 0;
	char **grown = realloc(f->slots, (f->n_slots + 1) * sizeof(*grown));
	char *own = grown ? strdup(name) : NULL;
	if (grown)
		f->slots = grown;
	if (!own)
		return sg_error_nomem(r->err);
	memmove(&grown[at + 1], &grown[at], (f->n_slots - at) * sizeof(*grown));
	grown[at] = own;
	f->n_slots++;
	return 0;
}

static int check_slots(
	const struct sg_reader *r, const char *at, const json_t *slots, const char *fact)
{
	struct sg_graph_fact *f = fact_of(r->g, fact);
	const char *name;
	json_t *v;
	if (!f)
		return sg_error_nomem(r->err);
	json_object_foreach ((json_t *)slots, name, v) {
		if (!fact_word(name) || name[0] == '_' || strchr(name, '.'))
			return sg_reader_fail(r, at, 0, "\"%.64s\" cannot name a slot", name);
		if (json_is_object(v) || json_is_array(v))
			return sg_reader_fail(r, at, 0, "slot %s must be a scalar", name);
		int e = json_is_string(v) ? check_braces(r, at, json_string_value(v)) : 0;
		if (e == 0)
			e = note_slot(r, f, name);
		if (e < 0)
			return e;
		if (f->n_slots > MAX_SLOTS)
			return sg_reader_fail(r, at, 0, "more than %d slots", MAX_SLOTS);
	}
	return 0;
}

/* `slots` is the original's JSON text, or a mapping. */
static int read_assert(
	const struct sg_reader *r, const char *pointer, const json_t *v, struct sg_action *a)
{
	char at[SG_GRAPH_POINTER_MAX];
	const json_t *given = json_object_get(v, "slots");
	json_t *slots = NULL;
	struct sg_error why = {0};
	sg_reader_child(at, pointer, "fact");
	if (!fact_word(a->fact))
		return sg_reader_fail(r, at, 0, "\"%.64s\" cannot name a fact", a->fact);
	sg_reader_child(at, pointer, "slots");
	if (json_is_object(given))
		slots = json_incref((json_t *)given);
	else if (!given || json_is_null(given) ||
		 (json_is_string(given) && !json_string_length(given)))
		slots = json_object();
	else if (!json_is_string(given) ||
		 sg_json_parse(json_string_value(given), json_string_length(given), &slots, &why) <
			 0 ||
		 !json_is_object(slots)) {
		json_decref(slots);
		return sg_reader_fail(r, at, 0,
			"slots must be a mapping, or the text of a JSON object%s%s",
			why.text[0] ? ": " : "", why.text);
	}
	sg_autobuf text = SG_BUF_INIT(SG_YAML_MAX_BYTES);
	int e = check_slots(r, at, slots, a->fact);
	if (e == 0)
		e = sg_json_canonical(slots, &text, r->err);
	json_decref(slots);
	a->slots = e == 0 ? sg_buf_take(&text) : NULL;
	return e < 0 || a->slots ? e : sg_error_nomem(r->err);
}

static int read_interrupt(
	const struct sg_reader *r, const char *pointer, const json_t *v, struct sg_action *a)
{
	char at[SG_GRAPH_POINTER_MAX];
	const json_t *timeout = json_object_get(v, "timeout");
	struct sg_error why = {0};
	a->payload = json_incref(json_object_get(v, "interrupt_payload"));
	if (!a->payload || json_is_null(a->payload)) {
		json_decref(a->payload);
		a->payload = json_object();
	}
	int e = copy_text(r, json_object_get(v, "on_timeout"), "halt", &a->on_timeout);
	if (e < 0)
		return e;
	sg_reader_child(at, pointer, "timeout");
	if (timeout && !json_is_null(timeout) &&
		sg_graph_duration(timeout, &a->timeout_us, &why) < 0)
		return sg_reader_fail(r, at, 0, "%s", why.text);
	sg_reader_child(at, pointer, "on_timeout");
	if (strncmp(a->on_timeout, "goto:", 5) == 0)
		return check_target(r, pointer, "on_timeout", a->on_timeout + 5);
	if (strcmp(a->on_timeout, "halt") != 0)
		return sg_reader_fail(r, at, 0,
			"on_timeout is \"halt\" or \"goto:<node>\", not \"%.64s\"", a->on_timeout);
	return 0;
}

static const struct action_kind *find_kind(const char *name)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static int unknown_kind(const struct sg_reader *r, const char *pointer, const char *name)
{
	char at[SG_GRAPH_POINTER_MAX];
	const char *names[SG_ARRAY_LEN(kinds)];
	for (size_t i = 0; i < SG_ARRAY_LEN(kinds); i++)
		names[i] = kinds[i].name;
	sg_reader_child(at, pointer, "kind");
	return sg_reader_unknown(r, at, 0, "unknown action", name, names, SG_ARRAY_LEN(names));
}

int sg_read_action(struct sg_reader *r, const char *pointer, const json_t *v, struct sg_action *ret)
{
	struct sg_action a = {0};
	const char *name = json_string_value(json_object_get(v, "kind"));
	if (!json_is_object(v) || !name)
		return sg_reader_fail(r, pointer, 0, "an action is a mapping with a kind");
	const struct action_kind *k = find_kind(name);
	if (!k)
		return unknown_kind(r, pointer, name);
	int e = sg_reader_keys(r, pointer, v, k->keys, k->n_keys, "the action");
	a.kind = k->kind;
	const struct {
		const char *key;
		char **to;
	} texts[] = {{"target", &a.target}, {"reason", &a.reason}, {"fact", &a.fact},
		{"pattern", &a.pattern}, {"prompt", &a.prompt},
		{"requested_capability", &a.requested_capability}};
	for (size_t i = 0; e == 0 && i < SG_ARRAY_LEN(texts); i++)
		e = copy_text(r, json_object_get(v, texts[i].key), NULL, texts[i].to);
	if (e == 0 && a.kind == SG_GOTO)
		e = check_target(r, pointer, "target", a.target);
	else if (e == 0 && a.kind == SG_PARALLEL)
		e = read_parallel(r, pointer, v, &a);
	else if (e == 0 && a.kind == SG_RETRY)
		e = read_retry(r, pointer, v, &a);
	else if (e == 0 && a.kind == SG_ASSERT)
		e = read_assert(r, pointer, v, &a);
	else if (e == 0 && a.kind == SG_INTERRUPT)
		e = read_interrupt(r, pointer, v, &a);
	if (e < 0) {
		sg_action_finish(&a);
		return e;
	}
	*ret = a;
	return 0;
}
