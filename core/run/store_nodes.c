/* Stores as nodes see them: checked when a graph is loaded, read on the knowledge thread, written
 * in the batch of the step. */
#include "run/store_nodes.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/suggest.h"
#include "run/chat.h"
#include "run/internal.h"

static int check_listed(const struct sg_kind_load *l, const char *name, struct sg_error *err)
{
	const char *names[SG_KNOW_MAX_STORES];
	const json_t *list = json_object_get(l->graph->document, "stores"), *one;
	size_t i, n = 0;
	json_array_foreach (list, i, one) {
		const char *listed = json_string_value(json_object_get(one, "name"));
		if (listed && strcmp(listed, name) == 0)
			return 0;
		if (listed && n < SG_KNOW_MAX_STORES)
			names[n++] = listed;
	}
	if (!json_array_size(list))
		return 0;
	const char *near = sg_suggest(name, names, n);
	return sg_error_set(err, SG_EINVALID, NULL,
		"the graph's stores do not list \"%.64s\"%s%s%s", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int check_there(
	const struct sg_kind_load *l, const char *name, unsigned providers, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_know_info s;
	int r = sg_txn_begin(l->engine->store, false, &t, err);
	if (r == 0)
		r = sg_know_open(t, name, &s, err);
	if (r < 0)
		return r;
	if (!(providers & 1U << (unsigned)s.provider))
		return sg_error_set(err, SG_EINVALID, NULL,
			"store \"%s\" is of provider %s, which a node of kind %s cannot use", name,
			sg_know_provider_name(s.provider), l->node->kind);
	return sg_knowledge_check(l->engine, &s, err);
}

const char *sg_kind_need_store(
	const struct sg_kind_load *l, const char *name, unsigned providers, struct sg_error *err)
{
	if (check_listed(l, name, err) < 0)
		return NULL;
	/* Without an engine only the document is checked. */
	return l->engine && check_there(l, name, providers, err) < 0 ? NULL : name;
}

json_t *sg_kind_text(const struct sg_exec *x, const char *key, struct sg_error *err)
{
	const char *text = json_string_value(json_object_get(x->node->config, key));
	json_auto_t *slots = json_pack("{s:s}", "v", text ? text : "");
	json_auto_t *filled = slots ? sg_graph_fill(slots, x->state) : NULL;
	json_t *v = json_object_get(filled, "v");
	sg_autobuf b = SG_BUF_INIT(1U << 20);
	if (json_is_string(v))
		return json_incref(v);
	if (!v || sg_json_canonical(v, &b, err) < 0) { /* a number or a boolean alone */
		(void)sg_error_nomem(err);
		return NULL;
	}
	json_t *s = json_string(b.data);
	if (!s)
		(void)sg_error_nomem(err);
	return s;
}

int sg_exec_set_record(struct sg_exec *x, json_t *record, struct sg_error *err)
{
	json_auto_t *own = record;
	sg_autobuf b = SG_BUF_INIT(16U << 20);
	if (!own)
		return sg_error_nomem(err);
	int r = sg_json_canonical(own, &b, err);
	return r < 0 ? r : sg_json_parse(b.data, b.len, &x->record, err);
}

/* ---- reading ---- */

struct read_job {
	struct sg_know_job job; /* first */
	struct sg_exec *x;
	json_t *args, *result; /* owned */
	sg_store_read read;
	void (*done)(struct sg_exec *x, json_t *result, const struct sg_error *err);
};

static void free_read(struct read_job *j)
{
	json_decref(j->args);
	json_decref(j->result);
	free(j);
}

static int do_read(
	struct sg_know_job *job, struct sg_know_indexes *x, struct sg_txn *t, struct sg_error *err)
{
	struct read_job *j = (struct read_job *)job;
	(void)x;
	return j->read(j->args, t, &j->result, err);
}

static void read_done(struct sg_know_job *job, const struct sg_error *err)
{
	struct read_job *j = (struct read_job *)job;
	j->done(j->x, err ? NULL : sg_steal(j->result), err);
	free_read(j);
}

static void drop_read(struct sg_know_job *job)
{
	struct sg_error err;
	(void)sg_error_set(&err, SG_EBUSY, "stopping", "the engine is stopping");
	read_done(job, &err);
}

int sg_exec_read(struct sg_exec *x, json_t *args, sg_store_read read,
	void (*done)(struct sg_exec *x, json_t *result, const struct sg_error *err),
	struct sg_error *err)
{
	struct read_job *j = args ? calloc(1, sizeof(*j)) : NULL;
	if (!j) {
		json_decref(args);
		return sg_error_nomem(err);
	}
	*j = (struct read_job){.job = {.work = do_read, .done = read_done, .drop = drop_read},
		.x = x,
		.args = args,
		.read = read,
		.done = done};
	int r = sg_knowledge_submit(x->engine, &j->job, err);
	if (r < 0) {
		free_read(j);
		return r;
	}
	return SG_EXEC_PENDING;
}

/* ---- writing ---- */

/* In the batch's arena: the object's text, parsed again by the writer, which shares nothing. */
struct write_arg {
	int (*fn)(const json_t *object, struct sg_txn *t, struct sg_error *err);
	const char *text;
	size_t len;
};

static int do_write(void *arg, struct sg_txn *t, struct sg_error *err)
{
	const struct write_arg *w = arg;
	json_auto_t *object = NULL;
	int r = sg_json_parse(w->text, w->len, &object, err);
	return r < 0 ? r : w->fn(object, t, err);
}

int sg_exec_write(struct sg_exec *x, json_t *object,
	int (*fn)(const json_t *object, struct sg_txn *t, struct sg_error *err),
	struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(16U << 20);
	json_auto_t *own = object;
	struct slot *s = own && x->run ? sg_batch_slot(x->run) : NULL;
	if (!s)
		return sg_error_nomem(err);
	int r = sg_json_print(own, &b, err);
	if (r < 0)
		return r;
	struct sg_arena *a = &x->engine->gather->arena;
	struct write_arg *w = sg_arena_alloc(a, sizeof(*w));
	char *text = sg_arena_strndup(a, b.data, b.len);
	if (!w || !text)
		return sg_error_nomem(err);
	*w = (struct write_arg){fn, text, b.len};
	return sg_batch_call(x->engine, s, do_write, w, NULL) < 0 ? sg_error_nomem(err) : 0;
}

/* ---- capabilities ---- */

static int add_once(json_t *needs, const char *text, struct sg_error *err)
{
	size_t i;
	const json_t *one;
	json_array_foreach (needs, i, one)
		if (strcmp(json_string_value(one), text) == 0)
			return 0;
	return json_array_append_new(needs, json_string(text)) < 0 ? sg_error_nomem(err) : 0;
}

static int add_store(json_t *needs, const json_t *store, const char *verb, struct sg_error *err)
{
	char text[96];
	if (!json_is_string(store))
		return 0;
	(void)snprintf(text, sizeof(text), "db.%s:%s", json_string_value(store), verb);
	return add_once(needs, text, err);
}

/* One store, or a list of them. */
static int add_stores(json_t *needs, const json_t *named, const char *verb, struct sg_error *err)
{
	int r = json_is_array(named) ? 0 : add_store(needs, named, verb, err);
	size_t i;
	const json_t *one;
	json_array_foreach (named, i, one)
		if (r == 0)
			r = add_store(needs, one, verb, err);
	return r;
}

static int add_llm(const struct sg_llms *llms, const struct sg_graph *g, const struct sg_node *n,
	json_t *needs, struct sg_error *err)
{
	char text[96];
	const struct sg_llm *llm = NULL;
	if (sg_chat_endpoint(llms, g, n, &llm, NULL) < 0)
		return 0; /* it was not loaded then */
	(void)snprintf(text, sizeof(text), "llm.%s", llm->name);
	return add_once(needs, text, err);
}

static int add_permissions(const struct sg_tool *t, json_t *needs, struct sg_error *err)
{
	for (size_t i = 0; t && i < t->n_permissions; i++)
		if (json_array_append_new(needs, json_string(t->permissions[i])) < 0)
			return sg_error_nomem(err);
	return 0;
}

static int collect_needs(
	const struct sg_engine *e, const struct sg_graph *g, json_t *needs, struct sg_error *err)
{
	int r = 0;
	for (size_t n = 0; r == 0 && n < g->n_nodes; n++) {
		const struct sg_node *node = &g->nodes[n];
		const struct sg_node_kind *kind = sg_kind_find(node->kind);
		for (size_t k = 0; r == 0 && kind && k < SG_ARRAY_LEN(kind->needs); k++)
			if (kind->needs[k].key)
				r = add_stores(needs,
					json_object_get(node->config, kind->needs[k].key),
					kind->needs[k].verb, err);
		if (r == 0 && strcmp(node->kind, "tool") == 0)
			r = add_permissions(
				sg_tools_find(e->tools,
					json_string_value(json_object_get(node->config, "tool"))),
				needs, err);
		if (r == 0 && kind && kind->asks)
			r = add_llm(e->llms, g, node, needs, err);
		if (r == 0 && node->subgraph)
			r = collect_needs(e, node->subgraph, needs, err);
	}
	return r;
}

int sg_engine_needs(
	const struct sg_engine *e, const char *graph_id, json_t **ret, struct sg_error *err)
{
	const struct prepared *p = sg_prepared_find((struct sg_engine *)(uintptr_t)e, graph_id);
	json_auto_t *needs = json_array();
	if (!needs)
		return sg_error_nomem(err);
	int r = p ? collect_needs(e, p->graph, needs, err) : 0;
	if (r == 0)
		*ret = json_incref(needs);
	return r;
}
