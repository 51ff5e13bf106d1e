/* What the tests of knowledge share: a store in a directory, documents with small vectors. */
#ifndef SG_TESTS_KNOW_H
#define SG_TESTS_KNOW_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "knowledge/knowledge.h"
#include "knowledge/search.h"
#include "../tmpdir.h"

#define DIMS 40

static inline struct sg_store *open_store(const char *dir)
{
	struct sg_store *s = NULL;
	struct sg_error err = {0};
	if (sg_store_open(&s, dir, 1ULL << 30, true, false, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static inline struct sg_txn *begin(struct sg_store *s, bool write)
{
	struct sg_txn *t = NULL;
	assert_int_equal(sg_txn_begin(s, write, &t, NULL), 0);
	return t;
}

static inline struct sg_know_drift test_drift(const char *hash)
{
	struct sg_know_drift d = {.dims = DIMS};
	(void)snprintf(d.model_id, sizeof(d.model_id), "test/model");
	(void)snprintf(d.revision, sizeof(d.revision), "1");
	(void)snprintf(d.content_sha256, sizeof(d.content_sha256), "%s", hash);
	return d;
}

static inline void create(
	struct sg_store *s, const char *name, enum sg_know_provider p, enum sg_know_metric m)
{
	struct sg_know_drift d = test_drift("aa");
	struct sg_error err = {0};
	struct sg_txn *t = begin(s, true);
	if (sg_know_create(t, name, p, m, p == SG_KNOW_VECTOR ? &d : NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
}

static uint64_t rng = 88172645463325252ULL;
static inline uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 20) % below);
}

static inline void random_vector(float *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i] = (float)rnd(2001) / 1000 - 1;
}

/* Searches at the store's present state; the hits are the caller's. */
static inline json_t *search(
	struct sg_know_indexes *x, struct sg_store *s, const struct sg_know_query *q)
{
	struct sg_error err = {0};
	json_t *hits = NULL;
	struct sg_txn *t = begin(s, false);
	if (sg_know_search(x, t, q, &hits, &err) < 0)
		fail_msg("%s", err.text);
	sg_txn_abort(t);
	return hits;
}

static inline const char *hit_id(const json_t *hits, size_t i)
{
	return json_string_value(json_object_get(json_array_get(hits, i), "id"));
}

static inline double hit_score(const json_t *hits, size_t i)
{
	return json_real_value(json_object_get(json_array_get(hits, i), "score"));
}

#endif
