/* run rows: written often, params once, listed newest first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "checkpoint/checkpoint.h"
#include "../tmpdir.h"

static struct sg_store *open_at(const char *dir)
{
	struct sg_store *s = NULL;
	struct sg_error err = {0};
	if (sg_store_open(&s, dir, 1 << 26, true, false, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static char *lit(const char *s)
{
	return (char *)(uintptr_t)s;
}

static struct sg_run_row make(int i)
{
	struct sg_run_row r = {
		.graph_id = lit(i % 2 ? "graph:odd" : "graph:even"),
		.status = i % 3 ? SG_RUN_DONE : SG_RUN_WAITING,
		.started_us = 1000000 + i,
		.updated_us = 2000000 + i,
		.steps = i,
		.actor = lit("CN=ana"),
		.trigger_source = lit("http"),
		.params = lit("{\"text\":\"x\"}"),
	};
	(void)snprintf(r.run_id, sizeof(r.run_id), "run-%04d", i);
	memset(r.graph_hash, 'c', 64);
	return r;
}

static void fill(struct sg_store *s, int n)
{
	struct sg_txn *t;
	struct sg_error err = {0};
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	for (int i = 0; i < n; i++) {
		struct sg_run_row r = make(i);
		if (sg_run_put(t, &r, &err) < 0)
			fail_msg("%s", err.text);
	}
	assert_int_equal(sg_txn_commit(t, NULL), 0);
}

static void a_row_is_read_back_and_keeps_its_params(void **state)
{
	struct sg_store *s = open_at(*state);
	fill(s, 3);
	struct sg_txn *t;
	struct sg_run_row r = {0};
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	struct sg_run_row changed = make(1);
	changed.status = SG_RUN_FAILED;
	changed.error_class = lit("rule-explosion");
	changed.params = NULL;
	assert_int_equal(sg_run_put(t, &changed, NULL), 0);
	assert_int_equal(sg_run_get(t, "run-0001", &r, NULL), 0);
	assert_int_equal(r.status, SG_RUN_FAILED);
	assert_string_equal(r.error_class, "rule-explosion");
	assert_string_equal(r.params, "{\"text\":\"x\"}");
	assert_null(r.reason);
	sg_run_row_finish(&r);
	assert_int_equal(sg_run_get(t, "run-9999", &r, NULL), 1);
	assert_int_equal(sg_run_get(t, "", &r, NULL), 1);
	uint64_t n;
	assert_int_equal(sg_txn_count(t, SG_TABLE_RUN_BY_TIME, &n, NULL), 0);
	assert_int_equal(n, 3);
	sg_txn_abort(t);
	sg_store_close(s);
}

struct expect {
	struct sg_run_filter f;
	size_t n;
	uint64_t total;
	const char *first, *last;
};

static void check_list(struct sg_txn *t, const struct expect *e)
{
	struct sg_run_row *rows = NULL;
	size_t n = 0;
	uint64_t total = 0;
	struct sg_error err = {0};
	if (sg_run_list(t, &e->f, &rows, &n, &total, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(n, e->n);
	assert_int_equal(total, e->total);
	if (n) {
		assert_string_equal(rows[0].run_id, e->first);
		assert_string_equal(rows[n - 1].run_id, e->last);
		assert_non_null(rows[0].params);
	}
	for (size_t i = 0; i < n; i++)
		sg_run_row_finish(&rows[i]);
	free(rows);
}

static void lists_are_newest_first_and_filtered(void **state)
{
	struct sg_store *s = open_at(*state);
	fill(s, 100);
	static const struct expect cases[] = {
		{{.status = -1, .limit = 10}, 10, 100, "run-0099", "run-0090"},
		{{.status = -1, .limit = 10, .offset = 95}, 5, 100, "run-0004", "run-0000"},
		{{.status = -1, .limit = 10, .offset = 500}, 0, 100, NULL, NULL},
		{{.status = SG_RUN_WAITING, .limit = 3}, 3, 34, "run-0099", "run-0093"},
		{{.status = SG_RUN_PAUSED, .limit = 3}, 0, 0, NULL, NULL},
		{{.status = -1, .graph_id = "graph:even", .limit = 2}, 2, 50, "run-0098",
			"run-0096"},
		{{.status = -1, .actor = "CN=bob", .limit = 2}, 0, 0, NULL, NULL},
		{{.status = -1, .trigger_source = "http", .limit = 1}, 1, 100, "run-0099",
			"run-0099"},
		{{.status = -1, .since_us = 1000090, .limit = 50}, 10, 10, "run-0099", "run-0090"},
		{{.status = -1, .until_us = 1000004, .limit = 50}, 5, 5, "run-0004", "run-0000"},
		{{.status = -1, .before = "run-0050", .limit = 2}, 2, 50, "run-0049", "run-0048"},
		{{.status = -1, .before = "run-0050", .until_us = 1000010, .limit = 1}, 1, 11,
			"run-0010", "run-0010"},
	};
	struct sg_txn *t;
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	for (size_t i = 0; i < SG_ARRAY_LEN(cases); i++)
		check_list(t, &cases[i]);
	struct sg_run_filter f = {.status = -1, .before = "nobody", .limit = 1};
	struct sg_run_row *rows;
	size_t n;
	uint64_t total;
	assert_int_equal(sg_run_list(t, &f, &rows, &n, &total, NULL), -SG_EINVALID);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void an_empty_store_lists_nothing(void **state)
{
	struct sg_store *s = open_at(*state);
	struct sg_txn *t;
	assert_int_equal(sg_txn_begin(s, false, &t, NULL), 0);
	check_list(t, &(struct expect){{.status = -1, .limit = 10}, 0, 0, NULL, NULL});
	sg_txn_abort(t);
	sg_store_close(s);
}

static void a_damaged_row_is_an_error(void **state)
{
	struct sg_store *s = open_at(*state);
	fill(s, 1);
	struct sg_txn *t;
	struct sg_span v, key = SG_KEY_TEXT("run-0000");
	struct sg_error err = {0};
	assert_int_equal(sg_txn_begin(s, true, &t, NULL), 0);
	assert_int_equal(sg_txn_get(t, SG_TABLE_RUN, key, &v, NULL), 0);
	size_t n = v.len;
	sg_autofree uint8_t *copy = malloc(n);
	memcpy(copy, v.data, n);
	for (size_t i = 0; i < n; i++) {
		struct sg_run_row r = {0};
		copy[i] ^= 0x40;
		assert_int_equal(
			sg_txn_put(t, SG_TABLE_RUN, key, SG_SPAN(copy, n), false, NULL), 0);
		assert_int_equal(sg_run_get(t, "run-0000", &r, &err), -SG_ECORRUPT);
		assert_non_null(strstr(err.text, "run-0000"));
		copy[i] ^= 0x40;
	}
	sg_txn_abort(t);
	sg_store_close(s);
}

static void status_names_go_both_ways(void **state)
{
	(void)state;
	for (int i = SG_RUN_PENDING; i <= SG_RUN_CANCELLED; i++) {
		enum sg_run_status s;
		assert_int_equal(
			sg_run_status_parse(sg_run_status_name((enum sg_run_status)i), &s), 0);
		assert_int_equal(s, i);
	}
	enum sg_run_status s = SG_RUN_DONE;
	assert_true(sg_run_status_parse("done ", &s) < 0);
	assert_string_equal(sg_run_status_name(SG_RUN_WAITING), "awaiting-input");
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_row_is_read_back_and_keeps_its_params),
		T(lists_are_newest_first_and_filtered),
		T(an_empty_store_lists_nothing),
		T(a_damaged_row_is_an_error),
		T(status_names_go_both_ways),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
