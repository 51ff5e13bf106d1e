/* recall: the episodes of a scope, the most salient first, the newest, or the
 * oldest of those that no rule has matched. A part of the scope that
 * is left out stands for all. Each episode that is recalled counts as accessed. */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "knowledge/memory.h"
#include "run/store_nodes.h"

#define DEFAULT_LIMIT 10
#define POOL 1000 /* newest episodes that salience chooses from */

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	struct sg_error here = {0};
	(void)ret_data;
	if (!sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_LIST), &here) ||
		(json_object_get(l->node->config, "text") &&
			!sg_kind_need_field(l, "text", SG_TYPE_BIT(SG_STR), &here)) ||
		(json_object_get(l->node->config, "count") &&
			!sg_kind_need_field(l, "count", SG_TYPE_BIT(SG_INT), &here)) ||
		!sg_kind_need_store(l, json_string_value(json_object_get(l->node->config, "store")),
			1U << SG_KNOW_MEMORY, &here)) {
		if (err)
			*err = here;
		return -here.code;
	}
	return 0;
}

static const char *part_of(const json_t *args, const char *key)
{
	const char *s = json_string_value(json_object_get(args, key));
	return s && *s ? s : NULL;
}

static void cut(json_t *list, size_t n)
{
	while (json_array_size(list) > n)
		(void)json_array_remove(list, json_array_size(list) - 1);
}

/* On the knowledge thread. */
static int read_episodes(json_t *args, struct sg_txn *t, json_t **ret, struct sg_error *err)
{
	const struct sg_know_scope scope = {
		part_of(args, "user"), part_of(args, "session"), part_of(args, "agent")};
	size_t limit = (size_t)json_integer_value(json_object_get(args, "limit"));
	const char *order = part_of(args, "order"), *store = part_of(args, "store");
	bool unmatched = order && strcmp(order, "unmatched") == 0;
	bool by_time = unmatched || (order && strcmp(order, "newest") == 0);
	json_auto_t *list = NULL, *sorted = NULL;
	int r = unmatched ? sg_know_unmatched(t, store, &scope, limit, &list, err)
			  : sg_know_recent(t, store, &scope, by_time ? limit : POOL, &list, err);
	if (r == 0)
		r = sg_know_by_salience(list, json_integer_value(json_object_get(args, "now_us")),
			json_number_value(json_object_get(args, "tau_s")), &sorted, err);
	if (r < 0)
		return r;
	cut(sorted, limit);
	*ret = json_incref(by_time ? list : sorted);
	return 0;
}

/* On the writer thread. */
static int write_access(const json_t *o, struct sg_txn *t, struct sg_error *err)
{
	const json_t *ids = json_object_get(o, "ids");
	const char *list[SG_KNOW_MAX_K];
	size_t n = 0;
	for (; n < json_array_size(ids) && n < SG_KNOW_MAX_K; n++)
		list[n] = json_string_value(json_array_get(ids, n));
	return sg_know_touch(t, part_of(o, "store"), list, n, true, false,
		json_integer_value(json_object_get(o, "now_us")), err);
}

static int count_access(struct sg_exec *x, const json_t *episodes, struct sg_error *err)
{
	json_auto_t *ids = json_array();
	size_t i;
	const json_t *e;
	json_array_foreach (episodes, i, e)
		if (!ids || json_array_append(ids, json_object_get(e, "id")) < 0)
			return sg_error_nomem(err);
	if (!x->run || !json_array_size(ids))
		return 0;
	return sg_exec_write(x,
		json_pack("{s:O, s:O, s:I}", "store", json_object_get(x->node->config, "store"),
			"ids", ids, "now_us", (json_int_t)sg_clock_utc_us()),
		write_access, err);
}

static void done(struct sg_exec *x, json_t *episodes, const struct sg_error *err)
{
	struct sg_error here = {0};
	if (!err && (count_access(x, episodes, &here) < 0 ||
			    sg_exec_set_record(x,
				    json_pack("{s:s, s:s, s:O, s:O}", "kind", "recall", "node",
					    x->node->id, "store",
					    json_object_get(x->node->config, "store"), "episodes",
					    episodes),
				    &here) < 0))
		err = &here;
	json_decref(episodes);
	sg_exec_complete(x, err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	const json_t *config = x->node->config, *limit = json_object_get(config, "limit");
	static const char *const parts[] = {"user", "session", "agent"};
	const char *order = json_string_value(json_object_get(config, "order"));
	json_t *args =
		json_pack("{s:O, s:I, s:I, s:f, s:s}", "store", json_object_get(config, "store"),
			"limit", limit ? json_integer_value(limit) : (json_int_t)DEFAULT_LIMIT,
			"now_us", (json_int_t)sg_clock_utc_us(), "tau_s",
			json_number_value(json_object_get(config, "tau_seconds")), "order",
			order ? order : "salience");
	for (size_t i = 0; args && i < SG_ARRAY_LEN(parts); i++) {
		json_t *v = sg_kind_text(x, parts[i], err);
		if (!v || json_object_set_new(args, parts[i], v) < 0) {
			json_decref(args);
			return v ? sg_error_nomem(err) : -err->code;
		}
	}
	return sg_exec_read(x, args, read_episodes, done, err);
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const char *out = json_string_value(json_object_get(x->node->config, "out"));
	const char *text = json_string_value(json_object_get(x->node->config, "text"));
	const char *count = json_string_value(json_object_get(x->node->config, "count"));
	json_t *episodes = json_object_get(record, "episodes");
	if (!json_is_array(episodes))
		return sg_error_set(
			err, SG_ECORRUPT, "record-damaged", "a recall without episodes");
	x->update = json_pack("{s:O}", out, episodes);
	if (!x->update ||
		(text && json_object_set_new(x->update, text,
				 json_string(sg_json_text_or_empty(
					 json_array_get(episodes, 0), "content"))) < 0) ||
		(count && json_object_set_new(x->update, count,
				  json_integer((json_int_t)json_array_size(episodes))) < 0))
		return sg_error_nomem(err);
	return 0;
}

const struct sg_node_kind sg_kind_recall = {
	.spec = {.name = "recall",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"store\",\"user\",\"out\"],"
			"\"additionalProperties\":false,\"properties\":{"
			"\"store\":{\"type\":\"string\",\"minLength\":1},"
			"\"user\":{\"type\":\"string\",\"minLength\":1},"
			"\"session\":{\"type\":\"string\"},\"agent\":{\"type\":\"string\"},"
			"\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100},"
			"\"order\":{\"enum\":[\"salience\",\"newest\",\"unmatched\"]},"
			"\"text\":{\"type\":\"string\"},\"count\":{\"type\":\"string\"},"
			"\"tau_seconds\":{\"type\":\"number\",\"minimum\":1},"
			"\"out\":{\"type\":\"string\"}}}"},
	.prepare = prepare,
	.execute = execute,
	.apply = apply,
	.elsewhere = true,
	.outside = true, /* it sees what the run remembered before */
	.needs = {{"store", "read"}},
};
