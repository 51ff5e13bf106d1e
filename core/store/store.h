/* LMDB, as this project uses it: one environment per state directory, one writer thread, many
 * short readers. The only file set that includes lmdb.h.
 *
 * Source: LMDB 0.9 (lmdb.h). The map is reserved once (sparse); never MDB_WRITEMAP (disk full would
 * be a SIGBUS) and never MDB_NOSYNC. Commit returns only after fdatasync.
 */
#ifndef SG_STORE_STORE_H
#define SG_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sg_store;
struct sg_txn;
struct sg_cursor;

/* Every table of the environment; the one place that names them. */
enum sg_table {
	SG_TABLE_META, /* text key -> text value: format version, install id, epochs, audit head */
	SG_TABLE_RUN,  /* run id -> run row */
	SG_TABLE_RUN_BY_TIME, /* 8-byte BE start time µs + run id -> "" */
	SG_TABLE_STEP,	      /* 8-byte BE log sequence -> checkpoint record (append only) */
	SG_TABLE_STEP_INDEX,  /* run id NUL 4-byte BE step (+ branch) -> 8-byte BE log sequence */
	SG_TABLE_AUDIT, /* 8-byte BE audit sequence -> the line's bytes without newline (append) */
	SG_TABLE_IDEMPOTENCY, /* subject NUL key -> stored answer */
	SG_TABLE_GRAPH, /* graph hash -> canonical document text, so that old runs can be replayed
			 */
	SG_TABLE_BLOB,	/* sha-256 hex -> bytes: recorded outside results, artifacts */
	SG_TABLE_COUNT,
};

struct sg_span {
	const void *data;
	size_t len;
};

/* map_bytes 0 = 64 GiB. create: make the environment when there is none. Errors: SG_EIO,
 * SG_ENOSPACE, SG_ENOTFOUND (no environment), SG_ECORRUPT (not ours, or a newer format). */
int sg_store_open(struct sg_store **ret, const char *dir, size_t map_bytes, bool create,
	bool read_only, struct sg_error *err);
void sg_store_close(struct sg_store *s); /* NULL is fine; no transaction may be open */

/* state_dir/lock, held for the life of *ret_fd. SG_ECONFLICT names the pid that holds it. */
int sg_store_lock(const char *dir, int *ret_fd, struct sg_error *err);

int sg_txn_begin(struct sg_store *s, bool write, struct sg_txn **ret, struct sg_error *err);
/* Durable when it returns 0. Always frees the transaction. MAP_FULL and ENOSPC: SG_ENOSPACE. */
int sg_txn_commit(struct sg_txn *t, struct sg_error *err);
void sg_txn_abort(struct sg_txn *t); /* NULL is fine */

/* Positive outcome 1: no such key. ret points into the map: valid until the transaction ends. */
int sg_txn_get(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_span *ret,
	struct sg_error *err);
/* append: the key is greater than all in the table (packs pages full). */
int sg_txn_put(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_span val,
	bool append, struct sg_error *err);
/* Positive outcome 1: no such key. */
int sg_txn_del(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_error *err);
int sg_txn_count(struct sg_txn *t, enum sg_table table, uint64_t *ret, struct sg_error *err);

int sg_cursor_open(
	struct sg_txn *t, enum sg_table table, struct sg_cursor **ret, struct sg_error *err);
void sg_cursor_close(struct sg_cursor *c);
enum sg_seek { SG_SEEK_FIRST, SG_SEEK_LAST, SG_SEEK_NEXT, SG_SEEK_PREV, SG_SEEK_GE };
/* For SG_SEEK_GE *key is the input. Positive outcome 1: past the end. */
int sg_cursor_seek(struct sg_cursor *c, enum sg_seek how, struct sg_span *key,
	struct sg_span *ret_val, struct sg_error *err);

/* Clears readers of processes that died. Returns how many through *ret. */
int sg_store_reader_check(struct sg_store *s, int *ret, struct sg_error *err);

#define SG_KEY_TEXT(s) ((struct sg_span){(s), strlen(s)})
static inline void sg_be64(uint64_t v, uint8_t out[8])
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		out[i] = (uint8_t)v;
}
static inline uint64_t sg_be64_read(const uint8_t in[8])
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | in[i];
	return v;
}

#endif
