/* Other packs under a running engine. The graphs that mount what changed are made ready anew and
 * take the places of the old ones, all of them or none; a run keeps the graph it is in, which stays
 * in memory, and in the store with the texts of its packs. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/internal.h"
#include "run/mounts.h"
#include "run/pack_diff.h"

/* ---- what changed ---- */

static bool same(const struct sg_pack *a, const struct sg_pack *b)
{
	return a && b && strcmp(a->tree_sha256, b->tree_sha256) == 0;
}

static int add_change(
	json_t *changes, const struct sg_pack *a, const struct sg_pack *b, struct sg_error *err)
{
	json_t *diff = NULL;
	if (same(a, b))
		return 0;
	int r = sg_pack_diff(a, b, &diff, err);
	if (r == 0 && json_array_append_new(changes, diff) < 0)
		r = sg_error_nomem(err);
	return r;
}

int sg_mounts_diff(const struct sg_mounts *from, const struct sg_mounts *to, json_t **ret,
	struct sg_error *err)
{
	json_t *changes = json_array();
	const struct sg_pack *p;
	int r = changes ? 0 : sg_error_nomem(err);
	for (size_t i = 0; r == 0 && (p = sg_mounts_at(from, i)); i++)
		r = add_change(changes, p, sg_mounts_find(to, p->id), err);
	for (size_t i = 0; r == 0 && (p = sg_mounts_at(to, i)); i++)
		if (!sg_mounts_find(from, p->id))
			r = add_change(changes, NULL, p, err);
	if (r < 0) {
		json_decref(changes);
		return r;
	}
	*ret = changes;
	return 0;
}

/* ---- the graphs ---- */

static bool touched(const struct sg_engine *e, const struct prepared *p, const struct sg_mounts *to)
{
	const struct sg_pack *packs[SG_MOUNTS_MAX];
	size_t n = sg_mounts_of(e->mounts, p->graph, packs, SG_MOUNTS_MAX);
	for (size_t i = 0; i < n; i++)
		if (!same(packs[i], sg_mounts_find(to, packs[i]->id)))
			return true;
	return false;
}

static int make_again(struct sg_engine *e, const struct prepared *old, struct prepared **ret,
	struct sg_error *err)
{
	struct sg_kind_spec kinds[SG_RUN_MAX_KINDS];
	struct sg_graph *g = NULL;
	sg_autobuf text = SG_BUF_INIT(64U << 20);
	/* what it names was there when it was loaded */
	struct sg_graph_limits limits = {.any_name = true};
	limits.tools = sg_tools_ids(e->tools, &limits.n_tools);
	int r = sg_json_canonical(old->graph->document, &text, err);
	if (r == 0)
		r = sg_graph_load_text(&g, old->from, text.data, text.len, kinds,
			sg_run_kinds(kinds), &limits, err);
	return r < 0 ? r : sg_prepared_make(ret, e, g, old->from, err);
}

struct made {
	struct prepared **all;
	size_t n;
};

static int make_all(
	struct sg_engine *e, const struct sg_mounts *to, struct made *m, struct sg_error *err)
{
	int r = 0;
	m->all = calloc(e->n_listed + 1, sizeof(struct prepared *));
	if (!m->all)
		return sg_error_nomem(err);
	for (const struct prepared *p = e->graphs; r == 0 && p; p = p->next) {
		if (!p->listed || !touched(e, p, to))
			continue;
		r = sg_mounts_check(to, p->graph, err); /* names the graph's own line */
		const struct sg_mounts *now = e->mounts;
		e->mounts = to;
		if (r == 0)
			r = make_again(e, p, &m->all[m->n], err);
		e->mounts = now;
		m->n += r == 0;
	}
	return r;
}

static struct prepared *known(const struct sg_engine *e, const struct prepared *p)
{
	struct prepared *k = e->graphs;
	while (k && (strcmp(k->graph->hash, p->graph->hash) != 0 || strcmp(k->from, p->from) != 0))
		k = k->next;
	return k;
}

int sg_mounts_note_pins(struct sg_engine *e, const struct sg_mounts *m, struct sg_error *err)
{
	const struct sg_pack *p;
	int r = 0;
	for (size_t i = 0; r == 0 && (p = sg_mounts_at(m, i)); i++) {
		if (!p->pinned_now)
			continue;
		json_t *payload = json_pack("{s:s, s:s, s:s}", "fingerprint", p->key_fingerprint,
			"key_id", p->key_id, "pack", p->id);
		r = payload ? sg_engine_audit(
				      e, "system", "pack_pinned", NULL, payload, NULL, NULL, err)
			    : sg_error_nomem(err);
		json_decref(payload);
	}
	return r;
}

int sg_engine_remount(struct sg_engine *e, const struct sg_mounts *to, const char *actor,
	json_t **ret_changes, struct sg_error *err)
{
	struct made m = {0};
	json_auto_t *changes = NULL;
	size_t i;
	json_t *one;
	int r = sg_mounts_diff(e->mounts, to, &changes, err);
	if (r == 0 && json_array_size(changes) && e->cleared)
		r = sg_error_set(err, SG_EREFUSED, "pack-replacement",
			"rule pack %s is another than at the start: under the profile cleared "
			"packs are replaced by a restart only",
			json_string_value(json_object_get(json_array_get(changes, 0), "pack")));
	if (r == 0)
		r = make_all(e, to, &m, err);
	if (r == 0)
		r = sg_mounts_note_pins(e, to, err);
	if (r == 0)
		e->mounts = to;
	for (i = 0; i < m.n; i++) {
		struct prepared *before = r == 0 ? known(e, m.all[i]) : NULL;
		if (r < 0 || before)
			sg_prepared_destroy(m.all[i]);
		if (r == 0)
			r = before ? sg_prepared_list(e, before, err)
				   : sg_prepared_adopt(e, m.all[i], err);
	}
	free(m.all);
	json_array_foreach (changes, i, one)
		if (r == 0)
			r = sg_engine_audit(e, actor, "pack_replaced", NULL, one, NULL, NULL, err);
	sg_engine_kick(e);
	if (r < 0)
		return r;
	*ret_changes = json_incref(changes);
	return 0;
}

/* ---- packs of the store ---- */

struct texts {
	const char *data[SG_MOUNTS_MAX];
	size_t len[SG_MOUNTS_MAX], n;
};

static int find_texts(struct sg_txn *t, const json_t *list, struct texts *ret, struct sg_error *err)
{
	size_t i;
	json_t *one;
	json_array_foreach ((json_t *)(uintptr_t)list, i, one) {
		const char *blob = json_string_value(json_object_get(one, "blob"));
		struct sg_span text;
		int r = ret->n == SG_MOUNTS_MAX
				? sg_error_set(err, SG_ELIMIT, NULL, "too many packs")
				: sg_txn_get(t, SG_TABLE_BLOB, SG_KEY_TEXT(blob ? blob : "-"),
					  &text, err);
		if (r != 0)
			return r < 0 ? r
				     : sg_error_set(err, SG_ECORRUPT, NULL,
					       "a rule pack's text is not in the store");
		ret->data[ret->n] = text.data;
		ret->len[ret->n++] = text.len;
	}
	return 0;
}

int sg_mounts_from_store(
	struct sg_mounts **ret, struct sg_txn *t, const char *graph_hash, struct sg_error *err)
{
	sg_autobuf key = SG_BUF_INIT(128);
	json_auto_t *list = NULL;
	struct sg_span text;
	struct texts texts = {0};
	sg_buf_addf(&key, "%s" SG_RUN_GRAPH_PACKS, graph_hash);
	int r = sg_txn_get(t, SG_TABLE_GRAPH, SG_SPAN(key.data, key.len), &text, err);
	if (r != 0)
		return r;
	r = sg_json_parse(text.data, text.len, &list, err);
	if (r == 0)
		r = find_texts(t, list, &texts, err);
	return r < 0 ? r : sg_mounts_from_stored(ret, texts.data, texts.len, texts.n, err);
}
