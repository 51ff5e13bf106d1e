/* Checkpoints: one appended record a step, found through an index by run and step.
 *
 * The record starts with version and key step, then the small fields, then the body (state, facts,
 * recorded results, next action, one after the other) in one of the forms of body.h. */
#include "checkpoint/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "checkpoint/body.h"
#include "checkpoint/cache.h"
#include "checkpoint/record.h"

#define VERSION 1U
#define BRANCH_MAX 200U
#define INDEX_KEY_MAX (SG_RUN_ID_TEXT + 4U + BRANCH_MAX)
#define NO_KEY 0U /* the record stands alone; else 1 + sequence of its key step */
#define DELTA_MIN 512U

enum { BODY_STATE, BODY_FACTS, BODY_RECORDED, BODY_NEXT, BODY_PARTS };

/* A record taken apart, nothing copied: all spans point into the map. */
struct parsed {
	uint64_t key;
	struct sg_span run_id, branch, last_node, parent_run; /* data NULL = none */
	int64_t step, parent_step, timestamp_us;
	char graph_hash[65], runtime_hash[65], side_effects_hash[65];
	uint64_t part[BODY_PARTS]; /* 0 = NULL, else 1 + length */
	enum sg_body_form form;
	struct sg_span packed;
};

void sg_checkpoint_finish(struct sg_checkpoint *c)
{
	char **owned[] = {&c->branch_id, &c->state, &c->clips_facts, &c->last_node, &c->next_action,
		&c->parent_run_id, &c->recorded};
	for (size_t i = 0; i < SG_ARRAY_LEN(owned); i++) {
		free(*owned[i]);
		*owned[i] = NULL;
	}
}

struct index_key {
	uint8_t bytes[INDEX_KEY_MAX];
	size_t len, prefix; /* prefix: run id and NUL */
};

static int make_key(const char *run_id, int64_t step, const char *branch, struct index_key *ret,
	struct sg_error *err)
{
	size_t n = strlen(run_id), nb = branch ? strlen(branch) : 0;
	if (n == 0 || n >= SG_RUN_ID_TEXT || nb > BRANCH_MAX || step < 0 || step > UINT32_MAX)
		return sg_error_set(err, SG_EINVALID, NULL,
			"checkpoint %.64s step %lld: run id, step or branch out of range", run_id,
			(long long)step);
	memcpy(ret->bytes, run_id, n + 1);
	ret->prefix = n + 1;
	for (int i = 0; i < 4; i++)
		ret->bytes[n + 1 + (size_t)i] = (uint8_t)(step >> (24 - 8 * i));
	if (nb)
		memcpy(ret->bytes + n + 5, branch, nb);
	ret->len = n + 5 + nb;
	return 0;
}

static struct sg_span read_span(struct sg_record_reader *r)
{
	uint64_t n = sg_record_u64(r);
	return n ? sg_record_bytes(r, n - 1) : SG_SPAN(NULL, 0);
}

static void read_fields(struct sg_record_reader *r, struct parsed *p)
{
	p->run_id = read_span(r);
	p->step = sg_record_i64(r);
	p->branch = read_span(r);
	p->parent_step = sg_record_i64(r);
	sg_record_hash(r, p->graph_hash);
	sg_record_hash(r, p->runtime_hash);
	p->last_node = read_span(r);
	p->timestamp_us = sg_record_i64(r);
	p->parent_run = read_span(r);
	sg_record_hash(r, p->side_effects_hash);
	for (int i = 0; i < BODY_PARTS; i++)
		p->part[i] = sg_record_u64(r);
	p->form = (enum sg_body_form)sg_record_u64(r);
	p->packed = sg_record_bytes(r, sg_record_u64(r));
}

static int parse(uint64_t seq, struct sg_span value, struct parsed *ret, struct sg_error *err)
{
	uint8_t key[8];
	struct sg_record_reader r = {0};
	sg_be64(seq, key);
	int e = sg_record_open(SG_TABLE_STEP, SG_SPAN(key, sizeof(key)), value, &r, err);
	if (e < 0)
		return e;
	uint64_t version = sg_record_u64(&r);
	ret->key = sg_record_u64(&r);
	if (version == VERSION)
		read_fields(&r, ret);
	if (version != VERSION || r.bad || r.at != r.end || !ret->run_id.data)
		return sg_error_set(err, SG_ECORRUPT, NULL, "the record is malformed");
	return 0;
}

static int fetch(struct sg_txn *t, uint64_t seq, struct parsed *ret, struct sg_error *err)
{
	uint8_t key[8];
	struct sg_span value;
	sg_be64(seq, key);
	int r = sg_txn_get(t, SG_TABLE_STEP, SG_SPAN(key, sizeof(key)), &value, err);
	if (r > 0)
		return sg_error_set(err, SG_ECORRUPT, NULL, "the index names a missing record");
	return r < 0 ? r : parse(seq, value, ret, err);
}

static size_t body_len(const struct parsed *p)
{
	uint64_t sum = 0;
	for (int i = 0; i < BODY_PARTS; i++)
		sum += p->part[i] > SG_RECORD_MAX ? SG_RECORD_MAX : p->part[i] - !!p->part[i];
	return (size_t)sum;
}

static bool span_is(struct sg_span s, const char *text)
{
	return s.data && s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* The body of a key step of the run; caller frees. */
static int key_body(struct sg_txn *t, uint64_t seq, struct sg_span run_id, char **ret,
	size_t *ret_len, struct sg_error *err)
{
	struct parsed p = {0};
	int r = fetch(t, seq, &p, err);
	if (r < 0)
		return r;
	if (p.form == SG_BODY_DELTA || p.run_id.len != run_id.len ||
		memcmp(p.run_id.data, run_id.data, run_id.len) != 0)
		return sg_error_set(err, SG_ECORRUPT, NULL, "the key step is none of this run's");
	*ret_len = body_len(&p);
	return sg_body_unpack(p.form, p.packed, SG_SPAN(NULL, 0), *ret_len, ret, err);
}

/* k: the key step that the last record leaned on, or empty; the steps of a run share theirs. */
static int unpack(struct sg_txn *t, const struct parsed *p, const char *run_id,
	struct sg_checkpoint_key *k, char **ret, struct sg_error *err)
{
	struct sg_span base = {0};
	if (p->form == SG_BODY_DELTA) {
		if (p->key == NO_KEY)
			return sg_error_set(err, SG_ECORRUPT, NULL, "a delta without a key step");
		if (!k->body || k->key != p->key) {
			char *body = NULL;
			size_t n = 0;
			int r = key_body(t, p->key - 1, p->run_id, &body, &n, err);
			if (r < 0)
				return r;
			sg_checkpoint_key_set(k, run_id, p->step, p->key, body, n);
		}
		base = SG_SPAN(k->body, k->len);
	}
	return sg_body_unpack(p->form, p->packed, base, body_len(p), ret, err);
}

/* The key step that a new record may lean on: that of the step before it, or that step itself. 0 =
 * none. A base that cannot be read is no base; the new record stands alone. */
static uint64_t find_base(
	struct sg_txn *t, const struct sg_checkpoint *c, char **ret_body, size_t *ret_len)
{
	struct index_key k;
	struct sg_span at, value;
	if (c->parent_step_idx < 0 || c->parent_step_idx >= c->step ||
		make_key(c->run_id, c->parent_step_idx, c->branch_id, &k, NULL) < 0 ||
		sg_txn_get(t, SG_TABLE_STEP_INDEX, SG_SPAN(k.bytes, k.len), &at, NULL) != 0 ||
		at.len != 8 || sg_txn_get(t, SG_TABLE_STEP, at, &value, NULL) != 0)
		return NO_KEY;
	struct sg_record_reader r = {
		.at = value.data, .end = (const uint8_t *)value.data + value.len};
	(void)sg_record_u64(&r);
	uint64_t key = sg_record_u64(&r);
	if (r.bad || key == NO_KEY)
		key = sg_be64_read(at.data) + 1;
	struct sg_span run_id = SG_KEY_TEXT(c->run_id);
	return key_body(t, key - 1, run_id, ret_body, ret_len, NULL) < 0 ? NO_KEY : key;
}

/* The key step that c may lean on, in k: there already, or read from the store. False: none. */
static bool take_base(struct sg_txn *t, const struct sg_checkpoint *c, struct sg_checkpoint_key *k)
{
	char *body = NULL;
	size_t len = 0;
	if (k->body && k->step == c->parent_step_idx && strcmp(k->run_id, c->run_id) == 0)
		return true;
	uint64_t key = find_base(t, c, &body, &len);
	if (len > SG_BODY_DELTA_MAX || key == NO_KEY) {
		free(body);
		return false;
	}
	sg_checkpoint_key_set(k, c->run_id, c->parent_step_idx, key, body, len);
	return true;
}

/* What the step after c leans on. */
static void note_base(struct sg_checkpoint_key *k, const struct sg_checkpoint *c, uint64_t seq,
	bool delta, struct sg_buf *body)
{
	size_t len = body->len;
	if (delta)
		k->step = c->step;
	else
		sg_checkpoint_key_set(k, c->run_id, c->step, seq + 1,
			len <= SG_BODY_DELTA_MAX ? sg_buf_take(body) : NULL, len);
}

static void put_parts(const struct sg_checkpoint *c, struct sg_buf *rec, struct sg_buf *body)
{
	const char *parts[BODY_PARTS] = {
		[BODY_STATE] = c->state,
		[BODY_FACTS] = c->clips_facts,
		[BODY_RECORDED] = c->recorded,
		[BODY_NEXT] = c->next_action,
	};
	size_t len[BODY_PARTS], sum = 0;
	for (int i = 0; i < BODY_PARTS; i++) {
		len[i] = parts[i] ? strlen(parts[i]) : 0;
		sum += len[i];
	}
	(void)sg_buf_reserve(body, sum);
	for (int i = 0; i < BODY_PARTS; i++) {
		sg_record_put_u64(rec, parts[i] ? len[i] + 1 : 0);
		sg_buf_add(body, parts[i], len[i]);
	}
}

static int put_fields(struct sg_buf *b, const struct sg_checkpoint *c)
{
	sg_record_put_text(b, c->run_id);
	sg_record_put_i64(b, c->step);
	sg_record_put_text(b, c->branch_id);
	sg_record_put_i64(b, c->parent_step_idx);
	int r = sg_record_put_hash(b, c->graph_hash);
	if (r == 0)
		r = sg_record_put_hash(b, c->runtime_hash);
	sg_record_put_text(b, c->last_node);
	sg_record_put_i64(b, c->timestamp_us);
	sg_record_put_text(b, c->parent_run_id);
	if (r == 0)
		r = sg_record_put_hash(b, c->side_effects_hash);
	return r;
}

/* The record after its version and key: fields, part lengths, form, packed body. */
static int put_rest(struct sg_buf *rec, const struct sg_checkpoint *c, const struct sg_buf *parts,
	enum sg_body_form form, const struct sg_buf *packed, struct sg_error *err)
{
	if (put_fields(rec, c) < 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"checkpoint %s step %lld: a hash is not 64 hex digits", c->run_id,
			(long long)c->step);
	sg_buf_add(rec, parts->data, parts->len);
	sg_record_put_u64(rec, (uint64_t)form);
	sg_record_put_u64(rec, packed->len);
	sg_buf_add(rec, packed->data, packed->len);
	if (rec->failed || packed->failed)
		return sg_error_set(
			err, SG_ELIMIT, NULL, "a checkpoint of more than %u bytes", SG_RECORD_MAX);
	return 0;
}

static int build(struct sg_txn *t, struct sg_checkpoint_key *k, const struct sg_checkpoint *c,
	uint64_t seq, struct sg_buf *rec, struct sg_span *ret, struct sg_error *err)
{
	sg_autobuf parts = SG_BUF_INIT(64), body = SG_BUF_INIT(SG_RECORD_MAX);
	sg_autobuf packed = SG_BUF_INIT(SG_RECORD_MAX);
	put_parts(c, &parts, &body);
	bool base = body.len >= DELTA_MIN && body.len <= SG_BODY_DELTA_MAX && take_base(t, c, k);
	enum sg_body_form form = sg_body_pack(SG_SPAN(body.data, body.len),
		base ? sg_checkpoint_key_dictionary(k) : NULL, &packed);
	uint8_t key_bytes[8];
	sg_be64(seq, key_bytes);
	sg_record_begin(rec, SG_TABLE_STEP, SG_SPAN(key_bytes, sizeof(key_bytes)));
	sg_record_put_u64(rec, VERSION);
	sg_record_put_u64(rec, form == SG_BODY_DELTA ? k->key : NO_KEY);
	rec->failed |= body.failed;
	int r = put_rest(rec, c, &parts, form, &packed, err);
	if (r == 0)
		note_base(k, c, seq, form == SG_BODY_DELTA, &body);
	return r < 0 ? r : sg_record_seal(rec, ret, err);
}

static int put_record(struct sg_txn *t, struct sg_checkpoint_key *k, const struct sg_checkpoint *c,
	uint64_t seq, struct sg_span at, struct sg_error *err)
{
	sg_autobuf rec = SG_BUF_INIT(SG_RECORD_MAX);
	struct sg_span value;
	int r = build(t, k, c, seq, &rec, &value, err);
	return r < 0 ? r : sg_txn_put(t, SG_TABLE_STEP, at, value, true, err);
}

int sg_checkpoint_put(struct sg_txn *t, struct sg_checkpoint_cache *cache,
	const struct sg_checkpoint *c, struct sg_error *err)
{
	struct index_key k;
	uint64_t seq;
	uint8_t seq_bytes[8];
	int r = make_key(c->run_id, c->step, c->branch_id, &k, err);
	if (r == 0)
		r = sg_txn_next_seq(t, SG_TABLE_STEP, &seq, err);
	if (r < 0)
		return r;
	sg_be64(seq, seq_bytes);
	struct sg_span at = SG_SPAN(seq_bytes, sizeof(seq_bytes));
	r = sg_txn_put_new(t, SG_TABLE_STEP_INDEX, SG_SPAN(k.bytes, k.len), at, err);
	if (r > 0)
		return sg_error_set(err, SG_ECONFLICT, NULL,
			"checkpoint %s step %lld exists already", c->run_id, (long long)c->step);
	if (r < 0)
		return r;
	struct sg_checkpoint_key own = {0}, *kept = &own;
	if (cache && !c->branch_id)
		kept = sg_checkpoint_key_of(cache, c->run_id);
	r = put_record(t, kept, c, seq, at, err);
	sg_checkpoint_key_set(&own, "", 0, 0, NULL, 0);
	return r;
}

static char *copy_span(struct sg_span s, bool *ret_failed)
{
	if (!s.data)
		return NULL;
	char *text = strndup(s.data, s.len);
	if (!text)
		*ret_failed = true;
	return text;
}

static void copy_parts(
	struct sg_checkpoint *c, const struct parsed *p, const char *body, bool *ret_failed)
{
	char **to[BODY_PARTS] = {
		[BODY_STATE] = &c->state,
		[BODY_FACTS] = &c->clips_facts,
		[BODY_RECORDED] = &c->recorded,
		[BODY_NEXT] = &c->next_action,
	};
	for (int i = 0; i < BODY_PARTS; i++) {
		if (!p->part[i])
			continue;
		*to[i] = copy_span(SG_SPAN(body, (size_t)p->part[i] - 1), ret_failed);
		body += p->part[i] - 1;
	}
}

static int materialise(
	const struct parsed *p, const char *body, struct sg_checkpoint *ret, struct sg_error *err)
{
	bool failed = false;
	struct sg_checkpoint c = {
		.step = p->step,
		.parent_step_idx = p->parent_step,
		.timestamp_us = p->timestamp_us,
	};
	if (p->run_id.len >= sizeof(c.run_id))
		return sg_error_set(err, SG_ECORRUPT, NULL, "the record is malformed");
	memcpy(c.run_id, p->run_id.data, p->run_id.len);
	memcpy(c.graph_hash, p->graph_hash, sizeof(c.graph_hash));
	memcpy(c.runtime_hash, p->runtime_hash, sizeof(c.runtime_hash));
	memcpy(c.side_effects_hash, p->side_effects_hash, sizeof(c.side_effects_hash));
	c.branch_id = copy_span(p->branch, &failed);
	c.last_node = copy_span(p->last_node, &failed);
	c.parent_run_id = copy_span(p->parent_run, &failed);
	copy_parts(&c, p, body, &failed);
	if (failed) {
		sg_checkpoint_finish(&c);
		return sg_error_nomem(err);
	}
	*ret = c;
	return 0;
}

static int load_with(struct sg_txn *t, struct sg_span at, const char *run_id, int64_t step,
	struct sg_checkpoint_key *k, struct sg_checkpoint *ret, struct sg_error *err)
{
	struct parsed p = {0};
	sg_autofree char *body = NULL;
	int r = at.len == 8 ? fetch(t, sg_be64_read(at.data), &p, err)
			    : sg_error_set(err, SG_ECORRUPT, NULL, "the index is malformed");
	if (r == 0 && (!span_is(p.run_id, run_id) || p.step != step))
		r = sg_error_set(
			err, SG_ECORRUPT, NULL, "the index names the record of another step");
	if (r == 0)
		r = unpack(t, &p, run_id, k, &body, err);
	if (r == 0)
		r = materialise(&p, body, ret, err);
	if (r < 0)
		(void)sg_error_prefix(err, "run %s step %lld", run_id, (long long)step);
	return r;
}

static int load(struct sg_txn *t, struct sg_span at, const char *run_id, int64_t step,
	struct sg_checkpoint *ret, struct sg_error *err)
{
	struct sg_checkpoint_key k = {0};
	int r = load_with(t, at, run_id, step, &k, ret, err);
	sg_checkpoint_key_set(&k, "", 0, 0, NULL, 0);
	return r;
}

static int64_t key_step(struct sg_span key, size_t prefix)
{
	const uint8_t *b = (const uint8_t *)key.data + prefix;
	return (int64_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

static bool key_of_run(struct sg_span key, const struct index_key *k)
{
	return key.len >= k->prefix + 4 && memcmp(key.data, k->bytes, k->prefix) == 0;
}

/* The cursor on the latest step of the main branch. Positive outcome 1: none. */
static int seek_latest(struct sg_cursor *c, const struct index_key *k, struct sg_span *ret_key,
	struct sg_span *ret_val, struct sg_error *err)
{
	struct index_key past = *k;
	memset(past.bytes + past.prefix, 0xff, 5);
	*ret_key = SG_SPAN(past.bytes, past.prefix + 5);
	int r = sg_cursor_seek(c, SG_SEEK_GE, ret_key, ret_val, err);
	if (r >= 0)
		r = sg_cursor_seek(c, r ? SG_SEEK_LAST : SG_SEEK_PREV, ret_key, ret_val, err);
	while (r == 0 && key_of_run(*ret_key, k) && ret_key->len != k->prefix + 4)
		r = sg_cursor_seek(c, SG_SEEK_PREV, ret_key, ret_val, err);
	return r == 0 && !key_of_run(*ret_key, k) ? 1 : r;
}

static int get_latest(struct sg_txn *t, const char *run_id, const struct index_key *k,
	struct sg_checkpoint *ret, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	struct sg_span key, at;
	int r = sg_cursor_open(t, SG_TABLE_STEP_INDEX, &c, err);
	if (r == 0)
		r = seek_latest(c, k, &key, &at, err);
	return r ? r : load(t, at, run_id, key_step(key, k->prefix), ret, err);
}

int sg_checkpoint_get(struct sg_txn *t, const char *run_id, int64_t step, struct sg_checkpoint *ret,
	struct sg_error *err)
{
	struct index_key k;
	struct sg_span at;
	if (make_key(run_id, step < 0 ? 0 : step, NULL, &k, NULL) < 0)
		return 1; /* no run can be called so */
	if (step < 0)
		return get_latest(t, run_id, &k, ret, err);
	int r = sg_txn_get(t, SG_TABLE_STEP_INDEX, SG_SPAN(k.bytes, k.len), &at, err);
	return r ? r : load(t, at, run_id, step, ret, err);
}

static int each(struct sg_cursor *c, struct sg_txn *t, const struct index_key *prefix,
	const char *run_id, struct sg_checkpoint_key *base,
	int (*visit)(void *ctx, const struct sg_checkpoint *c), void *ctx, struct sg_error *err)
{
	struct sg_span key = SG_SPAN(prefix->bytes, prefix->len), at;
	int r = sg_cursor_seek(c, SG_SEEK_GE, &key, &at, err);
	while (r == 0 && key_of_run(key, prefix)) {
		struct sg_checkpoint cp = {0};
		int64_t step = key_step(key, prefix->prefix);
		r = load_with(t, at, run_id, step, base, &cp, err);
		if (r < 0)
			return r;
		int stop = visit(ctx, &cp);
		sg_checkpoint_finish(&cp);
		if (stop)
			return 0;
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &key, &at, err);
	}
	return r < 0 ? r : 0;
}

int sg_checkpoint_each(struct sg_txn *t, const char *run_id,
	int (*visit)(void *ctx, const struct sg_checkpoint *c), void *ctx, struct sg_error *err)
{
	struct index_key k;
	struct sg_checkpoint_key base = {0};
	sg_autocursor *c = NULL;
	if (make_key(run_id, 0, NULL, &k, NULL) < 0)
		return 0;
	int r = sg_cursor_open(t, SG_TABLE_STEP_INDEX, &c, err);
	if (r == 0)
		r = each(c, t, &k, run_id, &base, visit, ctx, err);
	sg_checkpoint_key_set(&base, "", 0, 0, NULL, 0);
	return r;
}

static json_t *parsed_json(const char *text)
{
	json_t *v = NULL;
	if (!text || sg_json_parse(text, strlen(text), &v, NULL) < 0)
		return json_null();
	return v;
}

/* The original names the subgraph that a step belongs to; here last_node says it: "outer/inner". */
static json_t *branch_of(const struct sg_checkpoint *c)
{
	const char *slash = c->last_node ? strrchr(c->last_node, '/') : NULL;
	if (c->branch_id)
		return json_string(c->branch_id);
	return slash ? json_stringn(c->last_node, (size_t)(slash - c->last_node)) : json_null();
}

json_t *sg_checkpoint_json(const struct sg_checkpoint *c)
{
	char ts[SG_TIME_TEXT];
	sg_time_format(c->timestamp_us, ts);
	json_t *parent = c->parent_step_idx < 0 ? json_null() : json_integer(c->parent_step_idx);
	return json_pack("{s:s, s:I, s:o, s:o, s:s, s:s, s:o, s:o, s:s?, s:o, s:s, s:s?, s:s}",
		"run_id", c->run_id, "step", (json_int_t)c->step, "branch_id", branch_of(c),
		"parent_step_idx", parent, "graph_hash", c->graph_hash, "runtime_hash",
		c->runtime_hash, "state", parsed_json(c->state), "clips_facts",
		parsed_json(c->clips_facts), "last_node", c->last_node, "next_action",
		parsed_json(c->next_action), "timestamp", ts, "parent_run_id", c->parent_run_id,
		"side_effects_hash", c->side_effects_hash);
}
