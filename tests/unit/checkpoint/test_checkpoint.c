/* checkpoint: what is written is read back whatever its size and form; damage is never truth. */
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

#define RUN "run-0123456789abcdef0123456789ab"

static struct sg_store *open_at(const char *dir)
{
	struct sg_store *s = NULL;
	struct sg_error err = {0};
	if (sg_store_open(&s, dir, 1 << 28, true, false, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

/* A state of about n bytes that differs from step to step in two members. */
static char *make_state(size_t n, int64_t step)
{
	char *s = malloc(n + 128);
	assert_non_null(s);
	size_t at = (size_t)snprintf(s, n + 128, "{\"a\":%lld,\"text\":\"", (long long)step);
	uint32_t x = 12345;
	while (at < n) {
		x = x * 1664525U + 1013904223U;
		s[at++] = (char)('a' + (x >> 24) % 26);
	}
	(void)snprintf(s + at, 64, "\",\"z\":%lld}", (long long)step * step);
	return s;
}

static struct sg_checkpoint make(int64_t step, char *state)
{
	struct sg_checkpoint c = {
		.step = step,
		.parent_step_idx = step - 1,
		.state = state,
		.clips_facts = (char *)(uintptr_t) "[\"(f 1)\"]",
		.last_node = (char *)(uintptr_t) "node-a",
		.timestamp_us = 1764000000000000 + step,
	};
	(void)snprintf(c.run_id, sizeof(c.run_id), "%s", RUN);
	memset(c.graph_hash, 'a', 64);
	memset(c.runtime_hash, 'b', 64);
	memset(c.side_effects_hash, '0', 64);
	return c;
}

static void put_ok(struct sg_txn *t, const struct sg_checkpoint *c)
{
	struct sg_error err = {0};
	if (sg_checkpoint_put(t, NULL, c, &err) < 0)
		fail_msg("%s", err.text);
}

static struct sg_txn *begin(struct sg_store *s, bool write)
{
	struct sg_txn *t = NULL;
	assert_int_equal(sg_txn_begin(s, write, &t, NULL), 0);
	return t;
}

static void write_steps(struct sg_store *s, int64_t n, size_t bytes)
{
	for (int64_t i = 0; i < n; i++) {
		struct sg_txn *t = begin(s, true);
		sg_autofree char *state = make_state(bytes, i);
		struct sg_checkpoint c = make(i, state);
		put_ok(t, &c);
		assert_int_equal(sg_txn_commit(t, NULL), 0);
	}
}

static void check_step(struct sg_txn *t, int64_t step, size_t bytes)
{
	struct sg_checkpoint c = {0};
	struct sg_error err = {0};
	sg_autofree char *want = make_state(bytes, step);
	if (sg_checkpoint_get(t, RUN, step, &c, &err) != 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.state, want);
	assert_string_equal(c.clips_facts, "[\"(f 1)\"]");
	assert_string_equal(c.last_node, "node-a");
	assert_null(c.next_action);
	assert_null(c.branch_id);
	assert_int_equal(c.timestamp_us, 1764000000000000 + step);
	sg_checkpoint_finish(&c);
}

static void every_size_is_read_back(void **state)
{
	static const size_t sizes[] = {40, 300, 600, 8192, 59000, 70000, 2000000};
	for (size_t i = 0; i < SG_ARRAY_LEN(sizes); i++) {
		struct sg_store *s = open_at(*state);
		write_steps(s, 5, sizes[i]);
		struct sg_txn *t = begin(s, false);
		for (int64_t step = 0; step < 5; step++)
			check_step(t, step, sizes[i]);
		sg_txn_abort(t);
		sg_store_close(s);
		sg_autofree char *file = tmp_path(*state, SG_STORE_FILE);
		assert_int_equal(unlink(file), 0);
	}
}

static uint64_t stored_bytes(struct sg_txn *t, uint64_t seq)
{
	uint8_t key[8];
	struct sg_span v;
	sg_be64(seq, key);
	assert_int_equal(sg_txn_get(t, SG_TABLE_STEP, SG_SPAN(key, 8), &v, NULL), 0);
	return v.len;
}

static void a_large_state_that_hardly_changes_is_stored_small(void **state)
{
	struct sg_store *s = open_at(*state);
	write_steps(s, 20, 8192);
	struct sg_txn *t = begin(s, false);
	for (uint64_t i = 1; i < 20; i++)
		assert_true(stored_bytes(t, i) < 400);
	sg_txn_abort(t);
	sg_store_close(s);
}

/* A run's texts of changing sizes, so that key steps, deltas and plain records follow each other.
 */
static void put_mixed(struct sg_txn *t, struct sg_checkpoint_cache *cache, const char *run_id,
	int64_t step, struct sg_error *err)
{
	static const size_t sizes[] = {8192, 8192, 8300, 40, 600, 59000, 59100, 70000, 70010, 900};
	size_t n = sizes[(size_t)step % SG_ARRAY_LEN(sizes)];
	sg_autofree char *state = make_state(n, step % 3 == 2 ? 1000 + step : step);
	struct sg_checkpoint c = make(step, state);
	(void)snprintf(c.run_id, sizeof(c.run_id), "%s", run_id);
	if (sg_checkpoint_put(t, cache, &c, err) < 0)
		fail_msg("%s", err->text);
}

/* With a cache, without, and with one that is cleared now and then: the same bytes. */
static void a_cache_changes_no_byte(void **state)
{
	enum { RUNS = 40, STEPS = 12 };
	struct sg_checkpoint_cache *cache = sg_checkpoint_cache_create();
	char *dirs[3];
	struct sg_store *s[3];
	struct sg_txn *t[3];
	struct sg_error err = {0};
	assert_non_null(cache);
	for (int k = 0; k < 3; k++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "s%d", k);
		dirs[k] = tmp_path(*state, name);
		assert_int_equal(mkdir(dirs[k], 0700), 0);
		s[k] = open_at(dirs[k]);
		t[k] = begin(s[k], true);
		for (int64_t i = 0; i < RUNS * STEPS; i++) {
			char run_id[SG_RUN_ID_TEXT];
			(void)snprintf(run_id, sizeof(run_id), "run-%d", (int)(i % RUNS));
			if (k == 2 && i % 7 == 0)
				sg_checkpoint_cache_clear(cache);
			put_mixed(t[k], k ? cache : NULL, run_id, i / RUNS, &err);
		}
		sg_checkpoint_cache_clear(cache);
	}
	for (uint64_t seq = 0; seq < RUNS * STEPS; seq++) {
		uint8_t key[8];
		struct sg_span v[3];
		sg_be64(seq, key);
		for (int k = 0; k < 3; k++)
			assert_int_equal(
				sg_txn_get(t[k], SG_TABLE_STEP, SG_SPAN(key, 8), &v[k], NULL), 0);
		for (int k = 1; k < 3; k++) {
			assert_int_equal(v[0].len, v[k].len);
			assert_memory_equal(v[0].data, v[k].data, v[0].len);
		}
	}
	for (int k = 0; k < 3; k++) {
		sg_txn_abort(t[k]);
		sg_store_close(s[k]);
		free(dirs[k]);
	}
	sg_checkpoint_cache_destroy(cache);
}

static void the_latest_is_the_last_step_of_the_main_branch(void **state)
{
	struct sg_store *s = open_at(*state);
	struct sg_checkpoint c = {0};
	struct sg_txn *t = begin(s, false);
	assert_int_equal(sg_checkpoint_get(t, RUN, -1, &c, NULL), 1);
	sg_txn_abort(t);
	write_steps(s, 3, 100);
	t = begin(s, true);
	sg_autofree char *text = make_state(50, 3);
	struct sg_checkpoint b = make(3, text);
	b.branch_id = (char *)(uintptr_t) "left";
	put_ok(t, &b);
	/* A neighbour in the index whose id continues ours. */
	struct sg_checkpoint other = make(0, text);
	(void)snprintf(other.run_id, sizeof(other.run_id), "%sc", RUN);
	put_ok(t, &other);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	t = begin(s, false);
	assert_int_equal(sg_checkpoint_get(t, RUN, -1, &c, NULL), 0);
	assert_int_equal(c.step, 2);
	sg_checkpoint_finish(&c);
	assert_int_equal(sg_checkpoint_get(t, RUN, 3, &c, NULL), 1);
	assert_int_equal(sg_checkpoint_get(t, "run-zz", -1, &c, NULL), 1);
	assert_int_equal(sg_checkpoint_get(t, "", -1, &c, NULL), 1);
	sg_txn_abort(t);
	sg_store_close(s);
}

static int count_steps(void *ctx, const struct sg_checkpoint *c)
{
	int64_t *next = ctx;
	assert_int_equal(c->step, *next);
	(*next)++;
	return *next == 7;
}

static void each_walks_in_order_and_stops_when_told(void **state)
{
	struct sg_store *s = open_at(*state);
	write_steps(s, 10, 1000);
	struct sg_txn *t = begin(s, false);
	int64_t next = 0;
	assert_int_equal(sg_checkpoint_each(t, RUN, count_steps, &next, NULL), 0);
	assert_int_equal(next, 7);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void a_step_is_written_once(void **state)
{
	struct sg_store *s = open_at(*state);
	write_steps(s, 1, 100);
	struct sg_txn *t = begin(s, true);
	sg_autofree char *text = make_state(50, 0);
	struct sg_checkpoint c = make(0, text);
	assert_int_equal(sg_checkpoint_put(t, NULL, &c, NULL), -SG_ECONFLICT);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void impossible_fields_are_errors(void **state)
{
	struct sg_store *s = open_at(*state);
	struct sg_txn *t = begin(s, true);
	sg_autofree char *text = make_state(50, 0);
	struct sg_checkpoint c = make(0, text);
	c.step = -1;
	assert_int_equal(sg_checkpoint_put(t, NULL, &c, NULL), -SG_EINVALID);
	c = make(0, text);
	c.run_id[0] = '\0';
	assert_int_equal(sg_checkpoint_put(t, NULL, &c, NULL), -SG_EINVALID);
	c = make(0, text);
	c.graph_hash[5] = 'x';
	assert_int_equal(sg_checkpoint_put(t, NULL, &c, NULL), -SG_EINVALID);
	sg_txn_abort(t);
	sg_store_close(s);
}

/* Every bit of a stored record matters, that of a key step also for the deltas on it. */
static void a_flipped_bit_is_reported_with_run_and_step(void **state)
{
	struct sg_store *s = open_at(*state);
	write_steps(s, 2, 2000);
	for (uint64_t seq = 0; seq < 2; seq++) {
		struct sg_txn *t = begin(s, true);
		uint8_t key[8];
		struct sg_span v;
		sg_be64(seq, key);
		assert_int_equal(sg_txn_get(t, SG_TABLE_STEP, SG_SPAN(key, 8), &v, NULL), 0);
		size_t n = v.len;
		sg_autofree uint8_t *copy = malloc(n);
		memcpy(copy, v.data, n);
		for (size_t bit = 0; bit < 8 * n; bit += 3) {
			copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
			assert_int_equal(sg_txn_put(t, SG_TABLE_STEP, SG_SPAN(key, 8),
						 SG_SPAN(copy, n), false, NULL),
				0);
			struct sg_checkpoint c = {0};
			struct sg_error err = {0};
			assert_int_equal(sg_checkpoint_get(t, RUN, 1, &c, &err), -SG_ECORRUPT);
			assert_non_null(strstr(err.text, RUN " step 1"));
			copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
		sg_txn_abort(t);
	}
	sg_store_close(s);
}

static void a_record_under_another_key_is_found(void **state)
{
	struct sg_store *s = open_at(*state);
	write_steps(s, 2, 100);
	struct sg_txn *t = begin(s, true);
	uint8_t zero[8] = {0}, one[8] = {0, 0, 0, 0, 0, 0, 0, 1};
	struct sg_span v;
	assert_int_equal(sg_txn_get(t, SG_TABLE_STEP, SG_SPAN(zero, 8), &v, NULL), 0);
	sg_autofree char *copy = malloc(v.len);
	memcpy(copy, v.data, v.len);
	assert_int_equal(
		sg_txn_put(t, SG_TABLE_STEP, SG_SPAN(one, 8), SG_SPAN(copy, v.len), false, NULL),
		0);
	struct sg_checkpoint c = {0};
	assert_int_equal(sg_checkpoint_get(t, RUN, 1, &c, NULL), -SG_ECORRUPT);
	sg_txn_abort(t);
	sg_store_close(s);
}

static void the_json_has_the_originals_fields(void **state)
{
	(void)state;
	struct sg_checkpoint c = make(4, (char *)(uintptr_t) "{\"x\":1}");
	json_t *j = sg_checkpoint_json(&c);
	assert_non_null(j);
	assert_int_equal(json_object_size(j), 13);
	assert_int_equal(json_integer_value(json_object_get(j, "parent_step_idx")), 3);
	assert_true(json_is_null(json_object_get(j, "branch_id")));
	assert_true(json_is_null(json_object_get(j, "next_action")));
	assert_string_equal(
		json_string_value(json_object_get(j, "timestamp")), "2025-11-24T16:00:00.000004Z");
	json_decref(j);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_size_is_read_back),
		T(a_large_state_that_hardly_changes_is_stored_small),
		T(a_cache_changes_no_byte),
		T(the_latest_is_the_last_step_of_the_main_branch),
		T(each_walks_in_order_and_stops_when_told),
		T(a_step_is_written_once),
		T(impossible_fields_are_errors),
		T(a_flipped_bit_is_reported_with_run_and_step),
		T(a_record_under_another_key_is_found),
		T(the_json_has_the_originals_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
