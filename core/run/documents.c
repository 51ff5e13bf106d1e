/* Documents written while serving: cut on the knowledge thread, embedded by the workers, written by
 * the writer in the batch that carries their audit record. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "knowledge/import.h"
#include "run/internal.h"

struct doc_write {
	struct sg_know_job job; /* first */
	struct doc_write *all_next, **all_prev;
	char *store, *actor;				      /* owned */
	json_t *documents, *deletes;			      /* owned */
	struct sg_know_import *list[SG_ENGINE_MAX_DOCUMENTS]; /* to write, owned */
	size_t n;
	uint64_t unchanged;
	struct sg_embed_job *embeds; /* one a part, owned */
	size_t n_embeds;
	_Atomic size_t waiting;
	_Atomic bool failed;
	struct sg_error embed_err;
	struct sg_know_counts counts; /* the writer's, until the batch is told */
	struct sg_write_result result;
	sg_documents_callback cb; /* NULL after sg_engine_forget */
	void *ctx;
};

static void free_write(struct doc_write *w)
{
	*w->all_prev = w->all_next;
	if (w->all_next)
		w->all_next->all_prev = w->all_prev;
	for (size_t i = 0; i < w->n; i++)
		sg_know_import_destroy(w->list[i]);
	free(w->embeds);
	json_decref(w->documents);
	json_decref(w->deletes);
	free(w->store);
	free(w->actor);
	free(w);
}

static void drop(struct sg_know_job *j)
{
	free_write((struct doc_write *)j);
}

static void tell(struct doc_write *w, const struct sg_error *err)
{
	if (w->cb)
		w->cb(w->ctx, err ? NULL : &w->counts, err);
	free_write(w);
}

/* ---- on the knowledge thread ---- */

static int prepare_one(struct doc_write *w, struct sg_txn *t, const struct sg_know_info *s,
	const struct sg_know_cut *how, const json_t *doc, struct sg_error *err)
{
	uint8_t hash[SG_SHA256_BYTES];
	struct sg_know_source before;
	const char *id = json_string_value(json_object_get(doc, "id"));
	const json_t *text = json_object_get(doc, "text"), *meta = json_object_get(doc, "metadata");
	const char *chars = json_string_value(text);
	size_t n = json_string_length(text);
	if (!chars)
		return sg_error_set(err, SG_EINVALID, NULL, "a document without text");
	int r = sg_know_import_hash(how, id, chars, n, meta, hash, err);
	if (r == 0)
		r = sg_know_source_get(t, s, id, &before, err);
	if (r < 0)
		return r;
	if (r == 0 && memcmp(before.hash, hash, sizeof(hash)) == 0) {
		w->unchanged++;
		return 0;
	}
	r = sg_know_import_make(&w->list[w->n], how, id, chars, n, meta, hash, err);
	w->n += r == 0;
	return r;
}

static int no_id_twice(const json_t *documents, struct sg_error *err)
{
	json_auto_t *seen = json_object();
	size_t i;
	const json_t *doc;
	json_array_foreach (documents, i, doc) {
		const char *id = json_string_value(json_object_get(doc, "id"));
		if (!id || json_object_get(seen, id))
			return sg_error_set(err, SG_EINVALID, NULL,
				id ? "document \"%.80s\" is there twice"
				   : "a document without an id",
				id);
		if (json_object_set_new(seen, id, json_true()) < 0)
			return sg_error_nomem(err);
	}
	return 0;
}

static int prepare(
	struct sg_know_job *j, struct sg_know_indexes *x, struct sg_txn *t, struct sg_error *err)
{
	struct doc_write *w = (struct doc_write *)j;
	struct sg_know_info s;
	size_t i;
	const json_t *doc;
	(void)x;
	int r = sg_know_open(t, w->store, &s, err);
	if (r == 0)
		r = sg_knowledge_check(j->engine, &s, err);
	if (r == 0)
		r = no_id_twice(w->documents, err);
	if (r == 0 && s.provider != SG_KNOW_VECTOR && s.provider != SG_KNOW_DOCUMENT)
		r = sg_error_set(err, SG_EINVALID, "store-provider",
			"store \"%s\" is of provider %s, which holds no documents", s.name,
			sg_know_provider_name(s.provider));
	if (r < 0)
		return r;
	const struct sg_know_cut how = {
		.tokenizer = s.provider == SG_KNOW_VECTOR
				     ? sg_embedder_tokenizer(j->engine->embedder)
				     : NULL};
	json_array_foreach (w->documents, i, doc) {
		r = prepare_one(w, t, &s, &how, doc, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- embedding ---- */

static void write_prepared(struct sg_know_job *j, const struct sg_error *err);

/* On a worker thread. */
static void on_embedded(struct sg_embed_job *job, int status, const struct sg_error *err)
{
	struct doc_write *w = job->data;
	if (status < 0 && !atomic_exchange(&w->failed, true))
		w->embed_err = *err;
	if (atomic_fetch_sub(&w->waiting, 1) == 1) {
		w->job.status = 0;
		w->job.done = write_prepared;
		sg_knowledge_finish(&w->job);
	}
}

static int embed_parts(struct doc_write *w, struct sg_error *err)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n; i++)
		n += w->list[i]->record.chunks;
	struct sg_embed_job **jobs = calloc(n, sizeof(*jobs));
	w->embeds = calloc(n, sizeof(*w->embeds));
	if (!jobs || !w->embeds) {
		free((void *)jobs);
		return sg_error_nomem(err);
	}
	for (size_t i = 0; i < w->n; i++)
		for (uint32_t k = 0; k < w->list[i]->record.chunks; k++) {
			struct sg_know_part *p = w->list[i]->parts[k];
			jobs[w->n_embeds] = &w->embeds[w->n_embeds];
			w->embeds[w->n_embeds++] = (struct sg_embed_job){.ids = p->tokens.ids,
				.n = p->tokens.n,
				.ret_vector = p->vector,
				.done = on_embedded,
				.data = w};
		}
	atomic_store(&w->waiting, n);
	int r = sg_embed_pool_submit(w->job.engine->pool, jobs, n, err);
	free((void *)jobs);
	return r;
}

/* ---- writing ---- */

static int write_all(void *arg, struct sg_txn *t, struct sg_error *err)
{
	struct doc_write *w = arg;
	size_t i;
	const json_t *id;
	w->counts = (struct sg_know_counts){.unchanged = w->unchanged};
	json_array_foreach (w->deletes, i, id) {
		const char *ids[] = {json_string_value(id)};
		int r = ids[0] ? sg_know_source_delete(t, w->store, ids[0], &w->counts, err)
			       : sg_error_set(err, SG_EINVALID, NULL, "an id that is no text");
		if (r >= 0)
			r = sg_know_delete(t, w->store, ids, 1, &w->counts, err);
		if (r < 0)
			return r;
	}
	return sg_know_import_write(t, w->store, w->list, w->n, &w->counts, err);
}

static void durable(void *ctx, const struct sg_error *err)
{
	struct doc_write *w = ctx;
	if (!err && w->result.status < 0) {
		err = &w->result.err;
		json_auto_t *why = json_pack("{s:s, s:s}", "store", w->store, "kind", err->kind);
		(void)sg_engine_audit(w->job.engine, w->actor, "documents_write_failed", NULL, why,
			NULL, NULL, &(struct sg_error){0});
	}
	tell(w, err);
}

static json_t *audit_payload(const struct doc_write *w, struct sg_error *err)
{
	json_auto_t *ids = json_array();
	char hash[SG_SHA256_HEX];
	for (size_t i = 0; ids && i < w->n; i++)
		if (json_array_append_new(ids, json_string(w->list[i]->id)) < 0)
			return NULL;
	if (!ids || sg_json_hash(ids, hash, err) < 0)
		return NULL;
	return json_pack("{s:s, s:I, s:I, s:I, s:s}", "store", w->store, "written",
		(json_int_t)w->n, "unchanged", (json_int_t)w->unchanged, "deleted",
		(json_int_t)json_array_size(w->deletes), "ids_sha256", hash);
}

static void write_prepared(struct sg_know_job *j, const struct sg_error *failure)
{
	struct doc_write *w = (struct doc_write *)j;
	struct sg_error err = {0};
	if (atomic_load(&w->failed))
		failure = &w->embed_err;
	if (failure) {
		tell(w, failure);
		return;
	}
	/* The record first: once it is in the batch somebody is told, whatever comes after. */
	json_auto_t *payload = audit_payload(w, &err);
	int r = payload ? sg_engine_audit(j->engine, w->actor, "documents_write", NULL, payload,
				  durable, w, &err)
			: sg_error_nomem(&err);
	if (r < 0)
		tell(w, &err);
	else if (sg_batch_call(j->engine, NULL, write_all, w, &w->result) < 0)
		w->result.status = sg_error_nomem(&w->result.err);
}

static void prepared_done(struct sg_know_job *j, const struct sg_error *failure)
{
	struct doc_write *w = (struct doc_write *)j;
	struct sg_error err;
	bool vectors = w->n && w->list[0]->parts[0]->tokens.n;
	if (failure || !vectors) {
		write_prepared(j, failure);
		return;
	}
	if (embed_parts(w, &err) < 0)
		tell(w, &err);
}

/* ---- */

int sg_engine_documents(struct sg_engine *e, const char *store, const json_t *documents,
	const json_t *deletes, const struct sg_caller *who, sg_documents_callback done, void *ctx,
	struct sg_error *err)
{
	int r = sg_engine_check_room(e, err);
	if (r < 0)
		return r;
	if (json_array_size(documents) > SG_ENGINE_MAX_DOCUMENTS ||
		json_array_size(deletes) > SG_ENGINE_MAX_DOCUMENTS)
		return sg_error_set(err, SG_ELIMIT, NULL, "more than %d documents in one request",
			SG_ENGINE_MAX_DOCUMENTS);
	struct doc_write *w = calloc(1, sizeof(*w));
	if (!w)
		return sg_error_nomem(err);
	w->all_next = e->writes;
	w->all_prev = &e->writes;
	if (w->all_next)
		w->all_next->all_prev = &w->all_next;
	e->writes = w;
	w->job = (struct sg_know_job){
		.work = prepare, .done = prepared_done, .drop = drop, .engine = e};
	w->store = strdup(store);
	w->actor = strdup(who->actor);
	w->documents = documents ? json_deep_copy(documents) : json_array();
	w->deletes = deletes ? json_deep_copy(deletes) : json_array();
	w->cb = done;
	w->ctx = ctx;
	r = w->store && w->actor && w->documents && w->deletes
		    ? sg_knowledge_submit(e, &w->job, err)
		    : sg_error_nomem(err);
	if (r < 0)
		free_write(w);
	return r;
}

void sg_documents_forget(struct sg_engine *e, const void *ctx)
{
	for (struct doc_write *w = e->writes; w; w = w->all_next)
		if (w->ctx == ctx)
			w->cb = NULL;
}

void sg_documents_drop(struct sg_engine *e)
{
	while (e->writes)
		free_write(e->writes);
}
