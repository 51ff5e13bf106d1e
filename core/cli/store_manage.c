/* stargraph store create, delete, stats and reembed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/progress.h"
#include "cli/store_verbs.h"
#include "embed/pool.h"
#include "knowledge/source.h"

/* ---- create ---- */

static int create(struct sg_store_session *s, const struct sg_store_args *a, struct sg_error *err)
{
	enum sg_know_provider provider;
	enum sg_know_metric metric = SG_KNOW_COSINE;
	struct sg_know_drift drift;
	sg_autotxn *t = NULL;
	int r = sg_know_provider_parse(a->provider, &provider, err);
	if (r == 0 && a->metric)
		r = sg_know_metric_parse(a->metric, &metric, err);
	if (r == 0)
		r = sg_store_session_open(s, a->state_dir, true, err);
	if (r == 0 && provider == SG_KNOW_VECTOR)
		r = sg_store_session_load(s, a, err);
	if (r == 0)
		r = sg_txn_begin(s->store, true, &t, err);
	if (r < 0)
		return r;
	if (s->embedder)
		sg_know_drift_of(s->embedder, &drift);
	r = sg_know_create(t, a->words[0], provider, metric, s->embedder ? &drift : NULL, err);
	return r < 0 ? r : sg_txn_commit(sg_steal(t), err);
}

int sg_store_create(const struct sg_store_args *a)
{
	struct sg_store_session s = {.lock_fd = -1};
	struct sg_error err = {0};
	if (!a->provider)
		return sg_cli_usage(&sg_verb_store, "create takes --provider");
	int r = create(&s, a, &err);
	sg_store_session_close(&s);
	return r < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}

/* ---- delete ---- */

static int delete_all(struct sg_store *s, const struct sg_store_args *a,
	struct sg_know_counts *counts, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int r = sg_txn_begin(s, true, &t, err);
	for (int i = 1; r >= 0 && i < a->n_words; i++) {
		const char *ids[] = {a->words[i]};
		r = sg_know_source_delete(t, a->words[0], a->words[i], counts, err);
		if (r >= 0) /* or one that came without a source, or a chunk */
			r = sg_know_delete(t, a->words[0], ids, 1, counts, err);
	}
	return r < 0 ? r : sg_txn_commit(sg_steal(t), err);
}

int sg_store_delete(const struct sg_store_args *a)
{
	struct sg_store_session s = {.lock_fd = -1};
	struct sg_know_counts counts = {0};
	struct sg_error err = {0};
	int r = sg_store_session_open(&s, a->state_dir, false, &err);
	if (r == 0)
		r = delete_all(s.store, a, &counts, &err);
	sg_store_session_close(&s);
	if (r < 0)
		return sg_cli_fail(&err);
	(void)printf("%llu documents deleted\n", (unsigned long long)counts.deleted);
	return SG_EXIT_DONE;
}

/* ---- stats ---- */

static void show_json(const struct sg_know_info *i, const char *created)
{
	sg_autobuf b = SG_BUF_INIT(8192);
	json_auto_t *j = json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "name", i->name, "provider",
		sg_know_provider_name(i->provider), "items", (json_int_t)i->items, "rows",
		(json_int_t)i->rows, "generation", (json_int_t)i->generation, "created", created);
	if (i->provider == SG_KNOW_VECTOR && j) {
		(void)json_object_set_new(j, "metric", json_string(sg_know_metric_name(i->metric)));
		(void)json_object_set_new(j, "model",
			json_pack("{s:s, s:s, s:s, s:i}", "model_id", i->drift.model_id, "revision",
				i->drift.revision, "content_sha256", i->drift.content_sha256,
				"dims", i->drift.dims));
		(void)json_object_set_new(j, "reembedding", json_boolean(i->migrating));
	}
	if (j && sg_json_canonical(j, &b, NULL) == 0)
		(void)printf("%s\n", b.data);
}

static void show(const struct sg_know_info *i, bool json)
{
	char created[SG_TIME_TEXT];
	sg_time_format(i->created_us, created);
	if (json) {
		show_json(i, created);
		return;
	}
	(void)printf("%s: %s, %llu items, since %s\n", i->name, sg_know_provider_name(i->provider),
		(unsigned long long)i->items, created);
	if (i->provider == SG_KNOW_VECTOR)
		(void)printf("  metric %s, %d dimensions, of %s\n  %s\n  content %s%s\n",
			sg_know_metric_name(i->metric), i->drift.dims, i->drift.model_id,
			i->drift.revision, i->drift.content_sha256,
			i->migrating ? "\n  half re-embedded: `stargraph store reembed` goes on"
				     : "");
}

int sg_store_stats(const struct sg_store_args *a)
{
	struct sg_store_session s = {.lock_fd = -1};
	sg_autofree struct sg_know_info *list = NULL;
	struct sg_know_info one;
	struct sg_txn *t = NULL;
	struct sg_error err = {0};
	size_t n = 0;
	int r = sg_store_session_read(&s, a->state_dir, &err);
	if (r == 0)
		r = sg_txn_begin(s.store, false, &t, &err);
	if (r == 0)
		r = a->n_words ? sg_know_open(t, a->words[0], &one, &err)
			       : sg_know_list(t, &list, &n, &err);
	if (r == 0 && a->n_words)
		show(&one, a->json);
	for (size_t i = 0; r == 0 && i < n; i++)
		show(&list[i], a->json);
	sg_txn_abort(t);
	sg_store_session_close(&s);
	return r < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}

/* ---- reembed ---- */

struct reembed {
	struct sg_embedder *e;
	struct sg_embed_scratch *scratch;
	uint64_t texts, tokens;
};

static int embed_texts(void *ctx, const char *const *texts, const size_t *lens, size_t n,
	float *ret_vectors, struct sg_error *err)
{
	struct reembed *m = ctx;
	for (size_t i = 0; i < n; i++) {
		struct sg_tokens tokens;
		int r = sg_tokenize(sg_embedder_tokenizer(m->e), texts[i], lens[i],
			SG_EMBED_MAX_TOKENS, &tokens, err);
		if (r == 0) {
			r = sg_embed_ids(m->e, m->scratch, tokens.ids, tokens.n,
				ret_vectors + i * SG_EMBED_DIM, err);
			m->tokens += tokens.n;
			sg_tokens_finish(&tokens);
		}
		if (r < 0)
			return r;
	}
	m->texts += n;
	return 0;
}

static int step(struct sg_store *s, const char *name, const struct sg_know_drift *now,
	struct reembed *m, uint32_t *done, uint32_t *total, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	int r = sg_txn_begin(s, true, &t, err);
	if (r == 0)
		r = sg_know_reembed_step(t, name, now, embed_texts, m, done, total, err);
	if (r < 0)
		return r;
	int committed = sg_txn_commit(sg_steal(t), err);
	return committed < 0 ? committed : r;
}

static int reembed(struct sg_store_session *s, const struct sg_store_args *a,
	const struct sg_know_info *info, struct sg_error *err)
{
	struct sg_know_drift now;
	struct reembed m = {.e = s->embedder};
	struct sg_progress p;
	uint32_t done = 0, total = 0;
	sg_know_drift_of(s->embedder, &now);
	if (info->provider == SG_KNOW_VECTOR && sg_know_check_drift(info, &now, NULL) == 0) {
		(void)printf("%s has the vectors of this model already\n", info->name);
		return 0;
	}
	m.scratch = sg_embed_scratch_create(s->embedder);
	if (!m.scratch)
		return sg_error_nomem(err);
	sg_progress_init(&p, "reembed", (info->rows + 63) / 64);
	int r = 1;
	while (r > 0) {
		r = step(s->store, a->words[0], &now, &m, &done, &total, err);
		sg_progress_show(&p, done, m.texts, m.tokens);
	}
	sg_progress_finish(&p);
	sg_embed_scratch_destroy(m.scratch);
	if (r == 0)
		(void)printf("%llu documents re-embedded\n", (unsigned long long)m.texts);
	return r;
}

int sg_store_reembed(const struct sg_store_args *a)
{
	struct sg_store_session s = {.lock_fd = -1};
	struct sg_know_info info;
	struct sg_error err = {0};
	int r = sg_store_session_open(&s, a->state_dir, false, &err);
	if (r == 0)
		r = sg_store_session_model(&s, a, &info, true, &err);
	if (r == 0)
		r = reembed(&s, a, &info, &err);
	sg_store_session_close(&s);
	return r < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}
