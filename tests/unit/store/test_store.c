/* store: opening, refusal of what is not ours, transactions, cursors, the lock. */
#include <fcntl.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "store/store.h"
#include "../tmpdir.h"

static struct sg_store *open_at(const char *dir, bool create)
{
	struct sg_store *s = NULL;
	struct sg_error err = {0};
	if (sg_store_open(&s, dir, 1 << 24, create, false, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static void put(struct sg_txn *t, const char *k, const char *v)
{
	assert_int_equal(
		sg_txn_put(t, SG_TABLE_META, SG_KEY_TEXT(k), SG_KEY_TEXT(v), false, NULL), 0);
}

static void what_is_put_is_found_after_a_restart(void **state)
{
	const char *dir = *state;
	struct sg_store *s = open_at(dir, true);
	char id[SG_STORE_INSTALL_TEXT];
	(void)snprintf(id, sizeof(id), "%s", sg_store_install_id(s));
	assert_int_equal(strlen(id), 32);
	struct sg_txn *t;
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	put(t, "colour", "blue");
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	sg_store_close(s);
	s = open_at(dir, false);
	assert_string_equal(sg_store_install_id(s), id);
	struct sg_span v;
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	assert_int_equal(sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT("colour"), &v, NULL), 0);
	assert_memory_equal(v.data, "blue", 4);
	assert_int_equal(sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT("none"), &v, NULL), 1);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void an_aborted_transaction_leaves_nothing(void **state)
{
	struct sg_store *s = open_at(*state, true);
	struct sg_txn *t;
	struct sg_span v;
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	put(t, "a", "1");
	sg_txn_abort(t);
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	assert_int_equal(sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT("a"), &v, NULL), 1);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void appended_values_get_consecutive_sequences(void **state)
{
	struct sg_store *s = open_at(*state, true);
	struct sg_txn *t;
	uint64_t seq, n;
	for (uint64_t i = 0; i < 300; i++) {
		assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
		assert_int_equal(sg_txn_append(t, SG_TABLE_STEP, SG_KEY_TEXT("x"), &seq, NULL), 0);
		assert_int_equal(seq, i);
		assert_int_equal(sg_txn_commit(t, NULL), 0);
	}
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	assert_int_equal(sg_txn_count(t, SG_TABLE_STEP, &n, NULL), 0);
	assert_int_equal(n, 300);
	struct sg_cursor *c;
	struct sg_span k, v;
	uint8_t from[8];
	assert_int_equal(sg_cursor_open(t, SG_TABLE_STEP, &c, NULL), 0);
	assert_int_equal(sg_cursor_seek(c, SG_SEEK_LAST, &k, &v, NULL), 0);
	assert_int_equal(sg_be64_read(k.data), 299);
	sg_be64(200, from);
	k = SG_SPAN(from, 8);
	assert_int_equal(sg_cursor_seek(c, SG_SEEK_GE, &k, &v, NULL), 0);
	assert_int_equal(sg_be64_read(k.data), 200);
	assert_int_equal(sg_cursor_seek(c, SG_SEEK_PREV, &k, &v, NULL), 0);
	assert_int_equal(sg_be64_read(k.data), 199);
	sg_be64(300, from);
	k = SG_SPAN(from, 8);
	assert_int_equal(sg_cursor_seek(c, SG_SEEK_GE, &k, &v, NULL), 1);
	sg_cursor_close(c);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void a_key_out_of_order_is_not_appended(void **state)
{
	struct sg_store *s = open_at(*state, true);
	struct sg_txn *t;
	struct sg_error err = {0};
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	assert_int_equal(
		sg_txn_put(t, SG_TABLE_BLOB, SG_KEY_TEXT("b"), SG_KEY_TEXT("1"), true, &err), 0);
	assert_true(
		sg_txn_put(t, SG_TABLE_BLOB, SG_KEY_TEXT("a"), SG_KEY_TEXT("1"), true, &err) < 0);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void hostile_keys_are_errors(void **state)
{
	struct sg_store *s = open_at(*state, true);
	struct sg_txn *t;
	struct sg_error err = {0};
	char big[600];
	memset(big, 'k', sizeof(big));
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	assert_int_equal(sg_txn_put(t, SG_TABLE_BLOB, SG_SPAN(big, sizeof(big)), SG_KEY_TEXT("1"),
				 false, &err),
		-SG_EINVALID);
	assert_int_equal(
		sg_txn_put(t, SG_TABLE_BLOB, SG_SPAN("", 0), SG_KEY_TEXT("1"), false, &err),
		-SG_EINVALID);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void a_full_map_is_no_space_and_the_store_lives_on(void **state)
{
	struct sg_store *s = NULL;
	struct sg_error err = {0};
	assert_int_equal(sg_store_open(&s, *state, 1 << 19, true, false, &err), 0);
	char *big = calloc(1, 1 << 20);
	struct sg_txn *t;
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	int r = sg_txn_put(
		t, SG_TABLE_BLOB, SG_KEY_TEXT("big"), SG_SPAN(big, 1 << 20), false, &err);
	assert_int_equal(r, -SG_ENOSPACE);
	assert_string_equal(err.kind, "store-full");
	sg_txn_abort(t);
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	put(t, "small", "1");
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	free(big);
	sg_store_close(s);
}

static int open_error(const char *dir, bool create, struct sg_error *err)
{
	struct sg_store *s = NULL;
	int r = sg_store_open(&s, dir, 1 << 24, create, false, err);
	assert_null(s);
	return r;
}

static void what_is_not_ours_is_refused(void **state)
{
	struct sg_error err = {0};
	sg_autofree char *file = tmp_path(*state, SG_STORE_FILE);
	assert_int_equal(open_error(*state, false, &err), -SG_ENOTFOUND);
	tmp_write(file, "this is no LMDB environment", 27);
	assert_int_equal(open_error(*state, true, &err), -SG_ECORRUPT);
	char zeros[8192] = {0};
	tmp_write(file, zeros, sizeof(zeros));
	assert_int_equal(open_error(*state, true, &err), -SG_ECORRUPT);
}

static void a_newer_format_is_refused(void **state)
{
	struct sg_store *s = open_at(*state, true);
	struct sg_txn *t;
	struct sg_error err = {0};
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	put(t, "format", "99");
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	sg_store_close(s);
	assert_int_equal(open_error(*state, true, &err), -SG_ECORRUPT);
	assert_string_equal(err.kind, "store-format");
	assert_non_null(strstr(err.text, "format 99"));
}

/* Makes the environment what format 1 was: without the tables that came later. */
static void make_older(const char *dir)
{
	sg_autofree char *file = tmp_path(dir, SG_STORE_FILE);
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val k = {6, (void *)(uintptr_t) "format"}, v = {1, (void *)(uintptr_t) "1"};
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 64), 0);
	assert_int_equal(mdb_env_open(env, file, MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	static const enum sg_table later[] = {
		SG_TABLE_AUDIT_TREE, SG_TABLE_AUDIT_NOTE, SG_TABLE_ARTIFACT};
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		assert_int_equal(mdb_dbi_open(txn, sg_table_name(later[i]), 0, &dbi), 0);
		assert_int_equal(mdb_drop(txn, dbi, 1), 0);
	}
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void an_older_format_is_upgraded_after_a_copy(void **state)
{
	struct sg_store *s = open_at(*state, true);
	struct sg_txn *t;
	struct sg_span v;
	struct sg_error err = {0};
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	put(t, "colour", "blue");
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	sg_store_close(s);
	make_older(*state);
	s = NULL;
	assert_int_equal(sg_store_open(&s, *state, 0, false, true, &err), -SG_EREFUSED);
	s = open_at(*state, false);
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	assert_int_equal(sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT("colour"), &v, NULL), 0);
	assert_int_equal(sg_txn_get(t, SG_TABLE_META, SG_KEY_TEXT("format"), &v, NULL), 0);
	assert_memory_equal(v.data, "3", 1);
	assert_int_equal(sg_txn_get(t, SG_TABLE_AUDIT_NOTE, SG_KEY_TEXT("x"), &v, NULL), 1);
	assert_int_equal(sg_txn_get(t, SG_TABLE_ARTIFACT, SG_KEY_TEXT("x"), &v, NULL), 1);
	sg_txn_abort(t);
	sg_store_close(s);
	sg_autofree char *kept = tmp_path(*state, SG_STORE_FILE ".format-1");
	struct stat st;
	assert_int_equal(stat(kept, &st), 0);
	assert_true(st.st_size > 0 && (st.st_mode & 077) == 0);
}

static void an_exposed_or_linked_file_is_refused(void **state)
{
	struct sg_error err = {0};
	sg_autofree char *file = tmp_path(*state, SG_STORE_FILE);
	sg_autofree char *other = tmp_path(*state, "other");
	sg_store_close(open_at(*state, true));
	assert_int_equal(chmod(file, 0640), 0);
	assert_int_equal(open_error(*state, false, &err), -SG_EREFUSED);
	assert_int_equal(chmod(file, 0600), 0);
	assert_int_equal(link(file, other), 0);
	assert_int_equal(open_error(*state, false, &err), -SG_EREFUSED);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(symlink("other", file), 0);
	assert_int_equal(open_error(*state, false, &err), -SG_EREFUSED);
}

static void a_reader_never_writes(void **state)
{
	sg_store_close(open_at(*state, true));
	struct sg_store *s = NULL;
	struct sg_txn *t;
	assert_int_equal(sg_store_open(&s, *state, 0, false, true, NULL), 0);
	assert_true(sg_txn_begin(s, true, &t, NULL) < 0);
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void the_lock_names_its_holder_and_dies_with_it(void **state)
{
	const char *dir = *state;
	int ready[2], done[2];
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(done), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int fd;
		char c = sg_store_lock(dir, &fd, NULL) == 0 ? 'y' : 'n';
		(void)!write(ready[1], &c, 1);
		(void)close(done[1]);
		(void)!read(done[0], &c, 1);
		_exit(0);
	}
	char c = 0;
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	int fd = -1;
	struct sg_error err = {0};
	assert_int_equal(sg_store_lock(dir, &fd, &err), -SG_ECONFLICT);
	char want[32];
	(void)snprintf(want, sizeof(want), "process %d", (int)pid);
	assert_non_null(strstr(err.text, want));
	(void)close(done[0]);
	(void)close(done[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(sg_store_lock(dir, &fd, &err), 0);
	(void)close(fd);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_put_is_found_after_a_restart),
		T(an_aborted_transaction_leaves_nothing),
		T(appended_values_get_consecutive_sequences),
		T(a_key_out_of_order_is_not_appended),
		T(hostile_keys_are_errors),
		T(a_full_map_is_no_space_and_the_store_lives_on),
		T(what_is_not_ours_is_refused),
		T(a_newer_format_is_refused),
		T(an_older_format_is_upgraded_after_a_copy),
		T(an_exposed_or_linked_file_is_refused),
		T(a_reader_never_writes),
		T(the_lock_names_its_holder_and_dies_with_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
