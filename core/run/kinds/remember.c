/* remember: an episode into a memory store, in the batch that carries the step. Its scope is the
 * whole of user, session and agent; its id is given, or made from the run and the step. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "knowledge/memory.h"
#include "run/internal.h"
#include "run/store_nodes.h"

static int prepare(const struct sg_kind_load *l, void **ret_data, struct sg_error *err)
{
	struct sg_error here = {0};
	const json_t *config = l->node->config;
	(void)ret_data;
	if (!sg_kind_need_field(l, "content", SG_TYPE_BIT(SG_STR), &here) ||
		(json_object_get(config, "metadata") &&
			!sg_kind_need_field(l, "metadata", SG_TYPE_BIT(SG_DICT), &here)) ||
		(json_object_get(config, "out") &&
			!sg_kind_need_field(l, "out", SG_TYPE_BIT(SG_STR), &here)) ||
		!sg_kind_need_store(l, json_string_value(json_object_get(config, "store")),
			1U << SG_KNOW_MEMORY, &here)) {
		if (err)
			*err = here;
		return -here.code;
	}
	return 0;
}

static void read_episode(
	const json_t *e, struct sg_know_scope *scope, struct sg_know_episode *episode)
{
	*scope = (struct sg_know_scope){sg_json_text_or_empty(e, "user"),
		sg_json_text_or_empty(e, "session"), sg_json_text_or_empty(e, "agent")};
	*episode = (struct sg_know_episode){.id = sg_json_text_or_empty(e, "id"),
		.content = sg_json_text_or_empty(e, "content"),
		.timestamp_us = json_integer_value(json_object_get(e, "timestamp_us")),
		.source_node = sg_json_text_or_empty(e, "source_node"),
		.metadata = json_object_get(e, "metadata")};
}

/* On the writer thread. */
static int write_episode(const json_t *e, struct sg_txn *t, struct sg_error *err)
{
	struct sg_know_scope scope;
	struct sg_know_episode episode;
	read_episode(e, &scope, &episode);
	return sg_know_remember(t, sg_json_text_or_empty(e, "store"), &scope, &episode, err);
}

static int set_text(struct sg_exec *x, json_t *e, const char *key, struct sg_error *err)
{
	json_t *v = sg_kind_text(x, key, err);
	if (!v)
		return -err->code;
	return json_object_set_new(e, key, v) < 0 ? sg_error_nomem(err) : 0;
}

/* What could be wrong with it is found here, before it is in a batch. */
static int check(const json_t *e, struct sg_error *err)
{
	struct sg_know_scope scope;
	struct sg_know_episode episode;
	read_episode(e, &scope, &episode);
	return sg_know_episode_check(&scope, &episode, err);
}

static int make(struct sg_exec *x, json_t *e, struct sg_error *err)
{
	const json_t *config = x->node->config;
	char id[SG_RUN_ID_TEXT + 32];
	(void)snprintf(id, sizeof(id), "%s:%lld", x->run->row.run_id, (long long)x->step);
	int r = set_text(x, e, "user", err);
	if (r == 0)
		r = set_text(x, e, "session", err);
	if (r == 0)
		r = set_text(x, e, "agent", err);
	if (r == 0)
		r = set_text(x, e, "id", err);
	if (r == 0 && !*sg_json_text_or_empty(e, "id") &&
		json_object_set_new(e, "id", json_string(id)) < 0)
		r = sg_error_nomem(err);
	const json_t *content = json_object_get(x->state, sg_json_text_or_empty(config, "content"));
	const json_t *meta = json_object_get(x->state, sg_json_text_or_empty(config, "metadata"));
	if (r == 0 && !json_is_string(content))
		r = sg_error_set(err, SG_EINVALID, "remember-content",
			"the state field \"%s\" holds no text",
			sg_json_text_or_empty(config, "content"));
	if (r < 0)
		return r;
	if (json_object_set_new(e, "content", json_incref((json_t *)(uintptr_t)content)) < 0 ||
		json_object_set_new(e, "metadata", meta ? json_deep_copy(meta) : json_object()) <
			0 ||
		json_object_set_new(e, "timestamp_us", json_integer(sg_clock_utc_us())) < 0 ||
		json_object_set_new(e, "source_node", json_string(x->node->id)) < 0 ||
		json_object_set(e, "store", json_object_get(config, "store")) < 0)
		return sg_error_nomem(err);
	return check(e, err);
}

static int execute(struct sg_exec *x, struct sg_error *err)
{
	json_auto_t *e = json_object();
	int r = e ? make(x, e, err) : sg_error_nomem(err);
	if (r == 0)
		r = sg_exec_write(x, json_incref(e), write_episode, err);
	if (r < 0)
		return r;
	x->record = json_pack("{s:s, s:s, s:O, s:O, s:O}", "kind", "remember", "node", x->node->id,
		"store", json_object_get(e, "store"), "episode_id", json_object_get(e, "id"),
		"timestamp_us", json_object_get(e, "timestamp_us"));
	return x->record ? SG_EXEC_DONE : sg_error_nomem(err);
}

static int apply(struct sg_exec *x, const json_t *record, struct sg_error *err)
{
	const char *out = json_string_value(json_object_get(x->node->config, "out"));
	json_t *id = json_object_get(record, "episode_id");
	if (!json_is_string(id))
		return sg_error_set(err, SG_ECORRUPT, "record-damaged", "an episode without an id");
	if (!out)
		return 0;
	x->update = json_pack("{s:O}", out, id);
	return x->update ? 0 : sg_error_nomem(err);
}

const struct sg_node_kind sg_kind_remember = {
	.spec = {.name = "remember",
		.config_schema =
			"{\"type\":\"object\",\"required\":[\"store\",\"content\",\"user\","
			"\"session\","
			"\"agent\"],\"additionalProperties\":false,\"properties\":{"
			"\"store\":{\"type\":\"string\",\"minLength\":1},"
			"\"content\":{\"type\":\"string\"},\"metadata\":{\"type\":\"string\"},"
			"\"user\":{\"type\":\"string\",\"minLength\":1},"
			"\"session\":{\"type\":\"string\",\"minLength\":1},"
			"\"agent\":{\"type\":\"string\",\"minLength\":1},"
			"\"id\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"}}}"},
	.prepare = prepare,
	.execute = execute,
	.apply = apply,
	.needs = {{"store", "write"}},
};
