/* The knowledge thread: searches, and the cutting of documents into parts, off the loop. It alone
 * uses the resident indexes. What it finished comes back through the engine's descriptor. */
#include <stdlib.h>
#include <string.h>

#include "run/internal.h"

struct sg_knowledge {
	struct sg_jobs jobs;
	/* the thread's own */
	struct sg_know_indexes *indexes;
	struct sg_store *store;
	/* the loop's own */
	struct search *searches; /* all that are out */
	struct sg_know_drift drift;
};

int sg_knowledge_check(
	const struct sg_engine *e, const struct sg_know_info *s, struct sg_error *err)
{
	return sg_know_check_drift(s, e->embedder ? &e->knowledge->drift : NULL, err);
}

static void work(void *ctx, struct sg_job *job)
{
	const struct sg_knowledge *k = ctx;
	struct sg_know_job *j = (struct sg_know_job *)job;
	struct sg_txn *t = NULL;
	j->status = sg_txn_begin(k->store, false, &t, &j->err);
	if (j->status == 0)
		j->status = j->work(j, k->indexes, t, &j->err);
	sg_txn_abort(t);
}

void sg_knowledge_finish(struct sg_know_job *j)
{
	sg_jobs_finish(&j->engine->knowledge->jobs, &j->job);
}

int sg_knowledge_start(struct sg_engine *e, uint64_t resident_bytes, struct sg_error *err)
{
	struct sg_knowledge *k = calloc(1, sizeof(*k));
	if (!k)
		return sg_error_nomem(err);
	e->knowledge = k;
	k->store = e->store;
	k->jobs = (struct sg_jobs){
		.work = work, .ctx = k, .event_fd = e->event_fd, .max = SG_RUN_KNOW_JOBS};
	if (e->embedder)
		sg_know_drift_of(e->embedder, &k->drift);
	int r = sg_know_indexes_create(&k->indexes, resident_bytes, err);
	return r < 0 ? r : sg_jobs_start(&k->jobs, "the knowledge thread", err);
}

int sg_knowledge_submit(struct sg_engine *e, struct sg_know_job *j, struct sg_error *err)
{
	j->engine = e;
	if (sg_jobs_submit(&e->knowledge->jobs, NULL, &j->job))
		return 0;
	return sg_error_set(
		err, SG_EBUSY, NULL, "%d searches and imports wait already", SG_RUN_KNOW_JOBS);
}

void sg_knowledge_drain(struct sg_engine *e)
{
	for (struct sg_job *job = sg_jobs_take_done(&e->knowledge->jobs), *next; job; job = next) {
		struct sg_know_job *j = (struct sg_know_job *)job;
		next = job->next;
		j->done(j, j->status < 0 ? &j->err : NULL);
	}
}

/* ---- searches ---- */

struct search {
	struct sg_know_job job; /* first */
	struct search *all_next, **all_prev;
	struct sg_know_query q; /* its texts are owned */
	float vector[SG_EMBED_DIM];
	json_t *hits;
	sg_search_callback cb; /* NULL after sg_engine_forget */
	void *ctx;
};

static void free_search(struct search *s)
{
	*s->all_prev = s->all_next;
	if (s->all_next)
		s->all_next->all_prev = s->all_prev;
	free((void *)(uintptr_t)s->q.store);
	free((void *)(uintptr_t)s->q.text);
	json_decref((json_t *)(uintptr_t)s->q.filter);
	json_decref(s->hits);
	free(s);
}

static int do_search(
	struct sg_know_job *j, struct sg_know_indexes *x, struct sg_txn *t, struct sg_error *err)
{
	struct search *s = (struct search *)j;
	struct sg_know_info info;
	int r = sg_know_open(t, s->q.store, &info, err);
	if (r == 0 && s->q.mode != SG_KNOW_MODE_TEXT)
		r = sg_knowledge_check(j->engine, &info, err);
	return r < 0 ? r : sg_know_search(x, t, &s->q, &s->hits, err);
}

static void tell_search(struct search *s, const struct sg_error *err)
{
	sg_search_callback cb = s->cb;
	if (cb)
		cb(s->ctx, err ? NULL : s->hits, err);
	free_search(s);
}

static void search_done(struct sg_know_job *j, const struct sg_error *err)
{
	tell_search((struct search *)j, err);
}

static void drop_search(struct sg_know_job *j)
{
	struct sg_error err;
	(void)sg_error_set(&err, SG_EBUSY, "stopping", "the engine is stopping");
	tell_search((struct search *)j, &err);
}

static void query_embedded(
	void *ctx, const float *vector, const struct sg_tokens *tokens, const struct sg_error *err)
{
	struct search *s = ctx;
	struct sg_error here;
	(void)tokens;
	if (!err) {
		memcpy(s->vector, vector, sizeof(s->vector));
		s->q.vector = s->vector;
		if (sg_knowledge_submit(s->job.engine, &s->job, &here) == 0)
			return;
		err = &here;
	}
	tell_search(s, err);
}

static struct search *copy_query(struct sg_engine *e, const struct sg_know_query *q)
{
	struct search *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->job = (struct sg_know_job){
		.work = do_search, .done = search_done, .drop = drop_search, .engine = e};
	s->all_next = e->knowledge->searches;
	s->all_prev = &e->knowledge->searches;
	if (s->all_next)
		s->all_next->all_prev = &s->all_next;
	e->knowledge->searches = s;
	s->q = *q;
	s->q.store = strdup(q->store);
	s->q.text = q->text ? strndup(q->text, q->text_len) : NULL;
	s->q.filter = q->filter ? json_deep_copy(q->filter) : NULL;
	s->q.kernel = NULL;
	if (q->vector)
		memcpy(s->vector, q->vector, sizeof(s->vector));
	s->q.vector = q->vector ? s->vector : NULL;
	if (!s->q.store || (q->text && !s->q.text) || (q->filter && !s->q.filter)) {
		free_search(s);
		return NULL;
	}
	return s;
}

static int best_mode(
	struct sg_engine *e, const char *store, enum sg_know_mode *ret, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_know_info info;
	int r = sg_txn_begin(e->store, false, &t, err);
	if (r == 0)
		r = sg_know_open(t, store, &info, err);
	if (r == 0)
		*ret = info.provider == SG_KNOW_VECTOR ? SG_KNOW_MODE_HYBRID : SG_KNOW_MODE_TEXT;
	return r;
}

int sg_engine_search(struct sg_engine *e, const struct sg_know_query *q, sg_search_callback done,
	void *ctx, struct sg_error *err)
{
	enum sg_know_mode mode = q->mode;
	int r = sg_know_check_filter(q->filter, err);
	if (r == 0 && mode == SG_KNOW_MODE_BEST)
		r = best_mode(e, q->store, &mode, err);
	if (r < 0)
		return r;
	struct search *s = copy_query(e, q);
	if (!s)
		return sg_error_nomem(err);
	s->cb = done;
	s->ctx = ctx;
	s->q.mode = mode;
	if (mode != SG_KNOW_MODE_TEXT && !q->vector && q->text)
		r = sg_engine_embed(e, s->q.text, s->q.text_len, 0, query_embedded, s, err);
	else
		r = sg_knowledge_submit(e, &s->job, err);
	if (r < 0)
		free_search(s);
	return r;
}

void sg_knowledge_forget(struct sg_engine *e, const void *ctx)
{
	for (struct search *s = e->knowledge->searches; s; s = s->all_next)
		if (s->ctx == ctx)
			s->cb = NULL;
	sg_documents_forget(e, ctx);
}

void sg_knowledge_stop(struct sg_engine *e)
{
	struct sg_knowledge *k = e->knowledge;
	if (!k)
		return;
	for (struct sg_job *job = sg_jobs_stop(&k->jobs), *next; job; job = next) {
		struct sg_know_job *j = (struct sg_know_job *)job;
		next = job->next;
		j->drop(j);
	}
	while (k->searches)
		drop_search(&k->searches->job);
	sg_documents_drop(e);
	sg_know_indexes_destroy(k->indexes);
	free(k);
	e->knowledge = NULL;
}

/* ---- what there is ---- */

int sg_store_decls_read(
	const json_t *list, struct sg_store_decl *ret, size_t *ret_n, struct sg_error *err)
{
	size_t i, n = json_array_size(list);
	const json_t *one;
	if (n > SG_KNOW_MAX_STORES)
		return sg_error_set(
			err, SG_ELIMIT, NULL, "[[store]]: more than %d", SG_KNOW_MAX_STORES);
	json_array_foreach (list, i, one) {
		const char *metric = json_string_value(json_object_get(one, "metric"));
		ret[i] = (struct sg_store_decl){
			.name = json_string_value(json_object_get(one, "name"))};
		int r = sg_know_provider_parse(
			json_string_value(json_object_get(one, "provider")), &ret[i].provider, err);
		if (r == 0 && metric)
			r = sg_know_metric_parse(metric, &ret[i].metric, err);
		if (r < 0)
			return sg_error_prefix(err, "[[store]]");
	}
	*ret_n = n;
	return 0;
}

static json_t *describe(const struct sg_know_info *i)
{
	json_t *j = json_pack("{s:s, s:s, s:I, s:I}", "name", i->name, "provider",
		sg_know_provider_name(i->provider), "items", (json_int_t)i->items, "generation",
		(json_int_t)i->generation);
	if (j && i->provider == SG_KNOW_VECTOR &&
		(json_object_set_new(j, "metric", json_string(sg_know_metric_name(i->metric))) <
				0 ||
			json_object_set_new(j, "model",
				json_pack("{s:s, s:s, s:s, s:i}", "model_id", i->drift.model_id,
					"revision", i->drift.revision, "content_sha256",
					i->drift.content_sha256, "dims", i->drift.dims)) < 0)) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static int describe_all(struct sg_txn *t, json_t **ret, struct sg_error *err)
{
	sg_autofree struct sg_know_info *list = NULL;
	size_t n = 0;
	json_auto_t *out = json_array();
	int r = sg_know_list(t, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (!out || json_array_append_new(out, describe(&list[i])) < 0)
			r = sg_error_nomem(err);
	if (r == 0)
		*ret = json_incref(out);
	return r;
}

int sg_engine_stores(struct sg_engine *e, const char *name, json_t **ret, struct sg_error *err)
{
	sg_autotxn *t = NULL;
	struct sg_know_info one;
	int r = sg_txn_begin(e->store, false, &t, err);
	if (r < 0)
		return r;
	if (!name)
		return describe_all(t, ret, err);
	r = sg_know_open(t, name, &one, err);
	json_t *j = r == 0 ? describe(&one) : NULL;
	if (r == 0 && !j)
		return sg_error_nomem(err);
	if (r == 0)
		*ret = j;
	return r;
}
