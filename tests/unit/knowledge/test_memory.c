/* knowledge: episodes by scope, salience, facts by deltas. */
#include "know.h"

#include <math.h>

#include "knowledge/fact.h"
#include "knowledge/memory.h"

static void remember(struct sg_store *s, const char *id, const char *user, const char *session,
	const char *agent, int64_t ts)
{
	struct sg_txn *t = begin(s, true);
	struct sg_error err = {0};
	struct sg_know_scope scope = {user, session, agent};
	struct sg_know_episode e = {
		.id = id, .content = id, .timestamp_us = ts, .source_node = "n"};
	if (sg_know_remember(t, "mem", &scope, &e, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
}

static void expect(struct sg_store *s, const char *user, const char *session, const char *agent,
	size_t limit, const char *want)
{
	struct sg_txn *t = begin(s, false);
	struct sg_know_scope scope = {user, session, agent};
	json_auto_t *list = NULL;
	char got[256] = "";
	struct sg_error err = {0};
	if (sg_know_recent(t, "mem", &scope, limit, &list, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < json_array_size(list); i++)
		(void)snprintf(
			got + strlen(got), sizeof(got) - strlen(got), "%s ", hit_id(list, i));
	assert_string_equal(got, want);
	sg_txn_abort(t);
}

static void reads_widen_and_prefixes_do_not_collide(void **state)
{
	struct sg_store *s = open_store(*state);
	create(s, "mem", SG_KNOW_MEMORY, SG_KNOW_COSINE);
	remember(s, "e1", "Alice", "S1", "rag", 1000);
	remember(s, "e2", "Alice", "S2", "rag", 3000);
	remember(s, "e3", "Alice", "S1", "chat", 2000);
	remember(s, "e4", "Alice2", "S1", "rag", 4000);
	remember(s, "e5", "Alice", "S1", "rag2", 5000);
	expect(s, "Alice", NULL, NULL, 10, "e5 e2 e3 e1 ");
	expect(s, "Alice", "S1", NULL, 10, "e5 e3 e1 ");
	expect(s, "Alice", "S1", "rag", 10, "e1 ");
	expect(s, "Alice", NULL, "rag", 10, "e2 e1 ");
	expect(s, "Alice", NULL, NULL, 2, "e5 e2 ");
	expect(s, "Ali", NULL, NULL, 10, "");
	remember(s, "e1", "Alice", "S9", "rag", 9000); /* moves: an id is there once */
	expect(s, "Alice", NULL, NULL, 10, "e1 e5 e2 e3 ");
	struct sg_txn *t = begin(s, true);
	assert_int_equal(sg_know_forget(t, "mem", "e5", NULL), 0);
	assert_int_equal(sg_know_forget(t, "mem", "e5", NULL), 1);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	expect(s, "Alice", NULL, NULL, 10, "e1 e2 e3 ");
	sg_store_close(s);
}

static void scopes_that_could_be_confused_are_refused(void **state)
{
	static const char *const wrong[] = {"", "a/b", "a\nb", "\xff", NULL};
	char key[SG_KNOW_SCOPE_TEXT];
	struct sg_error err = {0};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(wrong); i++) {
		struct sg_know_scope s = {wrong[i], "s", "a"};
		assert_int_equal(sg_know_scope_key(&s, key, &err), -SG_EINVALID);
		assert_string_equal(err.kind, "MemoryScopeError");
	}
	struct sg_know_scope good = {"Alice", "S1", "rag"};
	assert_int_equal(sg_know_scope_key(&good, key, NULL), 0);
	assert_string_equal(key, "/user/Alice/session/S1/agent/rag/");
}

static void salience_is_the_original_formula(void **state)
{
	struct sg_store *s = open_store(*state);
	const char *ids[] = {"e1", "gone"};
	struct sg_know_scope scope = {"u", NULL, NULL};
	int64_t now = 10LL * 86400 * 1000000;
	json_auto_t *list = NULL, *sorted = NULL;
	create(s, "mem", SG_KNOW_MEMORY, SG_KNOW_COSINE);
	remember(s, "e1", "u", "s", "a", 1000);
	remember(s, "e2", "u", "s", "a", 2000);
	struct sg_txn *t = begin(s, true);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			sg_know_touch(t, "mem", ids, 2, true, i < 3, now - 86400000000LL, NULL), 0);
	assert_int_equal(sg_know_recent(t, "mem", &scope, 10, &list, NULL), 0);
	assert_int_equal(sg_know_by_salience(list, now, 0, &sorted, NULL), 0);
	assert_string_equal(hit_id(sorted, 0), "e1");
	double want = exp(-1.0) * tanh(4 / 10.0) * tanh(3 / 5.0);
	double got = json_real_value(json_object_get(json_array_get(sorted, 0), "salience"));
	assert_true(fabs(got - want) < 1e-12);
	assert_true(json_real_value(json_object_get(json_array_get(sorted, 1), "salience")) == 0);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	sg_store_close(s);
}

static void what_no_rule_matched_comes_oldest_first(void **state)
{
	struct sg_store *s = open_store(*state);
	struct sg_know_scope scope = {"u", NULL, NULL};
	const char *first[] = {"e1"};
	json_auto_t *before = NULL, *after = NULL, *other = NULL;
	create(s, "mem", SG_KNOW_MEMORY, SG_KNOW_COSINE);
	remember(s, "e3", "u", "a", "a", 3000);
	remember(s, "e1", "u", "z", "a", 1000);
	remember(s, "e2", "u", "s", "a", 2000);
	struct sg_txn *t = begin(s, true);
	assert_int_equal(sg_know_unmatched(t, "mem", &scope, 1, &before, NULL), 0);
	assert_int_equal(json_array_size(before), 1); /* though two came before it in the store */
	assert_string_equal(hit_id(before, 0), "e1");
	assert_int_equal(sg_know_touch(t, "mem", first, 1, true, true, 9000, NULL), 0);
	assert_int_equal(sg_know_unmatched(t, "mem", &scope, 10, &after, NULL), 0);
	assert_int_equal(json_array_size(after), 2);
	assert_string_equal(hit_id(after, 0), "e2");
	assert_string_equal(hit_id(after, 1), "e3");
	/* And the one that was matched is the most salient, though the oldest. */
	json_auto_t *all = NULL;
	assert_int_equal(sg_know_recent(t, "mem", &scope, 10, &all, NULL), 0);
	assert_int_equal(sg_know_by_salience(all, 9000, 0, &other, NULL), 0);
	assert_string_equal(hit_id(other, 0), "e1");
	sg_txn_abort(t);
	sg_store_close(s);
}

/* ---- facts ---- */

static int apply(struct sg_store *s, const char *delta, struct sg_error *err)
{
	json_auto_t *d = NULL;
	struct sg_txn *t = begin(s, true);
	if (sg_json_parse(delta, strlen(delta), &d, err) < 0)
		fail_msg("%s", err->text);
	int r = sg_know_apply_delta(t, "facts", d, err);
	if (r < 0)
		sg_txn_abort(t);
	else
		assert_int_equal(sg_txn_commit(t, NULL), 0);
	return r;
}

#define WHERE \
	"\"rule_id\":\"r\",\"source_episode_ids\":[\"e\"]," \
	"\"promotion_ts\":\"2026-11-24T00:00:00Z\",\"confidence\":0.5"

static size_t facts(struct sg_store *s, const char *pattern)
{
	struct sg_txn *t = begin(s, false);
	json_auto_t *p = NULL, *list = NULL;
	assert_int_equal(sg_json_parse(pattern, strlen(pattern), &p, NULL), 0);
	assert_int_equal(sg_know_facts(t, "facts", p, 100, &list, NULL), 0);
	sg_txn_abort(t);
	return json_array_size(list);
}

static void deltas_add_update_and_delete(void **state)
{
	struct sg_store *s = open_store(*state);
	struct sg_error err = {0};
	create(s, "facts", SG_KNOW_FACT, SG_KNOW_COSINE);
	assert_int_equal(apply(s,
				 "{\"kind\":\"add\",\"fact_payload\":{\"id\":\"f1\",\"user\":\"u\","
				 "\"subject\":\"sky\",\"object\":\"blue\"}," WHERE "}",
				 &err),
		0);
	assert_int_equal(facts(s, "{\"subject\":\"sky\"}"), 1);
	assert_int_equal(facts(s, "{\"subject\":\"sky\",\"user\":\"v\"}"), 0);
	assert_int_equal(
		apply(s, "{\"kind\":\"add\",\"fact_payload\":{\"id\":\"f1\"}," WHERE "}", &err),
		-SG_ECONFLICT);
	assert_string_equal(err.kind, "FactConflictError");
	assert_int_equal(
		apply(s,
			"{\"kind\":\"update\",\"replaces\":[\"f1\"],\"fact_payload\":{"
			"\"id\":\"f2\",\"subject\":\"sky\",\"object\":\"grey\"}," WHERE "}",
			&err),
		0);
	assert_int_equal(facts(s, "{\"object\":\"blue\"}"), 0);
	assert_int_equal(facts(s, "{\"object\":\"grey\"}"), 1);
	assert_int_equal(apply(s, "{\"kind\":\"noop\"," WHERE "}", &err), 0);
	assert_int_equal(
		apply(s, "{\"kind\":\"delete\",\"replaces\":[\"f2\",\"f1\"]," WHERE "}", &err),
		-SG_ECONFLICT);
	assert_int_equal(facts(s, "{}"), 1); /* nothing of it happened */
	assert_int_equal(
		apply(s, "{\"kind\":\"delete\",\"replaces\":[\"f2\"]," WHERE "}", &err), 0);
	assert_int_equal(facts(s, "{}"), 0);
	struct sg_txn *t = begin(s, false);
	uint64_t n;
	assert_int_equal(sg_txn_count(t, SG_TABLE_KNOW_DELTA, &n, NULL), 0);
	assert_int_equal(n, 4); /* noop too */
	sg_txn_abort(t);
	sg_store_close(s);
}

static void deltas_without_their_mandatory_fields_are_refused(void **state)
{
	static const char *const wrong[] = {
		"{\"kind\":\"merge\"," WHERE "}",
		"{\"kind\":\"add\"," WHERE "}",
		"{\"kind\":\"update\",\"fact_payload\":{}," WHERE "}",
		"{\"kind\":\"delete\",\"replaces\":[]," WHERE "}",
		"{\"kind\":\"delete\",\"replaces\":[7]," WHERE "}",
		"{\"kind\":\"noop\",\"replaces\":[\"f\"]," WHERE "}",
		"{\"kind\":\"noop\",\"rule_id\":\"\",\"source_episode_ids\":[\"e\"],"
		"\"promotion_ts\":\"2026-11-24T00:00:00Z\",\"confidence\":1}",
		"{\"kind\":\"noop\",\"rule_id\":\"r\",\"source_episode_ids\":[],"
		"\"promotion_ts\":\"2026-11-24T00:00:00Z\",\"confidence\":1}",
		"{\"kind\":\"noop\",\"rule_id\":\"r\",\"source_episode_ids\":[\"e\"],"
		"\"promotion_ts\":\"yesterday\",\"confidence\":1}",
		"{\"kind\":\"noop\",\"rule_id\":\"r\",\"source_episode_ids\":[\"e\"],"
		"\"promotion_ts\":\"2026-11-24T00:00:00Z\",\"confidence\":\"high\"}",
	};
	struct sg_store *s = open_store(*state);
	create(s, "facts", SG_KNOW_FACT, SG_KNOW_COSINE);
	for (size_t i = 0; i < SG_ARRAY_LEN(wrong); i++) {
		struct sg_error err = {0};
		assert_int_equal(apply(s, wrong[i], &err), -SG_EINVALID);
		assert_string_equal(err.kind, "ConsolidationRuleError");
	}
	sg_store_close(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reads_widen_and_prefixes_do_not_collide),
		T(scopes_that_could_be_confused_are_refused),
		T(salience_is_the_original_formula),
		T(what_no_rule_matched_comes_oldest_first),
		T(deltas_add_update_and_delete),
		T(deltas_without_their_mandatory_fields_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
