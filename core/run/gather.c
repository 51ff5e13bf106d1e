/* One query against one store or several, their lists made one by reciprocal rank fusion. */
#include <stdlib.h>
#include <string.h>

#include "run/run.h"
#include "run/store_nodes.h"

#define MAX_STORES 16
#define DEFAULT_K 5
#define DOCUMENTS (1U << SG_KNOW_VECTOR | 1U << SG_KNOW_DOCUMENT)

/* One execution under way. */
struct gather {
	struct sg_exec *x;
	sg_gather_done done;
	void *ctx;
	size_t n, left;
	struct sg_error err; /* the first that failed; code 0 = none */
	struct part {
		struct gather *g;
		json_t *hits; /* owned */
	} parts[MAX_STORES];
};

int sg_kind_check_gather(const struct sg_kind_load *l, struct sg_error *err)
{
	struct sg_error here = {0};
	size_t i;
	const json_t *store;
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

static int make_result(struct gather *g, json_t **ret, struct sg_error *err)
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
	*ret = json_pack("{s:o, s:o}", "stores", names_and_digests(g), "hits", hits);
	return *ret ? 0 : sg_error_nomem(err);
}

static void finish(struct gather *g)
{
	struct gather own = *g;
	json_t *found = NULL;
	if (!g->err.code)
		(void)make_result(g, &found, &own.err);
	for (size_t i = 0; i < g->n; i++)
		json_decref(g->parts[i].hits);
	free(g);
	own.done(own.x, own.ctx, found, found ? NULL : &own.err);
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
static void search_all(struct gather *g, const char *text, size_t n)
{
	const struct sg_exec *x = g->x;
	const json_t *config = x->node->config, *stores = json_object_get(config, "stores");
	const char *mode = json_string_value(json_object_get(config, "mode"));
	struct sg_know_query q = {.mode = SG_KNOW_MODE_BEST,
		.text = text,
		.text_len = n,
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

int sg_exec_gather(struct sg_exec *x, const char *text, size_t n, sg_gather_done done, void *ctx,
	struct sg_error *err)
{
	struct gather *g = calloc(1, sizeof(*g));
	if (!g)
		return sg_error_nomem(err);
	g->x = x;
	g->done = done;
	g->ctx = ctx;
	g->n = json_array_size(json_object_get(x->node->config, "stores"));
	search_all(g, text, n);
	if (--g->left) /* found is called from the loop, never from within */
		return SG_EXEC_PENDING;
	*err = g->err; /* none could be started */
	free(g);
	return -err->code;
}
