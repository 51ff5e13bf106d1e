/* audit: the writer's lines, and what a start does with a file that is not as it was left. */
#include "log.h"

#include <jansson.h>

#include "base/json.h"

static void a_new_log_begins_with_genesis(void **state)
{
	struct log l;
	log_open(&l, *state);
	size_t n;
	sg_autofree char *text = log_read(l.path, &n);
	json_t *j = NULL;
	assert_int_equal(sg_json_parse(text, n, &j, NULL), 0);
	assert_string_equal(json_string_value(json_object_get(j, "type")), "genesis");
	json_t *payload = json_object_get(j, "payload");
	assert_string_equal(json_string_value(json_object_get(payload, "install")),
		sg_store_install_id(l.store));
	assert_int_equal(strspn(json_string_value(json_object_get(j, "prev")), "0"), 64);
	json_decref(j);
	struct stat st;
	assert_int_equal(stat(l.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	log_close(&l);
}

static void a_line_has_the_fixed_form(void **state)
{
	struct log l;
	log_open(&l, *state);
	log_add(&l, 1, true);
	size_t n;
	sg_autofree char *text = log_read(l.path, &n);
	char *second = strchr(text, '\n') + 1;
	char *prev_end = strstr(second, "\",\"ts\"");
	assert_memory_equal(second, "{\"seq\":1,\"prev\":\"", 17);
	assert_string_equal(prev_end,
		"\",\"ts\":\"2025-11-24T16:00:00.000000Z\",\"actor\":\"CN=ana,O=Lab\","
		"\"type\":\"node_finished\",\"run\":\"run-1\",\"step\":0,\"payload\":{\"i\":0},"
		"\"provenance\":{\"origin\":\"engine\",\"source\":\"stargraph\",\"run_id\":\"run-"
		"1\",\"step\":0,\"confidence\":1,\"timestamp\":\"2025-11-24T16:00:00.000000Z\"}}"
		"\n");
	log_close(&l);
}

static void hostile_names_stay_one_valid_line(void **state)
{
	struct log l;
	log_open(&l, *state);
	struct sg_txn *t;
	struct sg_audit_event e = {
		.ts_us = INT64_MAX,
		.actor = "CN=\"\n\x01\xff\xc0\xaf\xed\xa0\x80 \xe2\x82\xac",
		.type = "denied",
		.step = -1,
		.payload = "{}",
		.confidence = 0.5,
	};
	assert_int_equal(sg_txn_begin(l.store, true, &t, NULL), 0);
	assert_int_equal(sg_audit_put(l.audit, t, &e, NULL), 0);
	assert_int_equal(sg_audit_put_head(l.audit, t, NULL), 0);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	assert_int_equal(sg_audit_flush(l.audit, NULL), 0);
	size_t n;
	sg_autofree char *text = log_read(l.path, &n);
	char *second = strchr(text, '\n') + 1;
	json_t *j = NULL;
	assert_int_equal(sg_json_parse(second, strlen(second), &j, NULL), 0);
	assert_non_null(strstr(json_string_value(json_object_get(j, "actor")), "€"));
	assert_true(json_is_null(json_object_get(j, "run")));
	json_decref(j);
	log_close(&l);
}

static void a_payload_that_is_no_object_is_refused(void **state)
{
	struct log l;
	log_open(&l, *state);
	struct sg_txn *t;
	static const char *const wrong[] = {"", "[]", "{\n}", "1", "{"};
	assert_int_equal(sg_txn_begin(l.store, true, &t, NULL), 0);
	for (size_t i = 0; i < SG_ARRAY_LEN(wrong); i++) {
		struct sg_audit_event e = {.actor = "a", .type = "t", .payload = wrong[i]};
		assert_int_equal(sg_audit_put(l.audit, t, &e, NULL), -SG_EINVALID);
	}
	sg_txn_abort(t);
	log_close(&l);
}

static void the_chain_goes_on_after_a_restart(void **state)
{
	struct log l;
	for (int i = 0; i < 3; i++) {
		log_open(&l, *state);
		assert_int_equal(l.repaired, 0);
		log_add(&l, 10, true);
		log_close(&l);
	}
	struct sg_audit_report rep;
	log_open(&l, *state);
	assert_int_equal(sg_audit_verify_file(l.path, NULL, 0, &rep, NULL), 0);
	assert_int_equal(rep.lines, 31);
	log_close(&l);
}

static void a_rolled_back_batch_leaves_no_trace(void **state)
{
	struct log l;
	log_open(&l, *state);
	log_add(&l, 2, true);
	struct sg_txn *t;
	char payload[64];
	struct sg_audit_event e = log_event(7, payload);
	assert_int_equal(sg_txn_begin(l.store, true, &t, NULL), 0);
	assert_int_equal(sg_audit_put(l.audit, t, &e, NULL), 0);
	sg_txn_abort(t);
	sg_audit_rollback(l.audit);
	log_add(&l, 2, true);
	struct sg_audit_report rep;
	assert_int_equal(sg_audit_verify_file(l.path, NULL, 0, &rep, NULL), 0);
	assert_int_equal(rep.lines, 5);
	log_close(&l);
}

/* The file cut at every length, as after a crash between the two syncs: always completed. */
static void a_file_that_is_behind_is_completed(void **state)
{
	struct log l;
	log_open(&l, *state);
	log_add(&l, 3, true);
	size_t n;
	sg_autofree char *whole = log_read(l.path, &n);
	log_close(&l);
	sg_autofree char *store = tmp_path(*state, SG_STORE_FILE);
	size_t store_len;
	sg_autofree char *saved = log_read(store, &store_len);
	for (size_t cut = 0; cut < n; cut += 1 + (cut + 1 < n ? cut % 7 : 0)) {
		(void)snprintf(l.path, sizeof(l.path), "%s/audit.jsonl", (char *)*state);
		tmp_write(store, saved, store_len);
		tmp_write(l.path, whole, cut);
		log_open(&l, *state);
		assert_true(l.repaired >= 1 && l.repaired <= 4);
		size_t m;
		sg_autofree char *now = log_read(l.path, &m);
		assert_true(m > n);
		assert_memory_equal(now, whole, n);
		assert_non_null(strstr(now + n, "\"type\":\"audit_repaired\""));
		log_close(&l);
	}
}

static void refuses(void **state, const char *kind, const char *word)
{
	struct log l;
	assert_true(log_try_open(&l, *state) < 0);
	assert_string_equal(l.err.kind, kind);
	if (!strstr(l.err.text, word))
		fail_msg("no \"%s\" in: %s", word, l.err.text);
	log_close(&l);
}

static void a_changed_file_is_refused_and_the_line_named(void **state)
{
	struct log l;
	log_open(&l, *state);
	log_add(&l, 3, true);
	char path[256];
	memcpy(path, l.path, sizeof(path));
	log_close(&l);
	size_t n;
	sg_autofree char *text = log_read(path, &n);
	char *third = strstr(text, "{\"seq\":2");
	third[200] ^= 1;
	tmp_write(path, text, n);
	refuses(state, "audit-mismatch", "line 3 (sequence 2)");
	third[200] ^= 1;
	/* A torn line that is no prefix of the store's. */
	text[n - 10] ^= 1;
	tmp_write(path, text, n - 5);
	refuses(state, "audit-mismatch", "line 4 (sequence 3)");
	text[n - 10] ^= 1;
	/* One line more than the store knows. */
	sg_autofree char *longer = calloc(1, n + 3);
	memcpy(longer, text, n);
	memcpy(longer + n, "{}\n", 3);
	tmp_write(path, longer, n + 3);
	refuses(state, "audit-mismatch", "3 bytes after line 4");
	tmp_write(path, text, n);
	log_open(&l, *state);
	log_close(&l);
}

static int compare_rest(struct log *l, struct sg_error *err)
{
	int r;
	while ((r = sg_audit_compare_some(l->audit, err)) > 0)
		;
	return r;
}

/* Of a long log only the end is compared at the start, the rest afterwards. */
static void a_long_log_is_compared_while_it_is_used(void **state)
{
	enum { LINES = 20000 };
	struct log l;
	log_open(&l, *state);
	log_add(&l, LINES, true);
	char path[256];
	memcpy(path, l.path, sizeof(path));
	log_close(&l);
	size_t n;
	sg_autofree char *before = log_read(path, &n);
	assert_non_null(before);
	assert_true(n > SG_AUDIT_START_BYTES + (1U << 20));
	log_open(&l, *state);
	assert_false(sg_audit_compared(l.audit));
	log_add(&l, 3, true);
	assert_int_equal(compare_rest(&l, &l.err), 0);
	assert_true(sg_audit_compared(l.audit));
	log_close(&l);
	sg_autofree char *now = log_read(path, &n);
	strstr(now, "{\"seq\":2,")[200] ^= 1;
	tmp_write(path, now, n);
	log_open(&l, *state);
	struct sg_error err = {0};
	assert_int_equal(compare_rest(&l, &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "audit-mismatch");
	assert_non_null(strstr(err.text, "line 3 (sequence 2)"));
	log_close(&l);
	strstr(now, "{\"seq\":2,")[200] ^= 1;
	/* Behind by more than what is looked at: all of it is, and completed. */
	tmp_write(path, now, 1000);
	log_open(&l, *state);
	assert_true(sg_audit_compared(l.audit));
	log_close(&l);
	size_t completed;
	sg_autofree char *after = log_read(path, &completed);
	assert_true(completed > n);
	assert_memory_equal(after, now, n);
}

static void another_directorys_log_is_refused(void **state)
{
	sg_autofree char *path = tmp_path(*state, "audit.jsonl");
	tmp_write(path, "{}\n", 3);
	refuses(state, "audit-mismatch", "another state directory");
}

static void an_exposed_linked_or_special_file_is_refused(void **state)
{
	struct log l;
	log_open(&l, *state);
	log_close(&l);
	sg_autofree char *path = tmp_path(*state, "audit.jsonl");
	sg_autofree char *other = tmp_path(*state, "other");
	assert_int_equal(chmod(path, 0640), 0);
	refuses(state, "audit-file", "mode 0640");
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(link(path, other), 0);
	refuses(state, "audit-file", "2 hard links");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("other", path), 0);
	refuses(state, "audit-file", "symbolic link");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	refuses(state, "audit-file", "not a regular file");
	if (geteuid() != 0)
		return;
	assert_int_equal(unlink(path), 0);
	tmp_write(path, "", 0);
	assert_int_equal(chown(path, 12345, 12345), 0);
	refuses(state, "audit-file", "belongs to uid 12345");
}

static int try_batch(struct log *l)
{
	struct sg_txn *t;
	char payload[64];
	struct sg_audit_event e = log_event(1, payload);
	assert_int_equal(sg_txn_begin(l->store, true, &t, NULL), 0);
	assert_int_equal(sg_audit_put(l->audit, t, &e, NULL), 0);
	assert_int_equal(sg_audit_put_head(l->audit, t, NULL), 0);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	return sg_audit_flush(l->audit, &l->err);
}

static void a_file_replaced_linked_or_written_while_in_use_is_noticed(void **state)
{
	sg_autofree char *path = tmp_path(*state, "audit.jsonl");
	sg_autofree char *other = tmp_path(*state, "other");
	for (int how = 0; how < 4; how++) {
		struct log l;
		log_open(&l, *state);
		if (how == 0)
			assert_int_equal(rename(path, other), 0);
		else if (how == 1)
			assert_int_equal(link(path, other), 0);
		else if (how == 2)
			assert_int_equal(chmod(path, 0666), 0);
		else
			assert_int_equal(truncate(path, 10), 0);
		assert_int_equal(try_batch(&l), -SG_EREFUSED);
		assert_string_equal(l.err.kind, "audit-file");
		if (how == 0)
			assert_int_equal(rename(other, path), 0);
		else if (how == 1)
			assert_int_equal(unlink(other), 0);
		else if (how == 2)
			assert_int_equal(chmod(path, 0600), 0);
		log_close(&l);
		log_open(&l, *state); /* the store was ahead: repaired */
		assert_true(l.repaired >= 1);
		log_close(&l);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_new_log_begins_with_genesis),
		T(a_line_has_the_fixed_form),
		T(hostile_names_stay_one_valid_line),
		T(a_payload_that_is_no_object_is_refused),
		T(the_chain_goes_on_after_a_restart),
		T(a_rolled_back_batch_leaves_no_trace),
		T(a_file_that_is_behind_is_completed),
		T(a_changed_file_is_refused_and_the_line_named),
		T(a_long_log_is_compared_while_it_is_used),
		T(another_directorys_log_is_refused),
		T(an_exposed_linked_or_special_file_is_refused),
		T(a_file_replaced_linked_or_written_while_in_use_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
