/* Records of sources, in the table of ids: a NUL, which no document id begins with, and the id. */
#include "knowledge/source.h"

#include <stdio.h>
#include <string.h>

#include "knowledge/internal.h"

#define RECORD_BYTES (SG_SHA256_BYTES + 4U)
#define DELETE_AT_ONCE 64U /* chunks */

static int make_key(const struct sg_know_info *s, const char *id,
	uint8_t room[5 + SG_KNOW_SOURCE_ID_MAX], struct sg_span *ret, struct sg_error *err)
{
	size_t n = strlen(id);
	if (!n || n > SG_KNOW_SOURCE_ID_MAX)
		return sg_error_set(err, SG_EINVALID, NULL,
			"the id of what is imported has 1 to %d bytes: \"%.80s\"",
			SG_KNOW_SOURCE_ID_MAX, id);
	sg_know_key(s, 0, room);
	room[4] = '\0';
	memcpy(room + 5, id, n);
	*ret = SG_SPAN(room, 5 + n);
	return 0;
}

int sg_know_source_get(struct sg_txn *t, const struct sg_know_info *s, const char *id,
	struct sg_know_source *ret, struct sg_error *err)
{
	uint8_t room[5 + SG_KNOW_SOURCE_ID_MAX];
	struct sg_span key, v;
	int r = make_key(s, id, room, &key, err);
	if (r == 0)
		r = sg_txn_get(t, SG_TABLE_KNOW_ID, key, &v, err);
	if (r != 0)
		return r;
	if (v.len != RECORD_BYTES)
		return sg_know_corrupt(err, s->name, 0, "the record of a source is damaged");
	memcpy(ret->hash, v.data, SG_SHA256_BYTES);
	ret->chunks = sg_know_get32((const uint8_t *)v.data + SG_SHA256_BYTES);
	return 0;
}

void sg_know_chunk_id(const char *id, uint32_t n, uint32_t chunks, char ret[SG_KNOW_ID_MAX + 1])
{
	if (chunks == 1)
		(void)snprintf(ret, SG_KNOW_ID_MAX + 1, "%s", id);
	else
		(void)snprintf(ret, SG_KNOW_ID_MAX + 1, "%s#%u", id, n);
}

/* Chunks `from`.. of a source that had `chunks` of them. */
static int delete_chunks(struct sg_txn *t, const char *store, const char *id, uint32_t from,
	uint32_t chunks, struct sg_know_counts *counts, struct sg_error *err)
{
	char names[DELETE_AT_ONCE][SG_KNOW_ID_MAX + 1];
	const char *ids[DELETE_AT_ONCE];
	int r = 0;
	for (uint32_t i = from; r == 0 && i < chunks;) {
		size_t n = 0;
		for (; n < DELETE_AT_ONCE && i < chunks; i++, n++) {
			sg_know_chunk_id(id, i, chunks, names[n]);
			ids[n] = names[n];
		}
		r = sg_know_delete(t, store, ids, n, counts, err);
	}
	return r;
}

int sg_know_source_put(struct sg_txn *t, const char *store, const char *id,
	const struct sg_know_source *now, struct sg_know_counts *counts, struct sg_error *err)
{
	uint8_t room[5 + SG_KNOW_SOURCE_ID_MAX], v[RECORD_BYTES];
	struct sg_know_info s;
	struct sg_know_source before;
	struct sg_span key;
	int r = sg_know_open_as(t, store, SG_KNOW_HAS_DOCS, &s, err);
	if (r == 0)
		r = sg_know_source_get(t, &s, id, &before, err);
	if (r == 0) { /* one chunk has another name than the first of several */
		bool renamed = (before.chunks == 1) != (now->chunks == 1);
		r = delete_chunks(
			t, store, id, renamed ? 0 : now->chunks, before.chunks, counts, err);
	}
	if (r >= 0)
		r = make_key(&s, id, room, &key, err);
	if (r < 0)
		return r;
	memcpy(v, now->hash, SG_SHA256_BYTES);
	sg_know_put32(v + SG_SHA256_BYTES, now->chunks);
	return sg_txn_put(t, SG_TABLE_KNOW_ID, key, SG_SPAN(v, sizeof(v)), false, err);
}

int sg_know_source_delete(struct sg_txn *t, const char *store, const char *id,
	struct sg_know_counts *counts, struct sg_error *err)
{
	uint8_t room[5 + SG_KNOW_SOURCE_ID_MAX];
	struct sg_know_info s;
	struct sg_know_source before;
	struct sg_span key;
	int r = sg_know_open_as(t, store, SG_KNOW_HAS_DOCS, &s, err);
	if (r == 0)
		r = sg_know_source_get(t, &s, id, &before, err);
	if (r == 0)
		r = delete_chunks(t, store, id, 0, before.chunks, counts, err);
	if (r == 0)
		r = make_key(&s, id, room, &key, err);
	return r != 0 ? r : sg_txn_del(t, SG_TABLE_KNOW_ID, key, err);
}

int sg_know_sources(struct sg_txn *t, const char *store, json_t **ret, struct sg_error *err)
{
	uint8_t prefix[SG_KNOW_KEY_BYTES] = {0};
	struct sg_know_info s;
	sg_autocursor *c = NULL;
	json_auto_t *list = json_array();
	int r = sg_know_open_as(t, store, SG_KNOW_HAS_DOCS, &s, err);
	if (r == 0)
		r = list ? sg_cursor_open(t, SG_TABLE_KNOW_ID, &c, err) : sg_error_nomem(err);
	if (r < 0)
		return r;
	sg_know_key(&s, 0, prefix); /* its fifth byte is the NUL */
	struct sg_span k = SG_SPAN(prefix, 5), v;
	for (r = sg_cursor_seek(c, SG_SEEK_GE, &k, &v, err); r == 0;
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &k, &v, err)) {
		if (k.len < 6 || memcmp(k.data, prefix, 5) != 0)
			break;
		if (json_array_append_new(list, json_stringn((const char *)k.data + 5, k.len - 5)) <
			0)
			return sg_error_nomem(err);
	}
	if (r >= 0)
		*ret = json_incref(list);
	return r < 0 ? r : 0;
}
