/* Transactions and cursors: thin, with errors of ours. */
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/internal.h"

struct sg_cursor {
	MDB_cursor *cursor;
	const char *path;
};

int sg_txn_begin(struct sg_store *s, bool write, struct sg_txn **ret, struct sg_error *err)
{
	if (write && s->read_only)
		return sg_error_set(
			err, SG_EINTERNAL, NULL, "%s is open for reading only", s->path);
	if (write && atomic_load(&s->broken))
		return sg_error_set(err, SG_EIO, "store-failed",
			"%s: an earlier commit failed; nothing is written until a restart",
			s->path);
	struct sg_txn *t = calloc(1, sizeof(*t));
	if (!t)
		return sg_error_nomem(err);
	t->store = s;
	t->write = write;
	int rc = mdb_txn_begin(s->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
	if (rc) {
		free(t);
		return sg_store_error(rc, err, "cannot begin a transaction on", s->path);
	}
	*ret = t;
	return 0;
}

int sg_txn_begin_nested(struct sg_txn *t, struct sg_txn **ret, struct sg_error *err)
{
	struct sg_txn *n = calloc(1, sizeof(*n));
	if (!n)
		return sg_error_nomem(err);
	n->store = t->store;
	n->write = true;
	int rc = mdb_txn_begin(t->store->env, t->txn, 0, &n->txn);
	if (rc) {
		free(n);
		return sg_store_error(rc, err, "cannot begin a transaction on", t->store->path);
	}
	*ret = n;
	return 0;
}

int sg_txn_commit(struct sg_txn *t, struct sg_error *err)
{
	struct sg_store *s = t->store;
	bool write = t->write;
	int rc = mdb_txn_commit(t->txn);
	free(t);
	if (rc == 0)
		return 0;
	/* Disk full stops before anything is synced and may be tried again; any other failure
	 * leaves unknown what the kernel still holds, and a second fsync would lie about it. */
	if (write && rc != ENOSPC && rc != EDQUOT && rc != MDB_MAP_FULL)
		atomic_store(&s->broken, true);
	return sg_store_error(rc, err, "cannot commit to", s->path);
}

void sg_txn_abort(struct sg_txn *t)
{
	if (!t)
		return;
	mdb_txn_abort(t->txn);
	free(t);
}

static MDB_val val_of(struct sg_span s)
{
	return (MDB_val){s.len, (void *)(uintptr_t)s.data};
}

int sg_txn_get(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_span *ret,
	struct sg_error *err)
{
	MDB_val k = val_of(key), v;
	int rc = mdb_get(t->txn, t->store->tables[table], &k, &v);
	if (rc == MDB_NOTFOUND)
		return 1;
	if (rc)
		return sg_store_error(rc, err, "cannot read", t->store->path);
	*ret = SG_SPAN(v.mv_data, v.mv_size);
	return 0;
}

int sg_txn_put(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_span val,
	bool append, struct sg_error *err)
{
	MDB_val k = val_of(key), v = val_of(val);
	int rc = mdb_put(t->txn, t->store->tables[table], &k, &v, append ? MDB_APPEND : 0);
	return rc ? sg_store_error(rc, err, "cannot write", t->store->path) : 0;
}

int sg_txn_put_new(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_span val,
	struct sg_error *err)
{
	MDB_val k = val_of(key), v = val_of(val);
	int rc = mdb_put(t->txn, t->store->tables[table], &k, &v, MDB_NOOVERWRITE);
	if (rc == MDB_KEYEXIST)
		return 1;
	return rc ? sg_store_error(rc, err, "cannot write", t->store->path) : 0;
}

int sg_txn_next_seq(struct sg_txn *t, enum sg_table table, uint64_t *ret_seq, struct sg_error *err)
{
	MDB_cursor *c;
	MDB_val k, v;
	int rc = mdb_cursor_open(t->txn, t->store->tables[table], &c);
	if (rc)
		return sg_store_error(rc, err, "cannot read", t->store->path);
	rc = mdb_cursor_get(c, &k, &v, MDB_LAST);
	uint64_t seq = 0;
	if (rc == 0 && k.mv_size == 8)
		seq = sg_be64_read(k.mv_data) + 1;
	else if (rc == 0)
		rc = MDB_CORRUPTED;
	mdb_cursor_close(c);
	if (rc && rc != MDB_NOTFOUND)
		return sg_store_error(rc, err, "cannot read", t->store->path);
	*ret_seq = seq;
	return 0;
}

int sg_txn_append(struct sg_txn *t, enum sg_table table, struct sg_span val, uint64_t *ret_seq,
	struct sg_error *err)
{
	uint64_t seq;
	uint8_t key[8];
	int r = sg_txn_next_seq(t, table, &seq, err);
	if (r < 0)
		return r;
	sg_be64(seq, key);
	r = sg_txn_put(t, table, SG_SPAN(key, sizeof(key)), val, true, err);
	if (r == 0)
		*ret_seq = seq;
	return r;
}

int sg_txn_del(struct sg_txn *t, enum sg_table table, struct sg_span key, struct sg_error *err)
{
	MDB_val k = val_of(key);
	int rc = mdb_del(t->txn, t->store->tables[table], &k, NULL);
	if (rc == MDB_NOTFOUND)
		return 1;
	return rc ? sg_store_error(rc, err, "cannot delete from", t->store->path) : 0;
}

int sg_txn_count(struct sg_txn *t, enum sg_table table, uint64_t *ret, struct sg_error *err)
{
	MDB_stat st;
	int rc = mdb_stat(t->txn, t->store->tables[table], &st);
	if (rc)
		return sg_store_error(rc, err, "cannot read", t->store->path);
	*ret = st.ms_entries;
	return 0;
}

int sg_cursor_open(
	struct sg_txn *t, enum sg_table table, struct sg_cursor **ret, struct sg_error *err)
{
	struct sg_cursor *c = calloc(1, sizeof(*c));
	if (!c)
		return sg_error_nomem(err);
	c->path = t->store->path;
	int rc = mdb_cursor_open(t->txn, t->store->tables[table], &c->cursor);
	if (rc) {
		free(c);
		return sg_store_error(rc, err, "cannot read", t->store->path);
	}
	*ret = c;
	return 0;
}

void sg_cursor_close(struct sg_cursor *c)
{
	if (!c)
		return;
	mdb_cursor_close(c->cursor);
	free(c);
}

void sg_cursor_close_ptr(struct sg_cursor **c)
{
	sg_cursor_close(*c);
}

int sg_cursor_seek(struct sg_cursor *c, enum sg_seek how, struct sg_span *key,
	struct sg_span *ret_val, struct sg_error *err)
{
	static const MDB_cursor_op ops[] = {
		[SG_SEEK_FIRST] = MDB_FIRST,
		[SG_SEEK_LAST] = MDB_LAST,
		[SG_SEEK_NEXT] = MDB_NEXT,
		[SG_SEEK_PREV] = MDB_PREV,
		[SG_SEEK_GE] = MDB_SET_RANGE,
	};
	MDB_val k = how == SG_SEEK_GE ? val_of(*key) : (MDB_val){0}, v;
	int rc = mdb_cursor_get(c->cursor, &k, &v, ops[how]);
	if (rc == MDB_NOTFOUND)
		return 1;
	if (rc)
		return sg_store_error(rc, err, "cannot read", c->path);
	*key = SG_SPAN(k.mv_data, k.mv_size);
	if (ret_val)
		*ret_val = SG_SPAN(v.mv_data, v.mv_size);
	return 0;
}
