/* Shared by the files of store; nobody else includes lmdb.h. */
#ifndef SG_STORE_INTERNAL_H
#define SG_STORE_INTERNAL_H

#include <lmdb.h>
#include <stdatomic.h>

#include "store/store.h"

struct sg_store {
	MDB_env *env;
	MDB_dbi tables[SG_TABLE_COUNT];
	char *path;
	char install[SG_STORE_INSTALL_TEXT];
	bool read_only;
	atomic_bool broken; /* a commit failed with an I/O error */
};

struct sg_txn {
	struct sg_store *store;
	MDB_txn *txn;
	bool write;
};

/* LMDB's result as an error of ours: errno values, full, corrupt, a bug. */
int sg_store_error(int rc, struct sg_error *err, const char *what, const char *path);

#endif
