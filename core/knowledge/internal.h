/* Shared by the files of knowledge. */
#ifndef SG_KNOWLEDGE_INTERNAL_H
#define SG_KNOWLEDGE_INTERNAL_H

#include "base/buf.h"
#include "knowledge/knowledge.h"

/* ---- catalog.c ---- */
int sg_know_save(struct sg_txn *t, const struct sg_know_info *s, struct sg_error *err);
/* As sg_know_open, and the provider must be one of these bits. */
#define SG_KNOW_BIT(p) (1U << (unsigned)(p))
#define SG_KNOW_HAS_DOCS (SG_KNOW_BIT(SG_KNOW_VECTOR) | SG_KNOW_BIT(SG_KNOW_DOCUMENT))
int sg_know_open_as(struct sg_txn *t, const char *name, unsigned providers,
	struct sg_know_info *ret, struct sg_error *err);
bool sg_know_same_drift(const struct sg_know_drift *a, const struct sg_know_drift *b);
/* Floats of a stored row: dims rounded up to SG_SCAN_PAD, 0 without vectors. */
size_t sg_know_stride(const struct sg_know_info *s);

/* ---- segment.c ---- */
#define SG_KNOW_KEY_BYTES 8
/* A segment's directory entry. */
struct sg_know_dir {
	uint32_t segment;
	uint64_t alive;	  /* bit i = row i holds a document */
	uint64_t version; /* the store's generation when it was written */
	uint8_t vectors_sha[SG_SHA256_BYTES], side_sha[SG_SHA256_BYTES];
};
void sg_know_key(const struct sg_know_info *s, uint32_t number, uint8_t ret[SG_KNOW_KEY_BYTES]);
/* Positive outcome 1: none. */
int sg_know_dir_get(struct sg_txn *t, const struct sg_know_info *s, uint32_t segment,
	struct sg_know_dir *ret, struct sg_error *err);
int sg_know_dir_put(struct sg_txn *t, const struct sg_know_info *s, const struct sg_know_dir *d,
	struct sg_error *err);
/* Calls each with every entry in order until it returns not 0. */
int sg_know_dir_each(struct sg_txn *t, const struct sg_know_info *s,
	int (*each)(void *ctx, const struct sg_know_dir *d, struct sg_error *err), void *ctx,
	struct sg_error *err);

/* One row of a segment's side part. Spans point into the part. */
struct sg_know_row {
	const char *id;
	size_t id_len;
	const char *meta; /* canonical JSON */
	size_t meta_len;
	uint32_t length; /* terms of the text, repeats counted */
	uint16_t n_terms;
	const uint8_t *terms; /* n_terms of {u8 length, bytes, u16 count}, ascending */
	size_t terms_len;
};
/* The parts as stored, hashed against d. Valid until the transaction ends or writes. vectors NULL
 * for a store without. */
int sg_know_segment_read(struct sg_txn *t, const struct sg_know_info *s,
	const struct sg_know_dir *d, const float **ret_vectors, struct sg_span *ret_side,
	struct sg_error *err);
int sg_know_segment_write(struct sg_txn *t, const struct sg_know_info *s, struct sg_know_dir *d,
	const float *vectors, struct sg_span side, struct sg_error *err);
/* The rows of a side part as spans (len 0 = no document). SG_ECORRUPT. */
int sg_know_side_split(struct sg_span side, struct sg_span ret[SG_KNOW_SEGMENT_ROWS],
	const char *name, struct sg_error *err);
int sg_know_row_parse(
	struct sg_span row, struct sg_know_row *ret, const char *name, struct sg_error *err);
/* Appends the encoded row. */
void sg_know_row_encode(struct sg_buf *b, const char *id, struct sg_span meta,
	const struct sg_span *text, struct sg_error *err);
int sg_know_corrupt(struct sg_error *err, const char *name, uint32_t segment, const char *what);

/* ---- terms.c ---- */
#define SG_KNOW_TERM_MAX 64 /* bytes */
/* Calls each for every term of a text, normalized: words in lower case without accents, plural
 * endings off. The term is valid for the call. */
void sg_know_terms(
	const char *text, size_t n, void (*each)(void *ctx, const char *term, size_t n), void *ctx);

static inline void sg_know_put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}
static inline uint32_t sg_know_get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline void sg_know_put64(uint8_t *p, uint64_t v)
{
	sg_know_put32(p, (uint32_t)v);
	sg_know_put32(p + 4, (uint32_t)(v >> 32));
}
static inline uint64_t sg_know_get64(const uint8_t *p)
{
	return (uint64_t)sg_know_get32(p) | (uint64_t)sg_know_get32(p + 4) << 32;
}

#endif
