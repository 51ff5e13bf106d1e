/* Starting runs, and what may be done to them from outside. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "run/internal.h"

/* What an idempotency key stands for. */
static int request_hash(const char *graph_id, const char *params, char ret_hex[SG_SHA256_HEX])
{
	struct sg_sha256 *h = sg_sha256_create();
	uint8_t sum[SG_SHA256_BYTES];
	if (!h)
		return -SG_ENOMEM;
	sg_sha256_update(h, graph_id, strlen(graph_id) + 1);
	sg_sha256_update(h, params, strlen(params));
	sg_sha256_final(h, sum);
	sg_sha256_destroy(h);
	sg_hex_encode(sum, sizeof(sum), ret_hex);
	return 0;
}

struct idem {
	char *key; /* "actor NUL key", owned until the run takes it */
	size_t len;
	char hash[SG_SHA256_HEX];
};

static int idem_known(const struct sg_span *value, const struct idem *i,
	char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	/* value: 64 hex digits of the request, then the run id */
	if (value->len < 65 || value->len - 64 >= SG_RUN_ID_TEXT)
		return sg_error_set(err, SG_ECORRUPT, NULL, "a stored idempotency key is damaged");
	if (memcmp(value->data, i->hash, 64) != 0)
		return sg_error_set(err, SG_EINVALID, "idempotency-mismatch",
			"the idempotency key was used for another graph or other params");
	memcpy(ret_run_id, (const char *)value->data + 64, value->len - 64);
	ret_run_id[value->len - 64] = '\0';
	return 1;
}

/* A key lives as long as its run: one whose run is not kept any more is new again. */
static int idem_stored(struct sg_engine *e, const struct idem *i, struct sg_span *ret,
	struct sg_txn *t, struct sg_error *err)
{
	struct sg_span row;
	int rc = sg_txn_get(t, SG_TABLE_IDEMPOTENCY, SG_SPAN(i->key, i->len), ret, err);
	if (rc != 0 || ret->len <= 64)
		return rc;
	struct sg_span id = SG_SPAN((const char *)ret->data + 64, ret->len - 64);
	return sg_retention_takes(e, id) ? 1 : sg_txn_get(t, SG_TABLE_RUN, id, &row, err);
}

/* 0: new. 1: known, ret_run_id is set. */
static int idem_check(struct sg_engine *e, const struct idem *i, char ret_run_id[SG_RUN_ID_TEXT],
	struct sg_error *err)
{
	struct run *r = e->idem[sg_bucket(i->key, i->len) % 256];
	for (; r; r = r->idem_next)
		if (r->idem_len == i->len && memcmp(r->idem_key, i->key, i->len) == 0)
			return sg_error_set(err, SG_ECONFLICT, "idempotency-in-flight",
				"the first request with this idempotency key is being stored");
	sg_autotxn *t = NULL;
	struct sg_span value;
	int rc = sg_txn_begin(e->store, false, &t, err);
	if (rc == 0)
		rc = idem_stored(e, i, &value, t, err);
	if (rc < 0)
		return rc;
	return rc == 1 ? 0 : idem_known(&value, i, ret_run_id, err);
}

static int idem_make(struct idem *i, const char *actor, const char *key, struct sg_error *err)
{
	size_t a = strlen(actor), k = strlen(key);
	if (a + k + 1 > SG_STORE_KEY_MAX) { /* long subjects: their hash stands for them */
		char hex[SG_SHA256_HEX];
		if (k > 256)
			return sg_error_set(err, SG_EINVALID, NULL,
				"the idempotency key is longer than 256 bytes");
		sg_sha256_hex(actor, a, hex);
		return idem_make(i, hex, key, err);
	}
	i->len = a + k + 1;
	i->key = malloc(i->len);
	if (!i->key)
		return sg_error_nomem(err);
	memcpy(i->key, actor, a + 1);
	memcpy(i->key + a + 1, key, k);
	return 0;
}

/* The key beside the run, so that it can go with it. */
static int idem_name(struct run *r, struct slot *s)
{
	sg_autobuf key = SG_BUF_INIT(SG_STORE_KEY_MAX), value = SG_BUF_INIT(4096);
	struct sg_span sealed;
	if (sg_run_text_pack(r->row.run_id, SG_RUN_TEXT_IDEM, SG_SPAN(r->idem_key, r->idem_len),
		    &key, &value, &sealed, NULL) < 0)
		return -SG_ENOMEM;
	return sg_batch_put(r->engine, s, SG_TABLE_RUN_INPUT, SG_SPAN(key.data, key.len), sealed);
}

static int idem_keep(struct run *r, struct idem *i, struct slot *s)
{
	char value[64 + SG_RUN_ID_TEXT];
	if (!i->key)
		return 0;
	size_t n = strlen(r->row.run_id);
	memcpy(value, i->hash, 64);
	memcpy(value + 64, r->row.run_id, n);
	struct run **b = &r->engine->idem[sg_bucket(i->key, i->len) % 256];
	r->idem_next = *b;
	*b = r;
	r->idem_len = i->len;
	r->idem_key = sg_steal(i->key);
	int rc = sg_batch_put(r->engine, s, SG_TABLE_IDEMPOTENCY, SG_SPAN(r->idem_key, r->idem_len),
		SG_SPAN(value, 64 + n));
	return rc < 0 ? rc : idem_name(r, s);
}

static int fill_row(struct run *r, const struct sg_caller *who, const char *params)
{
	int64_t now = sg_clock_utc_us();
	r->row.status = SG_RUN_RUNNING;
	r->row.started_us = r->row.updated_us = now;
	r->row.actor = strdup(who->actor);
	r->row.trigger_source = strdup(who->trigger_source);
	r->row.params = strdup(params);
	return r->row.actor && r->row.trigger_source && r->row.params ? 0 : -SG_ENOMEM;
}

static int put_started(struct run *r)
{
	char hash[SG_SHA256_HEX];
	struct sg_buf *b = &r->engine->scratch;
	sg_sha256_hex(r->row.params, strlen(r->row.params), hash);
	sg_buf_reset(b);
	sg_buf_addf(b, "{\"graph_hash\":\"%s\",\"graph_id\":", r->row.graph_hash);
	sg_buf_add_json_string(b, r->row.graph_id, strlen(r->row.graph_id));
	sg_buf_addf(b, ",\"params_sha256\":\"%s\",\"trigger_source\":", hash);
	sg_buf_add_json_string(b, r->row.trigger_source, strlen(r->row.trigger_source));
	sg_buf_addc(b, '}');
	return !b->failed && sg_batch_event(r->engine, r, r->row.started_us, r->row.actor,
				     "run_started", -1, b->data, b->len, "user", r->row.actor)
		       ? 0
		       : -SG_ENOMEM;
}

int sg_run_seed(struct run *r, const json_t *params, bool from_text, struct sg_error *err)
{
	struct sg_buf *b = &r->engine->scratch;
	int rc = sg_graph_initial_state(r->f.graph->graph, params, from_text, &r->f.state, err);
	if (rc < 0)
		return rc;
	sg_buf_reset(b);
	rc = sg_json_print(r->f.state, b, err);
	if (rc < 0)
		return rc;
	if ((int64_t)b->len > r->engine->limits.state_bytes)
		return sg_error_set(err, SG_ELIMIT, "state-too-large",
			"the params make a state of %zu bytes; limits.state_bytes is %lld", b->len,
			(long long)r->engine->limits.state_bytes);
	r->f.state_text = sg_text_make(b->data, b->len);
	return r->f.state_text ? 0 : sg_error_nomem(err);
}

static int enter(struct run *r, const struct sg_caller *who, const char *params, struct idem *i,
	sg_run_callback accepted, sg_run_callback settled, void *ctx, struct sg_error *err)
{
	struct sg_engine *e = r->engine;
	if (fill_row(r, who, params) < 0)
		return sg_error_nomem(err);
	int rc = sg_run_id_make(false, r->row.run_id, err);
	if (rc < 0)
		return rc;
	struct slot *s = sg_batch_slot(r);
	if (!s)
		return sg_error_nomem(err);
	sg_run_insert(r);
	sg_deadline_active(r);
	sg_watcher_add(e, &s->acks, r, accepted, ctx);
	sg_watcher_add(e, &r->settled, r, settled, ctx);
	e->stats.runs_started++;
	e->stats.runs_live++;
	struct sg_error failure;
	if (put_started(r) < 0 || idem_keep(r, i, s) < 0) {
		(void)sg_error_nomem(&failure);
		sg_run_fail(r, "runtime", &failure);
	} else {
		sg_run_ready(r);
	}
	sg_engine_kick(e);
	return 0;
}

/* The params with the values that the state took from them: text from a command line is typed. */
static int params_text(
	const struct run *r, const json_t *params, struct sg_buf *out, struct sg_error *err)
{
	const char *key;
	json_t *value, *typed = json_object();
	json_object_foreach ((json_t *)(uintptr_t)params, key, value)
		(void)json_object_set(typed, key, json_object_get(r->f.state, key));
	int rc = typed ? sg_json_print(typed, out, err) : sg_error_nomem(err);
	json_decref(typed);
	return rc;
}

static int start(struct sg_engine *e, struct prepared *g, const json_t *params, bool from_text,
	const struct sg_caller *who, struct idem *i, sg_run_callback accepted,
	sg_run_callback settled, void *ctx, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	sg_autobuf text = SG_BUF_INIT(16U << 20);
	struct run *r = sg_run_create(e, g);
	if (!r)
		return sg_error_nomem(err);
	int rc = sg_run_seed(r, params, from_text, err);
	if (rc == 0)
		rc = params_text(r, params, &text, err);
	if (rc == 0 && i->key && (rc = request_hash(g->graph->id, text.data, i->hash)) < 0)
		rc = sg_error_nomem(err);
	if (rc == 0 && i->key)
		rc = idem_check(e, i, ret_run_id, err);
	if (rc == 0)
		rc = enter(r, who, text.data, i, accepted, settled, ctx, err);
	if (rc != 0) {
		sg_run_destroy(r);
		return rc;
	}
	memcpy(ret_run_id, r->row.run_id, SG_RUN_ID_TEXT);
	return 0;
}

int sg_engine_start(struct sg_engine *e, const char *graph_id, const json_t *params, bool from_text,
	const struct sg_caller *who, const char *idempotency_key, sg_run_callback accepted,
	sg_run_callback settled, void *ctx, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err)
{
	struct idem i = {0};
	int rc = sg_engine_check_room(e, err);
	if (rc < 0)
		return rc;
	if (e->stats.runs_live >= (uint64_t)e->limits.runs_in_flight)
		return sg_error_set(err, SG_EBUSY, "runs-in-flight",
			"%lld runs are in flight (limits.runs_in_flight)",
			(long long)e->limits.runs_in_flight);
	struct prepared *g = sg_prepared_find(e, graph_id);
	if (!g)
		return sg_error_set(
			err, SG_ENOTFOUND, "unknown-graph", "no graph \"%s\" is loaded", graph_id);
	json_t *none = params ? NULL : json_object();
	if (idempotency_key)
		rc = idem_make(&i, who->actor, idempotency_key, err);
	if (rc == 0)
		rc = start(e, g, params ? params : none, from_text, who, &i, accepted, settled, ctx,
			ret_run_id, err);
	free(i.key);
	json_decref(none);
	return rc;
}

/* The run in memory, or read back from the store. */
static int fetch(struct sg_engine *e, const char *run_id, struct run **ret, struct sg_error *err)
{
	int rc = sg_engine_check_room(e, err);
	if (rc < 0)
		return rc;
	*ret = sg_run_find(e, run_id);
	return *ret ? 0 : sg_run_load(e, run_id, ret, err);
}

static int wrong_state(
	const struct run *r, const char *verb, const char *valid, struct sg_error *err)
{
	return sg_error_set(err, SG_ECONFLICT, "wrong-state",
		"%s invalid in state '%s'; valid state is %s", verb,
		sg_run_status_name(r->row.status), valid);
}

/* After a change to r: who waits for it, and its way on. */
static int accept(struct run *r, sg_run_callback accepted, void *ctx, struct sg_error *err)
{
	struct slot *s = sg_batch_slot(r);
	if (!s)
		return sg_error_nomem(err);
	sg_watcher_add(r->engine, &s->acks, r, accepted, ctx);
	sg_engine_kick(r->engine);
	return 0;
}

/* A fork's answers are told apart from those to a run of the world. */
static int answer_as(struct run *r, const json_t *response, const char *actor, struct sg_error *err)
{
	sg_autofree char *source = NULL;
	if (r->cf_hash[0] && asprintf(&source, SG_RUN_FORK_ACTOR "%s", actor) < 0)
		return sg_error_nomem(err);
	return sg_interrupt_answer(r, response, source ? source : actor, err);
}

int sg_engine_respond(struct sg_engine *e, const char *run_id, const json_t *response,
	const struct sg_caller *who, sg_run_callback accepted, sg_run_callback settled, void *ctx,
	struct sg_error *err)
{
	struct run *r;
	int rc = fetch(e, run_id, &r, err);
	if (rc < 0)
		return rc;
	if (r->row.status != SG_RUN_WAITING || r->phase != PHASE_SETTLED)
		rc = wrong_state(r, "respond", "'awaiting-input'", err);
	if (rc == 0)
		rc = answer_as(r, response, who->actor, err);
	if (rc == 0)
		rc = accept(r, accepted, ctx, err);
	if (rc < 0) {
		sg_run_maybe_release(r);
		return rc;
	}
	/* Settled again within this very call: its watcher goes with the acknowledgements. */
	struct watcher **list = r->phase == PHASE_SETTLED ? &r->slot->acks : &r->settled;
	sg_watcher_add(e, list, r, settled, ctx);
	return 0;
}

int sg_engine_cancel(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback done, void *ctx, struct sg_error *err)
{
	struct run *r;
	int rc = fetch(e, run_id, &r, err);
	if (rc < 0)
		return rc;
	if (r->row.status >= SG_RUN_DONE) {
		rc = wrong_state(
			r, "cancel", "'pending', 'running', 'paused' or 'awaiting-input'", err);
		sg_run_maybe_release(r);
		return rc;
	}
	if (r->phase == PHASE_SETTLED)
		sg_run_reactivate(r);
	sg_migration_note(r, who->actor);
	sg_run_end(r, SG_RUN_CANCELLED, "cancelled", who->actor);
	return accept(r, done, ctx, err);
}

int sg_engine_pause(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback done, void *ctx, struct sg_error *err)
{
	struct run *r;
	int rc = fetch(e, run_id, &r, err);
	if (rc < 0)
		return rc;
	if (r->phase == PHASE_SETTLED) {
		rc = wrong_state(r, "pause", "'running'", err);
		sg_run_maybe_release(r);
		return rc;
	}
	sg_run_set_text(&r->pause_actor, who->actor);
	r->pause_wanted = true;
	sg_watcher_add(e, &r->settled, r, done, ctx);
	if (r->phase == PHASE_SLEEPING) {
		sg_run_settle(r, SG_RUN_PAUSED, sg_clock_utc_us());
		sg_engine_kick(e);
	}
	return 0;
}

static void put_resumed(struct run *r, const char *actor)
{
	struct sg_buf *b = &r->engine->scratch;
	sg_buf_reset(b);
	sg_buf_adds(b, "{\"actor\":");
	sg_buf_add_json_string(b, actor, strlen(actor));
	sg_buf_addc(b, '}');
	(void)sg_batch_event(r->engine, r, sg_clock_utc_us(), actor, "run_resumed", r->step - 1,
		b->data, b->len, "user", actor);
}

int sg_engine_resume(struct sg_engine *e, const char *run_id, const struct sg_caller *who,
	sg_run_callback accepted, void *ctx, struct sg_error *err)
{
	struct run *r;
	int rc = fetch(e, run_id, &r, err);
	if (rc < 0)
		return rc;
	if (r->row.status != SG_RUN_PAUSED || r->phase != PHASE_SETTLED) {
		rc = wrong_state(r, "resume", "'paused'", err);
		sg_run_maybe_release(r);
		return rc;
	}
	sg_run_reactivate(r);
	sg_migration_note(r, who->actor);
	put_resumed(r, who->actor);
	sg_run_ready(r);
	return accept(r, accepted, ctx, err);
}

bool sg_engine_behind(const struct sg_engine *e)
{
	return e->queued > (uint64_t)e->limits.queue / 2 && !e->failed &&
	       !atomic_load(&e->writer.no_space);
}

int sg_engine_audit(struct sg_engine *e, const char *actor, const char *type, const char *run_id,
	const json_t *payload, void (*wait)(void *ctx, const struct sg_error *err), void *ctx,
	struct sg_error *err)
{
	int rc = e->failed ? sg_engine_check_room(e, err) : 0;
	if (rc == 0 && e->queued > 2 * (uint64_t)e->limits.queue)
		rc = sg_error_set(err, SG_EBUSY, NULL, "%llu records wait for the disk",
			(unsigned long long)e->queued);
	if (rc < 0)
		return rc;
	struct sg_buf *b = &e->scratch;
	json_t *none = payload ? NULL : json_object();
	sg_buf_reset(b);
	rc = sg_json_canonical(payload ? payload : none, b, err);
	json_decref(none);
	if (rc < 0)
		return rc;
	struct item *i = sg_batch_event(
		e, NULL, sg_clock_utc_us(), actor, type, -1, b->data, b->len, "user", actor);
	struct watcher *w = wait ? calloc(1, sizeof(*w)) : NULL;
	if (!i || (wait && !w)) {
		free(w);
		return sg_error_nomem(err);
	}
	i->event.type = sg_arena_strdup(&e->gather->arena, type);
	i->event.run_id = sg_arena_strdup(&e->gather->arena, run_id);
	if (w) {
		w->ctx = ctx;
		w->wait_cb = wait;
		sg_watcher_link(e, w, &e->gather->acks);
	}
	sg_engine_kick(e);
	return 0;
}
