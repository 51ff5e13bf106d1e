/* What comes in over HTTP: webhooks with their HMAC, and manual triggers. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "trigger/internal.h"

#define MAX_STAMP 12 /* digits of a Unix time */

static int deny(struct sg_error *err, const char *kind)
{
	return sg_error_set(err, SG_EDENIED, kind, "webhook: %s", kind);
}

static bool signed_with(
	const struct secret *s, const char *text, size_t n, const uint8_t given[SG_SHA256_BYTES])
{
	return s->n && sg_hmac_sha256_is(s->bytes, s->n, text, n, given);
}

int sg_triggers_verify(const struct sg_triggers *t, size_t i, const char *timestamp,
	const char *signature, const char *body, size_t len, int64_t now, struct sg_error *err)
{
	const struct trigger *g = &t->all[i];
	uint8_t given[SG_SHA256_BYTES];
	if (!timestamp || !signature)
		return deny(err, "missing_headers");
	size_t digits = strspn(timestamp, "0123456789");
	if (digits == 0 || digits > MAX_STAMP || timestamp[digits])
		return deny(err, "invalid_timestamp");
	int64_t at = strtoll(timestamp, NULL, 10);
	if (at > now + g->window_s || at < now - g->window_s)
		return deny(err, "timestamp_out_of_window");
	if (signature[strspn(signature, "0123456789abcdef")] ||
		sg_hex_decode(signature, strlen(signature), given, sizeof(given)) < 0)
		return deny(err, "invalid_signature");
	sg_autobuf b = SG_BUF_INIT(len + MAX_STAMP + 2);
	sg_buf_adds(&b, timestamp);
	sg_buf_addc(&b, '.');
	sg_buf_add(&b, body, len);
	if (b.failed)
		return sg_error_nomem(err);
	/* both are tried whatever the first says: time tells nothing about which one it was */
	bool now_ok = signed_with(&g->secrets[0], b.data, b.len, given);
	bool before_ok = signed_with(&g->secrets[1], b.data, b.len, given);
	return now_ok || before_ok ? 0 : deny(err, "invalid_signature");
}

/* The declared parameters with those of the request over them. */
static json_t *merged(const struct trigger *g, const json_t *params)
{
	json_t *all = json_object();
	if (all && ((g->params && json_object_update(all, g->params) < 0) ||
			   (params && json_object_update(all, (json_t *)(uintptr_t)params) < 0))) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static void record(struct sg_triggers *t, const struct trigger *g, const char *actor,
	const char *run_id, const char *by)
{
	json_auto_t *p = json_pack("{s:s, s:s, s:s}", "kind", "fired", "trigger", g->id, "by", by);
	if (p)
		(void)sg_engine_audit(t->engine, actor, "trigger", run_id, p, NULL, NULL, NULL);
}

static int start(struct sg_triggers *t, const struct trigger *g, const json_t *params,
	const char *actor, const char *by, const char *key, sg_run_callback accepted, void *ctx,
	char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	const struct sg_caller who = {.actor = actor, .trigger_source = g->source};
	json_auto_t *all = merged(g, params);
	if (!all)
		return sg_error_nomem(err);
	int r = sg_engine_start(t->engine, g->graph_id, all, false, &who, key, accepted, NULL, ctx,
		ret_run_id, err);
	if (r == 0)
		record(t, g, actor, ret_run_id, by);
	return r;
}

int sg_triggers_deliver(struct sg_triggers *t, size_t i, const char *timestamp,
	const char *signature, const json_t *params, const char *by, sg_run_callback accepted,
	void *ctx, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	const struct trigger *g = &t->all[i];
	char key[MAX_STAMP + 1 + SG_SHA256_HEX];
	(void)snprintf(key, sizeof(key), "%s.%s", timestamp, signature);
	return start(t, g, params, g->actor, by, key, accepted, ctx, ret_run_id, err);
}

int sg_triggers_fire(struct sg_triggers *t, size_t i, const json_t *params, const char *actor,
	sg_run_callback accepted, void *ctx, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	return start(t, &t->all[i], params, actor, actor, NULL, accepted, ctx, ret_run_id, err);
}
