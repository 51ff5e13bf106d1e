/* The environment: opening, its tables, its format version, its errors.
 *
 * One file with LMDB's defaults for durability: a commit writes its pages, fdatasyncs them, then
 * writes the meta page through an O_DSYNC descriptor. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/internal.h"

#define MAX_READERS 128U
#define MAX_TABLES 64U /* ours and those of later formats */

static const char *const table_names[SG_TABLE_COUNT] = {
	[SG_TABLE_META] = "meta",
	[SG_TABLE_RUN] = "run",
	[SG_TABLE_RUN_INPUT] = "run-input",
	[SG_TABLE_RUN_BY_TIME] = "run-by-time",
	[SG_TABLE_STEP] = "step",
	[SG_TABLE_STEP_INDEX] = "step-index",
	[SG_TABLE_AUDIT] = "audit",
	[SG_TABLE_AUDIT_TREE] = "audit-tree",
	[SG_TABLE_AUDIT_NOTE] = "audit-note",
	[SG_TABLE_IDEMPOTENCY] = "idempotency",
	[SG_TABLE_GRAPH] = "graph",
	[SG_TABLE_BLOB] = "blob",
	[SG_TABLE_ARTIFACT] = "artifact",
	[SG_TABLE_LIVE] = "live",
	[SG_TABLE_RUN_EVENTS] = "run-events",
	[SG_TABLE_KNOW] = "know",
	[SG_TABLE_KNOW_DIR] = "know-dir",
	[SG_TABLE_KNOW_VECTOR] = "know-vector",
	[SG_TABLE_KNOW_SIDE] = "know-side",
	[SG_TABLE_KNOW_DOC] = "know-doc",
	[SG_TABLE_KNOW_ID] = "know-id",
	[SG_TABLE_KNOW_EPISODE] = "know-episode",
	[SG_TABLE_KNOW_FACT] = "know-fact",
	[SG_TABLE_KNOW_DELTA] = "know-delta",
};

int sg_store_error(int rc, struct sg_error *err, const char *what, const char *path)
{
	if (rc > 0)
		return sg_error_errno(err, rc, "%s %s", what, path);
	switch (rc) {
	case MDB_MAP_FULL:
		return sg_error_set(err, SG_ENOSPACE, "store-full",
			"%s %s: the reserved map is full; remove old runs", what, path);
	case MDB_READERS_FULL:
		return sg_error_set(err, SG_EBUSY, NULL, "%s %s: more than %u readers", what, path,
			MAX_READERS);
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
		return sg_error_set(err, SG_ECORRUPT, "store-corrupt",
			"%s %s: %s; restore a backup", what, path, mdb_strerror(rc));
	case MDB_PANIC:
		return sg_error_set(err, SG_EIO, "store-failed",
			"%s %s: an earlier write failed; nothing is written until a restart", what,
			path);
	case MDB_VERSION_MISMATCH:
		return sg_error_set(err, SG_ECORRUPT, "store-format",
			"%s %s: written by another version of LMDB", what, path);
	case MDB_BAD_VALSIZE:
		return sg_error_set(err, SG_EINVALID, NULL,
			"%s %s: a key is empty or longer than %u bytes", what, path,
			SG_STORE_KEY_MAX);
	default:
		return sg_error_set(
			err, SG_EINTERNAL, NULL, "%s %s: %s", what, path, mdb_strerror(rc));
	}
}

/* The file must be private to whoever runs this: anybody who can write it can write the truth. */
static int check_file(const char *path, bool read_only, struct sg_error *err)
{
	struct stat st;
	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 1;
		return sg_error_errno(err, errno, "cannot look at %s", path);
	}
	if (!S_ISREG(st.st_mode))
		return sg_error_set(err, SG_EREFUSED, NULL, "%s is not a regular file", path);
	if (read_only)
		return 0;
	if (st.st_uid != geteuid())
		return sg_error_set(err, SG_EREFUSED, NULL,
			"%s belongs to uid %u, not to uid %u who runs this", path,
			(unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 077)
		return sg_error_set(err, SG_EREFUSED, NULL, "%s has mode %04o; it must be 0600",
			path, (unsigned)st.st_mode & 07777U);
	if (st.st_nlink != 1)
		return sg_error_set(err, SG_EREFUSED, NULL,
			"%s has %u hard links; it must have one", path, (unsigned)st.st_nlink);
	return 0;
}

/* A reader by root must not leave a lock file that the service cannot open. */
static void own_lock_file(const char *path, bool existed)
{
	struct stat st;
	sg_autofree char *lock = NULL;
	if (existed || geteuid() != 0 || stat(path, &st) < 0)
		return;
	if (asprintf(&lock, "%s-lock", path) >= 0)
		(void)!lchown(lock, st.st_uid, st.st_gid);
}

static bool lock_file_exists(const char *path)
{
	sg_autofree char *lock = NULL;
	return asprintf(&lock, "%s-lock", path) >= 0 && access(lock, F_OK) == 0;
}

static int open_env(struct sg_store *s, size_t map_bytes, struct sg_error *err)
{
	int rc = mdb_env_create(&s->env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(s->env, MAX_TABLES);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(s->env, MAX_READERS);
	if (rc == 0)
		rc = mdb_env_set_mapsize(s->env, map_bytes ? map_bytes : SG_STORE_MAP_DEFAULT);
	if (rc)
		return sg_store_error(rc, err, "cannot prepare", s->path);
	bool had_lock = lock_file_exists(s->path);
	unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (s->read_only ? MDB_RDONLY : 0);
	rc = mdb_env_open(s->env, s->path, flags, 0600);
	own_lock_file(s->path, had_lock);
	if (rc)
		return sg_store_error(rc, err, "cannot open", s->path);
	return 0;
}

static int put_text(MDB_txn *txn, MDB_dbi dbi, const char *key, const char *value)
{
	MDB_val k = {strlen(key), (void *)(uintptr_t)key};
	MDB_val v = {strlen(value), (void *)(uintptr_t)value};
	return mdb_put(txn, dbi, &k, &v, 0);
}

/* A new environment: every table, the format and the install id, in one transaction. */
static int create_tables(struct sg_store *s, MDB_txn *txn, struct sg_error *err)
{
	uint8_t id[SG_STORE_INSTALL_TEXT / 2];
	if (RAND_bytes(id, sizeof(id)) != 1)
		return sg_error_set(err, SG_EINTERNAL, NULL, "no random bytes");
	sg_hex_encode(id, sizeof(id), s->install);
	int rc = 0;
	for (int i = 0; rc == 0 && i < SG_TABLE_COUNT; i++)
		rc = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &s->tables[i]);
	char format[16];
	(void)snprintf(format, sizeof(format), "%d", SG_STORE_FORMAT);
	if (rc == 0)
		rc = put_text(txn, s->tables[SG_TABLE_META], "format", format);
	if (rc == 0)
		rc = put_text(txn, s->tables[SG_TABLE_META], "install", s->install);
	return rc ? sg_store_error(rc, err, "cannot create the tables of", s->path) : 0;
}

static int get_text(MDB_txn *txn, MDB_dbi dbi, const char *key, char *ret, size_t size)
{
	MDB_val k = {strlen(key), (void *)(uintptr_t)key}, v;
	int rc = mdb_get(txn, dbi, &k, &v);
	if (rc)
		return rc;
	if (v.mv_size >= size)
		return MDB_CORRUPTED;
	memcpy(ret, v.mv_data, v.mv_size);
	ret[v.mv_size] = '\0';
	return 0;
}

static int read_format(struct sg_store *s, MDB_txn *txn, long *ret, struct sg_error *err)
{
	char format[16], *end;
	int rc = get_text(txn, s->tables[SG_TABLE_META], "format", format, sizeof(format));
	if (rc == MDB_NOTFOUND)
		return sg_error_set(err, SG_ECORRUPT, "store-format",
			"%s has no format version: not an environment of stargraph", s->path);
	if (rc)
		return sg_store_error(rc, err, "cannot read", s->path);
	long v = strtol(format, &end, 10);
	if (*end || v < 1)
		return sg_error_set(err, SG_ECORRUPT, "store-format",
			"%s: unreadable format version \"%s\"", s->path, format);
	if (v > SG_STORE_FORMAT)
		return sg_error_set(err, SG_ECORRUPT, "store-format",
			"%s has format %ld, this build knows up to %d: use a newer stargraph",
			s->path, v, SG_STORE_FORMAT);
	*ret = v;
	return 0;
}

/* flags: MDB_CREATE while upgrading. */
static int open_tables(struct sg_store *s, MDB_txn *txn, unsigned flags, struct sg_error *err)
{
	int rc = get_text(txn, s->tables[SG_TABLE_META], "install", s->install, sizeof(s->install));
	for (int i = 0; rc == 0 && i < SG_TABLE_COUNT; i++)
		rc = mdb_dbi_open(txn, table_names[i], flags, &s->tables[i]);
	if (rc == MDB_NOTFOUND)
		rc = MDB_CORRUPTED;
	return rc ? sg_store_error(rc, err, "cannot open the tables of", s->path) : 0;
}

/* Format 2 added the tables of the audit's Merkle tree; their content is made by audit, from the
 * lines, when it finds it missing. Format 3 added the tables of knowledge and of artifacts,
 * empty. */
static int upgrade(struct sg_store *s, MDB_txn *txn, struct sg_error *err)
{
	char format[16];
	(void)snprintf(format, sizeof(format), "%d", SG_STORE_FORMAT);
	int r = open_tables(s, txn, MDB_CREATE, err);
	if (r < 0)
		return r;
	int rc = put_text(txn, s->tables[SG_TABLE_META], "format", format);
	return rc ? sg_store_error(rc, err, "cannot upgrade", s->path) : 0;
}

static int setup_in(struct sg_store *s, MDB_txn *txn, bool create, struct sg_error *err)
{
	long format = 0;
	int rc = mdb_dbi_open(txn, table_names[SG_TABLE_META], 0, &s->tables[SG_TABLE_META]);
	if (rc == MDB_NOTFOUND && create)
		return create_tables(s, txn, err);
	if (rc == MDB_NOTFOUND)
		return sg_error_set(err, SG_ECORRUPT, "store-format",
			"%s is not an environment of stargraph", s->path);
	if (rc)
		return sg_store_error(rc, err, "cannot open", s->path);
	int r = read_format(s, txn, &format, err);
	if (r < 0)
		return r;
	if (format < SG_STORE_FORMAT && s->read_only)
		return sg_error_set(err, SG_EREFUSED, "store-format",
			"%s has the older format %ld; the next `stargraph serve` or `run` upgrades "
			"it",
			s->path, format);
	return format < SG_STORE_FORMAT ? upgrade(s, txn, err) : open_tables(s, txn, 0, err);
}

static int setup_tables(struct sg_store *s, bool create, struct sg_error *err)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->env, NULL, s->read_only ? MDB_RDONLY : 0, &txn);
	if (rc)
		return sg_store_error(rc, err, "cannot read", s->path);
	int r = setup_in(s, txn, create, err);
	if (r < 0) {
		mdb_txn_abort(txn);
		return r;
	}
	rc = mdb_txn_commit(txn); /* keeps the table handles */
	return rc ? sg_store_error(rc, err, "cannot commit to", s->path) : 0;
}

/* An older environment is copied before it is changed. */
static int keep_older(struct sg_store *s, struct sg_error *err)
{
	MDB_txn *txn;
	long format = SG_STORE_FORMAT;
	int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return sg_store_error(rc, err, "cannot read", s->path);
	int r = 0;
	rc = mdb_dbi_open(txn, table_names[SG_TABLE_META], 0, &s->tables[SG_TABLE_META]);
	if (rc == 0)
		r = read_format(s, txn, &format, err);
	mdb_txn_abort(txn);
	if (r < 0 || format == SG_STORE_FORMAT)
		return r;
	sg_autofree char *path = NULL;
	if (asprintf(&path, "%s.format-%ld", s->path, format) < 0)
		return sg_error_nomem(err);
	sg_autoclose int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return sg_error_errno(err, errno, "cannot create %s", path);
	r = sg_store_copy(s, fd, err);
	if (r == 0 && fsync(fd) < 0)
		r = sg_error_errno(err, errno, "cannot sync %s", path);
	return r < 0 ? r : sg_file_sync_dir(path, err);
}

int sg_store_open(struct sg_store **ret, const char *dir, size_t map_bytes, bool create,
	bool read_only, struct sg_error *err)
{
	struct sg_store *s = calloc(1, sizeof(*s));
	if (!s || asprintf(&s->path, "%s/%s", dir, SG_STORE_FILE) < 0) {
		free(s);
		return sg_error_nomem(err);
	}
	s->read_only = read_only;
	int r = check_file(s->path, read_only, err);
	bool absent = r > 0;
	if (absent && (!create || read_only))
		r = sg_error_set(err, SG_ENOTFOUND, NULL, "%s: no such file", s->path);
	if (r >= 0)
		r = open_env(s, map_bytes, err);
	if (r >= 0 && !absent && !read_only)
		r = keep_older(s, err);
	if (r >= 0)
		r = setup_tables(s, create && !read_only, err);
	if (r >= 0 && absent)
		r = sg_file_sync_dir(s->path, err);
	if (r < 0) {
		sg_store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void sg_store_close(struct sg_store *s)
{
	if (!s)
		return;
	if (s->env)
		mdb_env_close(s->env);
	free(s->path);
	free(s);
}

const char *sg_store_install_id(const struct sg_store *s)
{
	return s->install;
}

const char *sg_table_name(enum sg_table table)
{
	return table_names[table];
}

const char *sg_store_path(const struct sg_store *s)
{
	return s->path;
}

int sg_store_copy(struct sg_store *s, int fd, struct sg_error *err)
{
	int rc = mdb_env_copyfd2(s->env, fd, MDB_CP_COMPACT);
	return rc ? sg_store_error(rc, err, "cannot copy", s->path) : 0;
}

int sg_store_reader_check(struct sg_store *s, int *ret, struct sg_error *err)
{
	int dead = 0;
	int rc = mdb_reader_check(s->env, &dead);
	if (rc)
		return sg_store_error(rc, err, "cannot check the readers of", s->path);
	*ret = dead;
	return 0;
}
