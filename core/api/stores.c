/* /v1/stores: what knowledge stores there are, writing documents, searching.
 *
 * The capability is the store's own: db.<name>:read or db.<name>:write; db.*:read and db.*:write
 * stand for every store. A store that one may not read is 404, and the try is audited. */
#include "api/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

#define DEFAULT_K 10

static bool may(const struct sg_call *c, const char *store, const char *what, char *ret_capability,
	size_t size)
{
	(void)snprintf(ret_capability, size, "db.%s:%s", store, what);
	return sg_identity_has(c->id, ret_capability);
}

bool sg_call_may_run(struct sg_call *c, const char *graph_id)
{
	json_auto_t *needs = NULL;
	struct sg_error err;
	size_t i;
	const json_t *one;
	if (sg_engine_needs(c->api->engine, graph_id, &needs, &err) < 0) {
		sg_call_error(c, &err);
		return false;
	}
	json_array_foreach (needs, i, one) {
		const char *need = json_string_value(one);
		if (sg_identity_has(c->id, need))
			continue;
		if (strncmp(need, "db.", 3) != 0 && c->api->config->profile != SG_PROFILE_CLEARED)
			continue; /* a tool's: what they are called is the operator's */
		sg_call_deny(c, need);
		return false;
	}
	return true;
}

/* False: the call has been answered. */
static bool allowed(struct sg_call *c, const char *what)
{
	char capability[96];
	if (may(c, c->path_id, what, capability, sizeof(capability)))
		return true;
	sg_call_deny(c, capability);
	return false;
}

void sg_route_stores(struct sg_call *c)
{
	json_auto_t *all = NULL, *seen = json_array();
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	struct sg_error err;
	char capability[96];
	size_t i;
	json_t *s;
	if (!seen || sg_engine_stores(c->api->engine, NULL, &all, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	json_array_foreach (all, i, s)
		if (may(c, json_string_value(json_object_get(s, "name")), "read", capability,
			    sizeof(capability)))
			(void)json_array_append(seen, s);
	if (sg_json_canonical(seen, &b, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	sg_call_json(c, 200, &b);
}

void sg_route_store(struct sg_call *c)
{
	json_auto_t *s = NULL;
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	struct sg_error err;
	if (!allowed(c, "read"))
		return;
	if (sg_engine_stores(c->api->engine, c->path_id, &s, &err) < 0 ||
		sg_json_canonical(s, &b, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	sg_call_json(c, 200, &b);
}

/* ---- documents ---- */

static void written(void *ctx, const struct sg_know_counts *n, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	sg_autobuf b = SG_BUF_INIT(512);
	if (err) {
		sg_call_error(c, err);
		return;
	}
	sg_buf_addf(&b, "{\"added\":%llu,\"deleted\":%llu,\"unchanged\":%llu,\"updated\":%llu}",
		(unsigned long long)n->added, (unsigned long long)n->deleted,
		(unsigned long long)n->unchanged, (unsigned long long)n->updated);
	sg_call_json(c, 200, &b);
}

void sg_route_documents(struct sg_call *c)
{
	struct sg_error err;
	const struct sg_caller who = {.actor = c->id->actor, .trigger_source = "http"};
	if (!allowed(c, "write"))
		return;
	if (sg_engine_documents(c->api->engine, c->path_id, json_object_get(c->body, "documents"),
		    json_object_get(c->body, "delete"), &who, written, c, &err) < 0)
		sg_call_error(c, &err);
}

/* ---- search ---- */

static void found(void *ctx, const json_t *hits, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	struct sg_error here;
	if (!err) {
		sg_buf_adds(&b, "{\"hits\":");
		if (sg_json_canonical(hits, &b, &here) < 0)
			err = &here;
		sg_buf_addc(&b, '}');
	}
	if (err) {
		sg_call_error(c, err);
		return;
	}
	sg_call_json(c, 200, &b);
}

void sg_route_search(struct sg_call *c)
{
	struct sg_error err = {0};
	const json_t *text = json_object_get(c->body, "query"), *k = json_object_get(c->body, "k");
	const char *mode = json_string_value(json_object_get(c->body, "mode"));
	struct sg_know_query q = {.store = c->path_id,
		.mode = SG_KNOW_MODE_BEST,
		.text = json_string_value(text),
		.text_len = json_string_length(text),
		.filter = json_object_get(c->body, "filter"),
		.k = k ? (size_t)json_integer_value(k) : DEFAULT_K,
		.int8 = json_is_true(json_object_get(c->body, "int8")),
		.with_text = !json_is_false(json_object_get(c->body, "text"))};
	if (!allowed(c, "read"))
		return;
	int r = mode ? sg_know_mode_parse(mode, &q.mode, &err) : 0;
	if (r < 0) {
		sg_call_error(c, &err);
		return;
	}
	if (sg_engine_search(c->api->engine, &q, found, c, &err) < 0)
		sg_call_error(c, &err);
}
