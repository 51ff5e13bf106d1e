/* retrieval: one query against one store or several, their lists made one by reciprocal rank
 * fusion.
 *
 * Each store is searched at the state that is durable when its turn comes: that of the run's last
 * checkpoint, or later. The record holds the hits and the digest of each
 * index. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "run/run.h"
#include "run/store_nodes.h"

#define MAX_STORES 16
#define DEFAULT_K 5
#define DOCUMENTS (1U << SG_KNOW_VECTOR | 1U << SG_KNOW_DOCUMENT)

/* One execution under way. */
struct gather {
	struct sg_exec *x;
	size_t n, left;
	struct sg_error err; /* the first that failed; code 0 = none */
	struct part {
		struct gather *g;
		json_t *hits; /* owned */
	} parts[MAX_STORES];
};

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	struct sg_error here = {0};
	size_t i;
	const json_t *store;
	(void)ret_data;
	if (!sg_kind_need_field(l, "query", SG_TYPE_BIT(SG_STR), &here) ||
		!sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_LIST), &here))
		goto wrong;
	if (sg_know_check_filter(json_object_get(l->node->config, "filter"), &here) < 0)
		goto wrong;
	json_array_foreach (json_object_get(l->node->config, "stores"), i, store)
		if (!sg_kind_need_store(l, json_string_value(store), DOCUMENTS, &here))
			goto wrong;
	return 0;
wrong:
	if (err)
		*err = here;
	return -here.code;
}

static json_t *names_and_digests(const struct gather *g)
{
	json_t *list = json_array();
	const json_t *stores = json_object_get(g->x->node->config, "stores");
	for (size_t i = 0; list && i < g->n; i++) {
		const json_t *first = json_array_get(g->parts[i].hits, 0);
		const char *digest = json_string_value(json_object_get(first, "index_sha256"));
		(void)json_array_append_new(
			list, json_pack("{s:O, s:s, s:I}", "store", json_array_get(stores, i),
				      "index_sha256", digest ? digest : "", "hits",
				      (json_int_t)json_array_size(g->parts[i].hits)));
	}
	return list;
}

static int k_of(const struct sg_exec *x)
{
	const json_t *k = json_object_get(x->node->config, "k");
	return k ? (int)json_integer_value(k) : DEFAULT_K;
}

static int make_record(struct gather *g, struct sg_error *err)
{
	json_t *lists[MAX_STORES], *hits = NULL;
	for (size_t i = 0; i < g->n; i++)
		lists[i] = g->parts[i].hits;
	int r = 0;
	if (g->n == 1)
		hits = json_incref(lists[0]);
	else
		r = sg_know_fuse(lists, g->n, (size_t)k_of(g->x), &hits, err);
	if (r < 0)
		return r;
	return sg_exec_set_record(g->x,
		json_pack("{s:s, s:s, s:o, s:o}", "kind", "retrieval", "node", g->x->node->id,
			"stores", names_and_digests(g), "hits", hits),
		err);
}

static void finish(struct gather *g)
{
	struct sg_exec *x = g->x;
	if (!g->err.code)
		(void)make_record(g, &g->err);
	struct sg_error err = g->err;
	for (size_t i = 0; i < g->n; i++)
		json_decref(g->parts[i].hits);
	free(g);
	sg_exec_complete(x, err.code ? &err : NULL);
}

static void found(void *ctx, const json_t *hits, const struct sg_error *err)
{
	struct part *p = ctx;
	struct gather *g = p->g;
	if (err && !g->err.code)
		g->err = *err;
	if (hits)
		p->hits = json_incref((json_t *)(uintptr_t)hits);
	if (--g->left == 0)
		finish(g);
}

/* All searches; what cannot be started counts as failed. */
static void search_all(struct gather *g)
{
	const struct sg_exec *x = g->x;
	const json_t *config = x->node->config, *stores = json_object_get(config, "stores");
	const json_t *text =
		json_object_get(x->state, json_string_value(json_object_get(config, "query")));
	const char *mode = json_string_value(json_object_get(config, "mode"));
	struct sg_know_query q = {.mode = SG_KNOW_MODE_BEST,
		.text = json_string_value(text),
		.text_len = json_string_length(text),
		.filter = json_object_get(config, "filter"),
		.k = (size_t)k_of(x),
		.int8 = json_is_true(json_object_get(config, "int8")),
		.with_text = true};
	if (mode)
		(void)sg_know_mode_parse(mode, &q.mode, NULL);
	struct sg_error err;
	g->left = g->n + 1;
	for (size_t i = 0; i < g->n; i++) {
		g->parts[i].g = g;
		q.store = json_string_value(json_array_get(stores, i));
		if (sg_engine_search(x->engine, &q, found, &g->parts[i], &err) == 0)
			continue;
		g->left--;
		if (!g->err.code)
			g->err = err;
	}
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const json_t *config = x->node->config;
	const char *field = json_string_value(json_object_get(config, "query"));
	if (!json_is_string(json_object_get(x->state, field)))
		return sg_error_set(err, SG_EINVALID, "retrieval-query",
			"the state field \"%s\" holds no text", field);
	struct gather *g = calloc(1, sizeof(*g));
	if (!g)
		return sg_error_nomem(err);
	g->x = x;
	g->n = json_array_size(json_object_get(config, "stores"));
	search_all(g);
	if (--g->left) /* found is called from the loop, never from within */
		return SG_EXEC_PENDING;
	*err = g->err; /* none could be started */
	free(g);
	return -err->code;
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const char *out = json_string_value(json_object_get(x->node->config, "out"));
	json_t *hits = json_object_get(record, "hits");
	if (!json_is_array(hits))
		return sg_error_set(err, SG_ECORRUPT, "record-damaged", "a retrieval without hits");
	x->update = json_pack("{s:O}", out, hits);
	return x->update ? 0 : sg_error_nomem(err);
}

const struct sg_node_kind sg_kind_retrieval = {
	.spec = {.name = "retrieval",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"stores\",\"query\",\"out\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"stores\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":16,"
			"\"items\":{\"type\":\"string\",\"minLength\":1}},"
			"\"query\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"},"
			"\"k\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100},"
			"\"mode\":{\"enum\":[\"vector\",\"text\",\"hybrid\"]},"
			"\"filter\":{\"type\":\"object\"},\"int8\":{\"type\":\"boolean\"}}}"},
	.prepare = prepare,
	.execute = execute,
	.apply = apply,
	.elsewhere = true,
	.outside = true, /* it sees what the run wrote before */
};
