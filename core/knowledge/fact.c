/* Facts and the deltas that change them. */
#include "knowledge/fact.h"

#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "knowledge/internal.h"
#include "knowledge/record.h"

#define FACT_ID_MAX 128
#define LIST_MAX 1000 /* ids that a delta names */

static int violation(const json_t *delta, const char *what, struct sg_error *err)
{
	const char *kind = json_string_value(json_object_get(delta, "kind"));
	const char *rule = json_string_value(json_object_get(delta, "rule_id"));
	return sg_error_set(err, SG_EINVALID, "ConsolidationRuleError",
		"delta of kind \"%.16s\", rule \"%.64s\": %s", kind ? kind : "", rule ? rule : "",
		what);
}

static bool ids_hold(const json_t *list)
{
	size_t i;
	const json_t *v;
	json_array_foreach (list, i, v)
		if (!json_is_string(v) || !json_string_length(v) ||
			json_string_length(v) > FACT_ID_MAX)
			return false;
	return json_array_size(list) > 0 && json_array_size(list) <= LIST_MAX;
}

static bool only_known(const json_t *delta, bool payload, bool replaces)
{
	const char *key;
	const json_t *v;
	json_object_foreach ((json_t *)delta, key, v) {
		bool known = !strcmp(key, "kind") || !strcmp(key, "rule_id") ||
			     !strcmp(key, "source_episode_ids") || !strcmp(key, "promotion_ts") ||
			     !strcmp(key, "confidence") ||
			     (payload && !strcmp(key, "fact_payload")) ||
			     (replaces && !strcmp(key, "replaces"));
		if (!known)
			return false;
	}
	return true;
}

int sg_know_check_delta(const json_t *delta, struct sg_error *err)
{
	const char *kind = json_string_value(json_object_get(delta, "kind"));
	const json_t *ts = json_object_get(delta, "promotion_ts");
	const json_t *confidence = json_object_get(delta, "confidence");
	const json_t *payload = json_object_get(delta, "fact_payload");
	int64_t us;
	if (!kind || (strcmp(kind, "add") && strcmp(kind, "update") && strcmp(kind, "delete") &&
			     strcmp(kind, "noop")))
		return violation(delta, "kind is add, update, delete or noop", err);
	bool has_payload = kind[0] == 'a' || kind[0] == 'u';
	bool has_replaces = kind[0] == 'u' || kind[0] == 'd';
	if (!json_string_length(json_object_get(delta, "rule_id")))
		return violation(delta, "rule_id must be a non-empty string", err);
	if (!ids_hold(json_object_get(delta, "source_episode_ids")))
		return violation(delta, "source_episode_ids must be a non-empty list of ids", err);
	if (!json_is_string(ts) ||
		sg_time_parse(json_string_value(ts), json_string_length(ts), &us) < 0)
		return violation(delta, "promotion_ts must be a time", err);
	if (!json_is_number(confidence) || !isfinite(json_number_value(confidence)))
		return violation(delta, "confidence must be a finite number", err);
	if (has_payload && !json_is_object(payload))
		return violation(delta, "fact_payload must be an object", err);
	if (has_replaces && !ids_hold(json_object_get(delta, "replaces")))
		return violation(delta, "replaces must be a non-empty list of ids", err);
	if (!only_known(delta, has_payload, has_replaces))
		return violation(delta, "it has a member that its kind does not know", err);
	return 0;
}

static struct sg_span fact_key(
	const struct sg_know_info *s, const char *id, uint8_t room[4 + FACT_ID_MAX])
{
	size_t n = strlen(id);
	sg_know_key(s, 0, room);
	memcpy(room + 4, id, n);
	return SG_SPAN(room, 4 + n);
}

static int unpin_all(
	struct sg_txn *t, struct sg_know_info *s, const json_t *replaces, struct sg_error *err)
{
	uint8_t key[4 + FACT_ID_MAX];
	size_t i;
	const json_t *v;
	json_array_foreach (replaces, i, v) {
		const char *id = json_string_value(v);
		int r = sg_txn_del(t, SG_TABLE_KNOW_FACT, fact_key(s, id, key), err);
		if (r > 0)
			return sg_error_set(err, SG_ECONFLICT, "FactConflictError",
				"store \"%s\": replaces names \"%s\", which is no fact of it",
				s->name, id);
		if (r < 0)
			return r;
		s->items--;
	}
	return 0;
}

/* Without an id of its own: the hash of what it says and where it comes from. */
static int fact_id(const json_t *delta, char ret[FACT_ID_MAX + 1], struct sg_error *err)
{
	const json_t *payload = json_object_get(delta, "fact_payload");
	const json_t *id = json_object_get(payload, "id");
	if (json_string_length(id) > 0 && json_string_length(id) <= FACT_ID_MAX) {
		memcpy(ret, json_string_value(id), json_string_length(id) + 1);
		return 0;
	}
	if (id)
		return violation(delta, "fact_payload.id must be a string of 1 to 128 bytes", err);
	json_auto_t *both =
		json_pack("[O, O]", payload, json_object_get(delta, "source_episode_ids"));
	char hash[SG_SHA256_HEX];
	int r = both ? sg_json_hash(both, hash, err) : sg_error_nomem(err);
	if (r == 0)
		(void)snprintf(ret, FACT_ID_MAX + 1, "fact-%.32s", hash);
	return r;
}

static int pin(struct sg_txn *t, struct sg_know_info *s, const json_t *delta, struct sg_error *err)
{
	char id[FACT_ID_MAX + 1];
	uint8_t key[4 + FACT_ID_MAX];
	struct sg_span old;
	json_t *payload = json_object_get(delta, "fact_payload");
	int r = fact_id(delta, id, err);
	if (r < 0)
		return r;
	r = sg_txn_get(t, SG_TABLE_KNOW_FACT, fact_key(s, id, key), &old, err);
	if (r == 0)
		return sg_error_set(err, SG_ECONFLICT, "FactConflictError",
			"store \"%s\" has a fact \"%s\" already; update it", s->name, id);
	if (r < 0)
		return r;
	json_auto_t *fact = json_pack("{s:s, s:s, s:s, s:O, s:[{s:O, s:O, s:O}], s:O, s:O}", "id",
		id, "user", sg_json_text_or_empty(payload, "user"), "agent",
		sg_json_text_or_empty(payload, "agent"), "payload", payload, "lineage", "rule_id",
		json_object_get(delta, "rule_id"), "source_episode_ids",
		json_object_get(delta, "source_episode_ids"), "promotion_ts",
		json_object_get(delta, "promotion_ts"), "confidence",
		json_object_get(delta, "confidence"), "pinned_at",
		json_object_get(delta, "promotion_ts"));
	if (!fact)
		return sg_error_nomem(err);
	s->items++;
	return sg_know_record_put(t, SG_TABLE_KNOW_FACT, fact_key(s, id, key), fact, err);
}

/* The store's generation numbers its deltas. */
static int keep(struct sg_txn *t, struct sg_know_info *s, const json_t *delta, struct sg_error *err)
{
	uint8_t key[12];
	sg_know_key(s, 0, key);
	sg_be64(s->generation++, key + 4);
	int r = sg_know_record_put(t, SG_TABLE_KNOW_DELTA, SG_SPAN(key, sizeof(key)), delta, err);
	return r < 0 ? r : sg_know_save(t, s, err);
}

int sg_know_apply_delta(
	struct sg_txn *t, const char *store, const json_t *delta, struct sg_error *err)
{
	struct sg_know_info s;
	int r = sg_know_check_delta(delta, err);
	if (r == 0)
		r = sg_know_open_as(t, store, SG_KNOW_BIT(SG_KNOW_FACT), &s, err);
	if (r < 0)
		return r;
	char kind = json_string_value(json_object_get(delta, "kind"))[0];
	if (kind == 'u' || kind == 'd')
		r = unpin_all(t, &s, json_object_get(delta, "replaces"), err);
	if (r == 0 && (kind == 'u' || kind == 'a'))
		r = pin(t, &s, delta, err);
	return r < 0 ? r : keep(t, &s, delta, err);
}

/* Is the fact there, after what the deltas before this one changed? Negative: error. */
static int is_there(struct sg_txn *t, const struct sg_know_info *s, const json_t *changed,
	const char *id, struct sg_error *err)
{
	uint8_t key[4 + FACT_ID_MAX];
	struct sg_span v;
	const json_t *known = json_object_get(changed, id);
	if (known)
		return json_is_true(known);
	int r = sg_txn_get(t, SG_TABLE_KNOW_FACT, fact_key(s, id, key), &v, err);
	return r < 0 ? r : r == 0;
}

static int try_replaces(struct sg_txn *t, const struct sg_know_info *s, const json_t *replaces,
	json_t *changed, struct sg_error *err)
{
	size_t i;
	const json_t *v;
	json_array_foreach (replaces, i, v) {
		const char *id = json_string_value(v);
		int r = is_there(t, s, changed, id, err);
		if (r < 0)
			return r;
		if (!r)
			return sg_error_set(err, SG_ECONFLICT, "FactConflictError",
				"store \"%s\": replaces names \"%s\", which is no fact of it",
				s->name, id);
		if (json_object_set_new(changed, id, json_false()) < 0)
			return sg_error_nomem(err);
	}
	return 0;
}

static int try_pin(struct sg_txn *t, const struct sg_know_info *s, const json_t *delta,
	json_t *changed, json_t *ids, struct sg_error *err)
{
	char id[FACT_ID_MAX + 1];
	int r = fact_id(delta, id, err);
	if (r == 0)
		r = is_there(t, s, changed, id, err);
	if (r < 0)
		return r;
	if (r)
		return sg_error_set(err, SG_ECONFLICT, "FactConflictError",
			"store \"%s\" has a fact \"%s\" already; update it", s->name, id);
	if (json_object_set_new(changed, id, json_true()) < 0 ||
		json_array_append_new(ids, json_string(id)) < 0)
		return sg_error_nomem(err);
	return 0;
}

static int try_one(struct sg_txn *t, const struct sg_know_info *s, const json_t *delta,
	json_t *changed, json_t *ids, struct sg_error *err)
{
	sg_autobuf b = SG_BUF_INIT(SG_KNOW_DELTA_BYTES);
	int r = sg_know_check_delta(delta, err);
	if (r == 0)
		r = sg_json_print(delta, &b, err);
	if (r < 0)
		return r;
	char kind = json_string_value(json_object_get(delta, "kind"))[0];
	if (kind == 'u' || kind == 'd')
		r = try_replaces(t, s, json_object_get(delta, "replaces"), changed, err);
	if (r == 0 && (kind == 'u' || kind == 'a'))
		r = try_pin(t, s, delta, changed, ids, err);
	return r;
}

int sg_know_try_deltas(struct sg_txn *t, const char *store, const json_t *deltas, json_t **ret_ids,
	struct sg_error *err)
{
	struct sg_know_info s;
	json_auto_t *changed = json_object(), *ids = json_array();
	struct sg_error here = {0};
	size_t i;
	const json_t *delta;
	int r = sg_know_open_as(t, store, SG_KNOW_BIT(SG_KNOW_FACT), &s, err);
	if (r < 0)
		return r;
	if (!changed || !ids)
		return sg_error_nomem(err);
	if (json_array_size(deltas) > SG_KNOW_DELTAS)
		return sg_error_set(
			err, SG_ELIMIT, "deltas", "more than %d deltas at once", SG_KNOW_DELTAS);
	json_array_foreach (deltas, i, delta) {
		r = try_one(t, &s, delta, changed, ids, &here);
		if (r < 0) {
			(void)sg_error_prefix(&here, "delta %zu", i);
			if (err)
				*err = here;
			return r;
		}
	}
	*ret_ids = json_incref(ids);
	return 0;
}

static bool matches(const json_t *fact, const json_t *pattern)
{
	static const char *const of_payload[] = {"subject", "predicate", "object"};
	static const char *const of_fact[] = {"user", "agent"};
	const json_t *payload = json_object_get(fact, "payload"), *want;
	for (size_t i = 0; i < SG_ARRAY_LEN(of_payload); i++)
		if ((want = json_object_get(pattern, of_payload[i])) &&
			!json_equal(want, json_object_get(payload, of_payload[i])))
			return false;
	for (size_t i = 0; i < SG_ARRAY_LEN(of_fact); i++)
		if ((want = json_object_get(pattern, of_fact[i])) &&
			!json_equal(want, json_object_get(fact, of_fact[i])))
			return false;
	return true;
}

static int walk(struct sg_txn *t, const struct sg_know_info *s, const json_t *pattern, size_t limit,
	json_t *out, uint64_t *ret_n, struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES];
	sg_autocursor *c = NULL;
	sg_know_key(s, 0, key);
	struct sg_span k = SG_SPAN(key, 4), v;
	int r = sg_cursor_open(t, SG_TABLE_KNOW_FACT, &c, err);
	if (r < 0)
		return r;
	for (r = sg_cursor_seek(c, SG_SEEK_GE, &k, &v, err); r == 0;
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &k, &v, err)) {
		json_auto_t *fact = NULL;
		if (k.len < 4 || memcmp(k.data, key, 4) != 0 ||
			(out && json_array_size(out) == limit))
			break;
		int e = sg_know_record_parse(k, v, &fact, err);
		if (e < 0)
			return e;
		(*ret_n)++;
		if (out && matches(fact, pattern) && json_array_append(out, fact) < 0)
			return sg_error_nomem(err);
	}
	return r < 0 ? r : 0;
}

int sg_know_facts(struct sg_txn *t, const char *store, const json_t *pattern, size_t limit,
	json_t **ret, struct sg_error *err)
{
	struct sg_know_info s;
	uint64_t n = 0;
	json_auto_t *out = json_array();
	if (limit < 1 || limit > SG_KNOW_MAX_K)
		return sg_error_set(err, SG_EINVALID, NULL, "limit is 1 to %d", SG_KNOW_MAX_K);
	int r = sg_know_open_as(t, store, SG_KNOW_BIT(SG_KNOW_FACT), &s, err);
	if (r == 0 && !out)
		r = sg_error_nomem(err);
	if (r == 0)
		r = walk(t, &s, pattern, limit, out, &n, err);
	if (r == 0)
		*ret = json_incref(out);
	return r;
}

int sg_know_fact_check(
	struct sg_txn *t, const struct sg_know_info *s, uint64_t *ret_n, struct sg_error *err)
{
	return walk(t, s, NULL, 0, NULL, ret_n, err);
}
