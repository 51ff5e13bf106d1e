/* Graphs made ready to run: kinds bound, rules compiled, actions taken apart. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "pack/pack.h"
#include "run/compile.h"
#include "run/internal.h"
#include "run/mounts.h"

/* Slots of an assert, pattern of a retract; NULL for the others. */
static int prepare_action(const struct sg_action *a, json_t **ret_data, struct sg_error *err)
{
	if (a->kind == SG_RETRACT)
		return sg_rules_parse_pattern(a->pattern, ret_data, err);
	if (a->kind != SG_ASSERT)
		return 0;
	if (a->slots && *a->slots)
		return sg_json_parse(a->slots, strlen(a->slots), ret_data, err);
	*ret_data = json_object();
	return *ret_data ? 0 : sg_error_nomem(err);
}

static int prepare_actions(struct prepared *p, struct sg_error *err)
{
	const struct sg_graph *g = p->graph;
	p->action_data = calloc(g->n_rules + 1, sizeof(*p->action_data));
	if (!p->action_data)
		return sg_error_nomem(err);
	for (size_t i = 0; i < g->n_rules; i++) {
		const struct sg_rule *rule = &g->rules[i];
		p->action_data[i] = calloc(rule->n_actions + 1, sizeof(json_t *));
		if (!p->action_data[i])
			return sg_error_nomem(err);
		for (size_t k = 0; k < rule->n_actions; k++) {
			int r = prepare_action(&rule->actions[k], &p->action_data[i][k], err);
			if (r < 0)
				return sg_error_prefix(err, "%s:%d:%d: rule %s", g->path,
					rule->line, rule->column, rule->id);
		}
	}
	return 0;
}

static int check_effects(const struct prepared *p, size_t node, struct sg_error *err)
{
	const struct sg_engine *e = p->engine;
	const struct sg_node_kind *k = p->kinds[node];
	enum sg_effects what = k->effects ? k->effects(p->node_data[node]) : SG_EFFECTS_NONE;
	if (what < SG_EFFECTS_WRITE || (e->allow_side_effects && !e->cleared))
		return 0;
	return sg_error_set(err, SG_EREFUSED, "side-effects", "kind %s has side effects (%s); %s",
		k->spec.name, what == SG_EFFECTS_WRITE ? "write" : "external",
		e->cleared ? "the profile cleared refuses such graphs"
			   : "allow them with --allow-side-effects");
}

static int prepare_nodes(struct prepared *p, struct sg_error *err)
{
	const struct sg_graph *g = p->graph;
	p->kinds = calloc(g->n_nodes + 1, sizeof(*p->kinds));
	p->node_data = calloc(g->n_nodes + 1, sizeof(*p->node_data));
	if (!p->kinds || !p->node_data)
		return sg_error_nomem(err);
	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct sg_node *n = &g->nodes[i];
		struct sg_kind_load l = {.embedder = p->engine->embedder,
			.recorded = p->engine->replays,
			.stored = !*p->from,
			.graph = g,
			.node = n,
			.engine = p->engine->replays ? NULL : p->engine,
			.tools = p->engine->replays ? NULL : p->engine->tools,
			.llms = p->engine->llms};
		p->kinds[i] = sg_kind_find(n->kind);
		if (!p->kinds[i])
			return sg_error_set(err, SG_EINVALID, NULL,
				"%s:%d:%d: node %s: unknown kind \"%s\"", g->path, n->line,
				n->column, n->id, n->kind);
		int r = p->kinds[i]->prepare ? p->kinds[i]->prepare(&l, &p->node_data[i], err) : 0;
		if (r == 0)
			r = check_effects(p, i, err);
		if (r < 0)
			return sg_error_prefix(
				err, "%s:%d:%d: node %s", g->path, n->line, n->column, n->id);
	}
	return 0;
}

static int make(struct prepared **ret, struct sg_engine *e, struct sg_graph *g, const char *from,
	const char *prefix, struct sg_error *err);

static int prepare_paths(struct prepared *p, struct sg_error *err)
{
	const struct sg_graph *g = p->graph;
	p->paths = calloc(g->n_nodes + 1, sizeof(*p->paths));
	p->subs = calloc(g->n_nodes + 1, sizeof(*p->subs));
	if (!p->prefix || !p->paths || !p->subs)
		return sg_error_nomem(err);
	for (size_t i = 0; i < g->n_nodes; i++)
		if (asprintf(&p->paths[i], "%s%s", p->prefix, g->nodes[i].id) < 0) {
			p->paths[i] = NULL;
			return sg_error_nomem(err);
		}
	return 0;
}

static int prepare_subgraphs(struct prepared *p, struct sg_error *err)
{
	const struct sg_graph *g = p->graph;
	for (size_t i = 0; i < g->n_nodes; i++) {
		sg_autofree char *prefix = NULL;
		if (!g->nodes[i].subgraph)
			continue;
		if (asprintf(&prefix, "%s/", p->paths[i]) < 0)
			return sg_error_nomem(err);
		int r = make(&p->subs[i], p->engine, g->nodes[i].subgraph, p->from, prefix, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compile(struct prepared *p, struct sg_error *err)
{
	const struct sg_engine *e = p->engine;
	const struct sg_rules_limits limits = {.firings = e->limits.firings,
		.facts = e->limits.facts,
		.join_product = e->limits.join_product,
		.wall_us = e->limits.rule_us};
	struct sg_rules_pack *packs = NULL;
	size_t n_packs = 0;
	int r = sg_mounts_bind(e->mounts, p->graph, &packs, &n_packs, err);
	if (r == 0)
		r = sg_run_compile(p->graph, &limits, packs, n_packs, &p->rules, err);
	free(packs);
	return r;
}

/* Everything but the graph. */
static void release(struct prepared *p)
{
	if (!p)
		return;
	const struct sg_graph *g = p->graph;
	for (size_t i = 0; p->subs && i < g->n_nodes; i++)
		release(p->subs[i]); /* at most SG_GRAPH_MAX_DEPTH deep */
	for (size_t i = 0; p->paths && i < g->n_nodes; i++)
		free(p->paths[i]);
	for (size_t i = 0; p->node_data && i < g->n_nodes; i++)
		if (p->kinds[i] && p->kinds[i]->release)
			p->kinds[i]->release(p->node_data[i]);
	for (size_t i = 0; p->action_data && i < g->n_rules; i++) {
		for (size_t k = 0; p->action_data[i] && k < g->rules[i].n_actions; k++)
			json_decref(p->action_data[i][k]);
		free(p->action_data[i]);
	}
	free(p->action_data);
	free(p->node_data);
	free(p->kinds);
	free(p->subs);
	free(p->paths);
	free(p->prefix);
	free(p->from);
	sg_rules_destroy(p->twin);
	sg_rules_destroy(p->rules);
	free(p);
}

/* g stays the caller's. */
static int make(struct prepared **ret, struct sg_engine *e, struct sg_graph *g, const char *from,
	const char *prefix, struct sg_error *err)
{
	struct prepared *p = calloc(1, sizeof(*p));
	if (!p)
		return sg_error_nomem(err);
	p->engine = e;
	p->graph = g;
	p->from = strdup(from);
	p->prefix = strdup(prefix);
	int r = g->n_nodes ? sg_parallel_check(g, err)
			   : sg_error_set(err, SG_EINVALID, NULL, "%s: no nodes", g->path);
	if (r == 0)
		r = prepare_paths(p, err);
	if (r == 0)
		r = prepare_nodes(p, err);
	if (r == 0)
		r = prepare_actions(p, err);
	if (r == 0)
		r = compile(p, err);
	if (r == 0)
		r = prepare_subgraphs(p, err);
	if (r < 0) {
		release(p);
		return r;
	}
	*ret = p;
	return 0;
}

int sg_prepared_make(struct prepared **ret, struct sg_engine *e, struct sg_graph *g,
	const char *from, struct sg_error *err)
{
	int r = make(ret, e, g, from, "", err);
	if (r < 0)
		sg_graph_destroy(g);
	return r;
}

void sg_prepared_destroy(struct prepared *p)
{
	struct sg_graph *g = p ? p->graph : NULL;
	release(p);
	sg_graph_destroy(g);
}

struct prepared *sg_prepared_find(struct sg_engine *e, const char *graph_id)
{
	for (struct prepared *p = e->graphs; p; p = p->next)
		if (p->listed && strcmp(p->graph->id, graph_id) == 0)
			return p;
	return NULL;
}

/* Beside the document: "<graph hash>/packs", the list of its packs, and each pack as a blob. */
static int store_packs(struct sg_engine *e, struct prepared *p, struct sg_error *err)
{
	const struct sg_pack *packs[SG_MOUNTS_MAX];
	size_t n = sg_mounts_of(e->mounts, p->graph, packs, SG_MOUNTS_MAX);
	sg_autobuf text = SG_BUF_INIT(1U << 20), key = SG_BUF_INIT(128);
	json_t *list = n ? json_array() : NULL;
	for (size_t i = 0; i < n; i++) {
		char hash[SG_SHA256_HEX];
		sg_sha256_hex(packs[i]->stored, packs[i]->stored_len, hash);
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s}", "blob", hash, "id", packs[i]->id,
				"sha256", packs[i]->tree_sha256, "version", packs[i]->version));
		if (sg_batch_put(e, NULL, SG_TABLE_BLOB, SG_KEY_TEXT(hash),
			    SG_SPAN(packs[i]->stored, packs[i]->stored_len)) < 0) {
			json_decref(list);
			return sg_error_nomem(err);
		}
	}
	if (!n)
		return 0;
	int r = sg_json_canonical(list, &text, err);
	json_decref(list);
	sg_buf_addf(&key, "%s" SG_RUN_GRAPH_PACKS, p->graph->hash);
	if (r == 0 && sg_batch_put(e, NULL, SG_TABLE_GRAPH, SG_SPAN(key.data, key.len),
			      SG_SPAN(text.data, text.len)) < 0)
		r = sg_error_nomem(err);
	return r;
}

int sg_prepared_store(struct sg_engine *e, struct prepared *p, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(64U << 20);
	int r = sg_json_canonical(p->graph->document, &b, err);
	if (r < 0)
		return r;
	p->stored = true;
	if (sg_batch_put(e, NULL, SG_TABLE_GRAPH, SG_KEY_TEXT(p->graph->hash),
		    SG_SPAN(b.data, b.len)) < 0)
		return sg_error_nomem(err);
	return store_packs(e, p, err);
}

int sg_prepared_list(struct sg_engine *e, struct prepared *p, struct sg_error *err)
{
	const struct sg_graph **l =
		realloc((void *)(uintptr_t)e->listed, (e->n_listed + 1) * sizeof(*l));
	if (!l)
		return sg_error_nomem(err);
	struct prepared *old = sg_prepared_find(e, p->graph->id);
	if (old)
		old->listed = false;
	e->listed = l;
	size_t at = e->n_listed;
	for (size_t i = 0; i < e->n_listed; i++)
		if (strcmp(l[i]->id, p->graph->id) == 0)
			at = i;
	l[at] = p->graph;
	if (at == e->n_listed)
		e->n_listed++;
	p->listed = true;
	return sg_prepared_store(e, p, err);
}

int sg_prepared_adopt(struct sg_engine *e, struct prepared *p, struct sg_error *err)
{
	struct prepared *old = sg_prepared_find(e, p->graph->id);
	if (old && strcmp(old->from, p->from) != 0) {
		int r = sg_error_set(err, SG_EINVALID, NULL,
			"%s: graph id \"%s\" is that of %s already", p->from, p->graph->id,
			old->from);
		sg_prepared_destroy(p);
		return r;
	}
	*e->graphs_tail = p;
	e->graphs_tail = &p->next;
	return sg_prepared_list(e, p, err);
}

/* The stores that a graph may name: those that there are. */
struct store_names {
	struct sg_know_info *list; /* owned */
	const char *names[SG_KNOW_MAX_STORES];
	struct sg_graph_limits limits;
};

static int store_names(struct sg_engine *e, struct store_names *ret, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	size_t n = 0;
	*ret = (struct store_names){0};
	int r = sg_txn_begin(e->store, false, &t, err);
	if (r == 0)
		r = sg_know_list(t, &ret->list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		ret->names[i] = ret->list[i].name;
	ret->limits.stores = ret->names;
	ret->limits.n_stores = n;
	return r;
}

static int load_file(struct sg_engine *e, const char *path, struct sg_error *err)
{
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	struct sg_graph *g = NULL;
	struct prepared *p = NULL;
	struct store_names stores;
	int r = store_names(e, &stores, err);
	if (r == 0) {
		stores.limits.tools = sg_tools_ids(e->tools, &stores.limits.n_tools);
		r = sg_graph_load(&g, path, kinds, sg_run_kinds(kinds), &stores.limits, err);
	}
	free(stores.list);
	if (r == 0)
		r = sg_prepared_make(&p, e, g, path, err);
	return r < 0 ? r : sg_prepared_adopt(e, p, err);
}

static int is_graph(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return d->d_name[0] != '.' && ((n > 5 && strcmp(d->d_name + n - 5, ".yaml") == 0) ||
					      (n > 4 && strcmp(d->d_name + n - 4, ".yml") == 0));
}

static int load_directory(struct sg_engine *e, const char *path, struct sg_error *err)
{
	struct dirent **names;
	int r = 0, n = scandir(path, &names, is_graph, alphasort);
	if (n < 0)
		return sg_error_errno(err, errno, "cannot read the graph directory %s", path);
	for (int i = 0; i < n; i++) {
		char file[4096];
		(void)snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (r == 0)
			r = load_file(e, file, err);
		free(names[i]);
	}
	free(names);
	return r;
}

int sg_engine_load(struct sg_engine *e, const char *path, struct sg_error *err)
{
	struct stat st;
	if (stat(path, &st) < 0 && errno == ENOENT)
		return sg_error_set(err, SG_ENOTFOUND, NULL, "no graph file %s", path);
	int r = S_ISDIR(st.st_mode) ? load_directory(e, path, err) : load_file(e, path, err);
	sg_engine_kick(e);
	return r;
}

/* With the packs it was stored with, whatever is installed now: the hash covers them. Takes g. */
static int make_stored(struct sg_engine *e, struct sg_txn *t, struct sg_graph *g, const char *hash,
	struct prepared **ret, struct sg_error *err)
{
	struct sg_mounts *stored = NULL;
	const struct sg_mounts *now = e->mounts;
	int r = sg_mounts_from_store(&stored, t, hash, err);
	if (r < 0) {
		sg_graph_destroy(g);
		return r;
	}
	e->mounts = r == 0 ? stored : now;
	r = sg_prepared_make(ret, e, g, "", err);
	e->mounts = now;
	sg_mounts_destroy(stored);
	return r;
}

int sg_prepared_by_hash(struct sg_engine *e, struct sg_txn *t, const char *hash,
	struct prepared **ret, struct sg_error *err)
{
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	struct sg_span text;
	for (struct prepared *p = e->graphs; p; p = p->next)
		if (strcmp(p->graph->hash, hash) == 0) {
			*ret = p;
			return 0;
		}
	int r = sg_txn_get(t, SG_TABLE_GRAPH, SG_KEY_TEXT(hash), &text, err);
	if (r != 0)
		return r < 0 ? r
			     : sg_error_set(err, SG_ENOTFOUND, "unknown-graph",
				       "the graph with hash %s is not in the store", hash);
	struct sg_graph *g = NULL;
	struct prepared *p = NULL;
	struct sg_graph_limits limits = {.any_name = true}; /* its nodes find what is missing */
	limits.tools = sg_tools_ids(e->tools, &limits.n_tools);
	r = sg_graph_load_text(
		&g, "stored graph", text.data, text.len, kinds, sg_run_kinds(kinds), &limits, err);
	if (r == 0)
		r = make_stored(e, t, g, hash, &p, err);
	if (r == 0 && strcmp(p->graph->hash, hash) != 0) {
		sg_prepared_destroy(p);
		return sg_error_set(err, SG_ECORRUPT, "graph-hash",
			"the stored graph document, with its packs, does not have its hash %s",
			hash);
	}
	if (r < 0)
		return r;
	p->stored = true;
	*e->graphs_tail = p;
	e->graphs_tail = &p->next;
	*ret = p;
	return 0;
}
