/* From a source to its documents. */
#include "knowledge/import.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

struct cutting {
	const struct sg_tokenizer *tokenizer;
	struct sg_know_import *m;
	size_t cap;
	struct sg_error *err;
};

static int add_part(void *ctx, const char *text, size_t n)
{
	struct cutting *c = ctx;
	struct sg_know_import *m = c->m;
	if (m->record.chunks == SG_KNOW_MAX_CHUNKS)
		return sg_error_set(
			c->err, SG_ELIMIT, NULL, "more than %d chunks", SG_KNOW_MAX_CHUNKS);
	if (m->record.chunks == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 4;
		struct sg_know_part **p = realloc((void *)m->parts, cap * sizeof(*p));
		if (!p)
			return sg_error_nomem(c->err);
		m->parts = p;
		c->cap = cap;
	}
	struct sg_know_part *part = calloc(1, sizeof(*part));
	if (!part)
		return sg_error_nomem(c->err);
	m->parts[m->record.chunks++] = part;
	part->n = n;
	part->text = malloc(n + 1);
	if (!part->text)
		return sg_error_nomem(c->err);
	memcpy(part->text, text, n);
	part->text[n] = '\0';
	return c->tokenizer ? sg_tokenize(c->tokenizer, text, n, SG_EMBED_MAX_TOKENS, &part->tokens,
				      c->err)
			    : 0;
}

static size_t tokens_of(const struct sg_know_cut *how)
{
	return how->chunk_tokens ? how->chunk_tokens : SG_KNOW_CHUNK_TOKENS;
}

int sg_know_import_hash(const struct sg_know_cut *how, const char *id, const char *text, size_t n,
	const json_t *metadata, uint8_t ret[SG_SHA256_BYTES], struct sg_error *err)
{
	uint8_t sums[SG_SHA256_BYTES + 2] = {0};
	/* A source may be longer than a document: it is cut. */
	bool is_long = how->tokenizer && n > SG_KNOW_TEXT_MAX;
	const struct sg_know_doc d = {
		.id = id, .text = text, .text_len = is_long ? 0 : n, .metadata = metadata};
	const struct sg_know_doc whole = {.text = text, .text_len = n, .metadata = metadata};
	int r = sg_know_check_doc(&d, err);
	if (r == 0)
		r = sg_know_doc_hash(&whole, sums, err);
	if (r < 0)
		return r;
	if (how->tokenizer) {
		sums[SG_SHA256_BYTES] = (uint8_t)tokens_of(how);
		sums[SG_SHA256_BYTES + 1] = (uint8_t)how->overlap;
	}
	sg_sha256(sums, sizeof(sums), ret);
	return 0;
}

int sg_know_import_make(struct sg_know_import **ret, const struct sg_know_cut *how, const char *id,
	const char *text, size_t n, const json_t *metadata, const uint8_t hash[SG_SHA256_BYTES],
	struct sg_error *err)
{
	struct sg_know_import *m = calloc(1, sizeof(*m));
	struct cutting c = {.tokenizer = how->tokenizer, .m = m, .err = err};
	if (!m)
		return sg_error_nomem(err);
	m->id = strdup(id);
	m->metadata = metadata ? json_deep_copy(metadata) : json_object();
	memcpy(m->record.hash, hash, SG_SHA256_BYTES);
	int r = m->id && m->metadata ? 0 : sg_error_nomem(err);
	if (r == 0)
		r = how->tokenizer ? sg_know_chunk(how->tokenizer, text, n, tokens_of(how),
					     how->overlap, add_part, &c, err)
				   : add_part(&c, text, n);
	if (r < 0) {
		sg_know_import_destroy(m);
		return r;
	}
	*ret = m;
	return 0;
}

void sg_know_import_destroy(struct sg_know_import *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->record.chunks; i++) {
		sg_tokens_finish(&m->parts[i]->tokens);
		free(m->parts[i]->text);
		free(m->parts[i]);
	}
	free((void *)m->parts);
	free(m->id);
	json_decref(m->metadata);
	free(m);
}

/* ---- writing ---- */

/* One transaction may take any number of documents, one sg_know_put only so many. */
struct pending {
	struct sg_know_doc docs[SG_KNOW_WRITE_DOCS];
	char ids[SG_KNOW_WRITE_DOCS][SG_KNOW_ID_MAX + 1];
	json_t *metadata[SG_KNOW_WRITE_DOCS];
	size_t n;
};

static int flush(struct sg_txn *t, const char *store, struct pending *p,
	struct sg_know_counts *counts, struct sg_error *err)
{
	int r = sg_know_put(t, store, p->docs, p->n, counts, err);
	for (size_t k = 0; k < p->n; k++)
		json_decref(p->metadata[k]);
	p->n = 0;
	return r;
}

static json_t *part_metadata(const struct sg_know_import *m, uint32_t k)
{
	if (m->record.chunks == 1)
		return json_incref(m->metadata);
	json_t *meta = json_copy(m->metadata);
	if (!meta || json_object_set_new(meta, "document", json_string(m->id)) < 0 ||
		json_object_set_new(meta, "chunk", json_integer((json_int_t)k)) < 0) {
		json_decref(meta);
		return NULL;
	}
	return meta;
}

static int write_parts(struct sg_txn *t, const char *store, const struct sg_know_import *m,
	struct pending *p, struct sg_know_counts *counts, struct sg_error *err)
{
	for (uint32_t k = 0; k < m->record.chunks; k++) {
		const struct sg_know_part *part = m->parts[k];
		if (!(p->metadata[p->n] = part_metadata(m, k)))
			return sg_error_nomem(err);
		sg_know_chunk_id(m->id, k, m->record.chunks, p->ids[p->n]);
		p->docs[p->n] = (struct sg_know_doc){.id = p->ids[p->n],
			.text = part->text,
			.text_len = part->n,
			.metadata = p->metadata[p->n],
			.vector = part->tokens.n ? part->vector : NULL};
		p->n++;
		int r = p->n == SG_KNOW_WRITE_DOCS ? flush(t, store, p, counts, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int sg_know_import_write(struct sg_txn *t, const char *store, struct sg_know_import *const *list,
	size_t n, struct sg_know_counts *counts, struct sg_error *err)
{
	sg_autofree struct pending *p = calloc(1, sizeof(*p));
	int r = p ? 0 : sg_error_nomem(err);
	/* Records first, which delete old chunks: a source that had several and has one gets
	 * another id. */
	for (size_t i = 0; r == 0 && i < n; i++)
		r = sg_know_source_put(t, store, list[i]->id, &list[i]->record, counts, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = write_parts(t, store, list[i], p, counts, err);
	if (p && p->n) {
		int last = flush(t, store, p, counts, r == 0 ? err : NULL);
		r = r == 0 ? last : r;
	}
	return r;
}
