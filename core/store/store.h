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
#include <string.h>

#include "base/error.h"

/* dir/store.mdb and its lock file dir/store.mdb-lock. */
#define SG_STORE_FILE "store.mdb"
#define SG_STORE_FORMAT 3	 /* what this build writes; META "format" */
#define SG_STORE_KEY_MAX 511U	 /* bytes of a key (LMDB's own limit) */
#define SG_STORE_INSTALL_TEXT 33 /* 32 hex digits and the NUL */
#define SG_STORE_MAP_DEFAULT (64ULL << 30)

struct sg_store;
struct sg_txn;
struct sg_cursor;

/* Every table of the environment; the one place that names them. */
enum sg_table {
	SG_TABLE_META, /* text key -> text value: format version, install id, epochs, audit head */
	SG_TABLE_RUN,  /* run id -> run row */
	SG_TABLE_RUN_INPUT,   /* run id -> the parameters it was started with, written once */
	SG_TABLE_RUN_BY_TIME, /* 8-byte BE start time µs + run id -> "" */
	SG_TABLE_STEP,	      /* 8-byte BE log sequence -> checkpoint record (append only) */
	SG_TABLE_STEP_INDEX,  /* run id NUL 4-byte BE step (+ branch) -> 8-byte BE log sequence */
	SG_TABLE_AUDIT, /* 8-byte BE audit sequence -> the line's bytes without newline (append) */
	SG_TABLE_AUDIT_TREE,  /* 8-byte BE index -> Merkle node over audit records 256i..256i+255 */
	SG_TABLE_AUDIT_NOTE,  /* 8-byte BE tree size -> signed checkpoint, a C2SP note (append) */
	SG_TABLE_IDEMPOTENCY, /* subject NUL key -> stored answer */
	SG_TABLE_GRAPH, /* graph hash -> canonical document text, so that old runs can be replayed
			 */
	SG_TABLE_BLOB,	/* sha-256 hex -> bytes: recorded outside results, artifacts */
	SG_TABLE_LIVE,	/* run id -> "": runs that have not ended, so that a start need not read all
			 */
	SG_TABLE_RUN_EVENTS,   /* run id NUL 8-byte BE audit sequence -> the 8-byte BE sequences of
				  the run's lines of one batch, the key's own included */
	SG_TABLE_KNOW,	       /* store name -> its description, JSON (knowledge/catalog.c) */
	SG_TABLE_KNOW_DIR,     /* 4-byte BE store id + 4-byte BE segment -> directory entry */
	SG_TABLE_KNOW_VECTOR,  /* the same key -> the vectors of the segment's rows */
	SG_TABLE_KNOW_SIDE,    /* the same key -> their ids, metadata and terms */
	SG_TABLE_KNOW_DOC,     /* 4-byte BE store id + 4-byte BE row -> SHA-256 + the text */
	SG_TABLE_KNOW_ID,      /* 4-byte BE store id + document id -> 4-byte BE row + SHA-256 */
	SG_TABLE_KNOW_EPISODE, /* 4-byte BE store id + scope key + 8-byte BE time + id -> JSON */
	SG_TABLE_KNOW_FACT,    /* 4-byte BE store id + fact id -> JSON */
	SG_TABLE_KNOW_DELTA,   /* 4-byte BE store id + 8-byte BE sequence -> JSON, append only */
	SG_TABLE_ARTIFACT, /* run id NUL 4-byte BE step -> reference, canonical JSON; artifact id
			      NUL run id NUL step -> "" */
	SG_TABLE_COUNT,
};

struct sg_span {
	const void *data;
	size_t len;
};

/* map_bytes 0 = 64 GiB. create: make the environment when there is none. Errors: SG_EIO,
 * SG_ENOSPACE, SG_ENOTFOUND (no environment), SG_ECORRUPT (not ours, or a newer format). An
 * environment of an older format is upgraded in place, after a copy to store.mdb.format-<n>; for
 * reading only it is refused (SG_EREFUSED). */
int sg_store_open(struct sg_store **ret, const char *dir, size_t map_bytes, bool create,
	bool read_only, struct sg_error *err);
void sg_store_close(struct sg_store *s); /* NULL is fine; no transaction may be open */
/* Made once when the environment is created; never changes. Valid while s is open. */
const char *sg_store_install_id(const struct sg_store *s);
const char *sg_store_path(const struct sg_store *s); /* of store.mdb */
const char *sg_table_name(enum sg_table table);	     /* its name on disk, which never changes */

/* Writes a consistent copy of the environment, as of now and compacted, to fd; writers and readers
 * go on meanwhile. The caller syncs. */
int sg_store_copy(struct sg_store *s, int fd, struct sg_error *err);

/* state_dir/lock, held for the life of *ret_fd (close it to let go). SG_ECONFLICT names the pid
 * that holds it. The lock belongs to the descriptor (flock), so it is lost with the process. */
int sg_store_lock(const char *dir, int *ret_fd, struct sg_error *err);

/* One write transaction at a time in the whole environment (others wait). After a commit that
 * failed with SG_EIO no write transaction begins any more: what the disk holds is unknown until the
 * environment is opened again. */
int sg_txn_begin(struct sg_store *s, bool write, struct sg_txn **ret, struct sg_error *err);
/* A part of a write transaction that can be undone alone: committed into t, or aborted. t is not
 * used while it is open. */
int sg_txn_begin_nested(struct sg_txn *t, struct sg_txn **ret, struct sg_error *err);
/* Durable when it returns 0 (a nested one: when t is). Always frees the transaction. MAP_FULL and
 * ENOSPC: SG_ENOSPACE. */
int sg_txn_commit(struct sg_txn *t, struct sg_error *err);
void sg_txn_abort(struct sg_txn *t); /* NULL is fine */
static inline void sg_txn_abort_ptr(struct sg_txn **t)
{
	sg_txn_abort(*t);
}
/* sg_autotxn *t = NULL; aborted at the end of the scope unless stolen for the commit. */
#define sg_autotxn __attribute__((cleanup(sg_txn_abort_ptr))) struct sg_txn

/* Positive outcome 1: no such key. ret points into the map: valid until the transaction ends. */
int sg_txn_get(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_span *ret,
	struct sg_error *err);
/* append: the key is greater than all in the table (packs pages full). */
int sg_txn_put(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_span val,
	bool append, struct sg_error *err);
/* Positive outcome 1: the key is there already, nothing was written. */
int sg_txn_put_new(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_span val,
	struct sg_error *err);
/* Puts val under the next free 8-byte sequence of a table that is keyed so (0 when it is empty). */
int sg_txn_append(struct sg_txn *t, enum sg_table table, struct sg_span val, uint64_t *ret_seq,
	struct sg_error *err);
/* The sequence that sg_txn_append would take. */
int sg_txn_next_seq(struct sg_txn *t, enum sg_table table, uint64_t *ret_seq, struct sg_error *err);
/* Positive outcome 1: no such key. */
int sg_txn_del(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_error *err);
int sg_txn_count(struct sg_txn *t, enum sg_table table, uint64_t *ret, struct sg_error *err);

int sg_cursor_open(
	struct sg_txn *t, enum sg_table table, struct sg_cursor **ret, struct sg_error *err);
void sg_cursor_close(struct sg_cursor *c); /* before its transaction ends; NULL is fine */
void sg_cursor_close_ptr(struct sg_cursor **c);
#define sg_autocursor __attribute__((cleanup(sg_cursor_close_ptr))) struct sg_cursor
enum sg_seek { SG_SEEK_FIRST, SG_SEEK_LAST, SG_SEEK_NEXT, SG_SEEK_PREV, SG_SEEK_GE };
/* For SG_SEEK_GE *key is the input. Positive outcome 1: past the end. */
int sg_cursor_seek(struct sg_cursor *c, enum sg_seek how, struct sg_span *key,
	struct sg_span *ret_val, struct sg_error *err);

/* Clears readers of processes that died. Returns how many through *ret. */
int sg_store_reader_check(struct sg_store *s, int *ret, struct sg_error *err);

#define SG_KEY_TEXT(s) ((struct sg_span){(s), strlen(s)})
#define SG_SPAN(p, n) ((struct sg_span){(p), (n)})
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
