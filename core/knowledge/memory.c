/* Episodes by scope and time. */
#include "knowledge/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "embed/unicode.h"
#include "knowledge/internal.h"
#include "knowledge/record.h"

#define KEY_MAX (4 + SG_KNOW_SCOPE_TEXT + 8 + SG_KNOW_EPISODE_ID)
#define DAY_S 86400.0

/* ---- scopes ---- */

static int scope_error(struct sg_error *err, const char *what, const char *why)
{
	return sg_error_set(
		err, SG_EINVALID, "MemoryScopeError", "the %s of a scope %s", what, why);
}

static int check_part(const char *what, const char *part, struct sg_error *err)
{
	size_t n = part ? strlen(part) : 0;
	const uint8_t *p = (const uint8_t *)part, *end = p + n;
	uint32_t c;
	if (!n)
		return scope_error(err, what, "is missing");
	if (n > SG_KNOW_SCOPE_PART)
		return scope_error(err, what, "is longer than 100 bytes");
	for (size_t w; p < end; p += w) {
		w = sg_utf8_decode(p, end, &c);
		if (!w)
			return scope_error(err, what, "is not UTF-8");
		if (c == '/' || c < 0x20 || c == 0x7f)
			return scope_error(err, what, "holds '/' or a control character");
	}
	return 0;
}

int sg_know_scope_key(
	const struct sg_know_scope *s, char ret[SG_KNOW_SCOPE_TEXT], struct sg_error *err)
{
	int r = check_part("user", s->user, err);
	if (r == 0)
		r = check_part("session", s->session, err);
	if (r == 0)
		r = check_part("agent", s->agent, err);
	if (r == 0)
		(void)snprintf(ret, SG_KNOW_SCOPE_TEXT, "/user/%s/session/%s/agent/%s/", s->user,
			s->session, s->agent);
	return r;
}

/* The longest prefix of keys that the widened scope has; *ret_more: an agent is left to compare. */
static int prefix_of(const struct sg_know_scope *s, char ret[SG_KNOW_SCOPE_TEXT], bool *ret_more,
	struct sg_error *err)
{
	int r = check_part("user", s->user, err);
	if (r == 0 && s->session)
		r = check_part("session", s->session, err);
	if (r == 0 && s->agent)
		r = check_part("agent", s->agent, err);
	if (r < 0)
		return r;
	*ret_more = s->agent && !s->session;
	if (s->session && s->agent)
		return sg_know_scope_key(s, ret, err);
	int n = snprintf(ret, SG_KNOW_SCOPE_TEXT, "/user/%s/", s->user);
	if (s->session)
		(void)snprintf(ret + n, SG_KNOW_SCOPE_TEXT - (size_t)n, "session/%s/", s->session);
	return 0;
}

/* ---- keys ---- */

static size_t make_key(const struct sg_know_info *s, const char *scope, int64_t ts, const char *id,
	uint8_t key[KEY_MAX])
{
	size_t n = strlen(scope), m = strlen(id);
	sg_know_key(s, 0, key);
	memcpy(key + 4, scope, n);
	sg_be64((uint64_t)ts, key + 4 + n);
	memcpy(key + 12 + n, id, m);
	return 12 + n + m;
}

static struct sg_span id_key(
	const struct sg_know_info *s, const char *id, uint8_t room[4 + SG_KNOW_EPISODE_ID])
{
	sg_know_key(s, 0, room);
	memcpy(room + 4, id, strlen(id));
	return SG_SPAN(room, 4 + strlen(id));
}

/* The key of the episode with this id, copied. Positive outcome 1: none. */
static int key_of(struct sg_txn *t, const struct sg_know_info *s, const char *id,
	uint8_t key[KEY_MAX], size_t *ret_n, struct sg_error *err)
{
	uint8_t room[4 + SG_KNOW_EPISODE_ID];
	struct sg_span v;
	if (!*id || strlen(id) > SG_KNOW_EPISODE_ID)
		return 1;
	int r = sg_txn_get(t, SG_TABLE_KNOW_ID, id_key(s, id, room), &v, err);
	if (r != 0)
		return r;
	if (v.len > KEY_MAX || v.len < 13)
		return sg_know_corrupt(err, s->name, 0, "an entry of its ids is damaged");
	memcpy(key, v.data, v.len);
	*ret_n = v.len;
	return 0;
}

/* ---- writing ---- */

static int check_episode(const struct sg_know_episode *e, struct sg_error *err)
{
	size_t n = e->id ? strlen(e->id) : 0;
	if (!n || n > SG_KNOW_EPISODE_ID)
		return sg_error_set(err, SG_EINVALID, NULL, "an episode's id has 1 to %d bytes",
			SG_KNOW_EPISODE_ID);
	if (!e->content || strlen(e->content) > SG_KNOW_EPISODE_MAX)
		return sg_error_set(err, SG_EINVALID, NULL,
			"an episode's content has at most %u bytes", SG_KNOW_EPISODE_MAX);
	if (e->timestamp_us < 0)
		return sg_error_set(err, SG_EINVALID, NULL, "an episode's time is before 1970");
	if (e->metadata && !json_is_object(e->metadata))
		return sg_error_set(err, SG_EINVALID, NULL, "an episode's metadata is an object");
	return 0;
}

static json_t *episode_json(const struct sg_know_scope *scope, const struct sg_know_episode *e)
{
	char ts[SG_TIME_TEXT];
	sg_time_format(e->timestamp_us, ts);
	json_t *meta = e->metadata ? json_deep_copy(e->metadata) : json_object();
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:s, s:i}", "id", e->id,
		"content", e->content, "timestamp", ts, "source_node",
		e->source_node ? e->source_node : "", "user", scope->user, "session",
		scope->session, "agent", scope->agent, "metadata", meta, "access_count", 0,
		"last_access_ts", ts, "rule_match_count", 0);
}

#define GROWTH 128 /* bytes by which counters and times may grow later */

/* Also makes the episode's record. */
static int make_episode(const struct sg_know_scope *scope, const struct sg_know_episode *e,
	char ret_key[SG_KNOW_SCOPE_TEXT], json_t **ret, struct sg_error *err)
{
	int r = check_episode(e, err);
	if (r == 0)
		r = sg_know_scope_key(scope, ret_key, err);
	if (r < 0)
		return r;
	json_t *j = episode_json(scope, e);
	if (!j)
		return sg_error_set(err, SG_EINVALID, NULL, "an episode's content is not UTF-8");
	r = sg_know_record_fits(j, GROWTH, err);
	if (r < 0) {
		json_decref(j);
		return r;
	}
	*ret = j;
	return 0;
}

int sg_know_episode_check(
	const struct sg_know_scope *scope, const struct sg_know_episode *e, struct sg_error *err)
{
	char key[SG_KNOW_SCOPE_TEXT];
	json_t *j = NULL;
	int r = make_episode(scope, e, key, &j, err);
	json_decref(j);
	return r;
}

static int save(struct sg_txn *t, struct sg_know_info *s, int64_t change, struct sg_error *err)
{
	s->items = (uint64_t)((int64_t)s->items + change);
	s->generation++;
	return sg_know_save(t, s, err);
}

int sg_know_remember(struct sg_txn *t, const char *store, const struct sg_know_scope *scope,
	const struct sg_know_episode *e, struct sg_error *err)
{
	struct sg_know_info s;
	char text[SG_KNOW_SCOPE_TEXT];
	uint8_t key[KEY_MAX], old[KEY_MAX], room[4 + SG_KNOW_EPISODE_ID];
	size_t n, n_old = 0;
	int r = sg_know_open_as(t, store, SG_KNOW_BIT(SG_KNOW_MEMORY), &s, err);
	json_auto_t *j = NULL;
	if (r == 0)
		r = make_episode(scope, e, text, &j, err);
	if (r < 0)
		return r;
	n = make_key(&s, text, e->timestamp_us, e->id, key);
	int found = key_of(t, &s, e->id, old, &n_old, err);
	if (found == 0)
		r = sg_txn_del(t, SG_TABLE_KNOW_EPISODE, SG_SPAN(old, n_old), err);
	if (found >= 0 && r >= 0)
		r = sg_know_record_put(t, SG_TABLE_KNOW_EPISODE, SG_SPAN(key, n), j, err);
	if (found >= 0 && r >= 0)
		r = sg_txn_put(
			t, SG_TABLE_KNOW_ID, id_key(&s, e->id, room), SG_SPAN(key, n), false, err);
	if (found < 0 || r < 0)
		return found < 0 ? found : r;
	return save(t, &s, found > 0, err);
}

int sg_know_forget(struct sg_txn *t, const char *store, const char *id, struct sg_error *err)
{
	struct sg_know_info s;
	uint8_t key[KEY_MAX], room[4 + SG_KNOW_EPISODE_ID];
	size_t n = 0;
	int r = sg_know_open_as(t, store, SG_KNOW_BIT(SG_KNOW_MEMORY), &s, err);
	if (r == 0)
		r = key_of(t, &s, id, key, &n, err);
	if (r != 0)
		return r;
	r = sg_txn_del(t, SG_TABLE_KNOW_EPISODE, SG_SPAN(key, n), err);
	if (r >= 0)
		r = sg_txn_del(t, SG_TABLE_KNOW_ID, id_key(&s, id, room), err);
	return r < 0 ? r : save(t, &s, -1, err);
}

int sg_know_touch(struct sg_txn *t, const char *store, const char *const *ids, size_t n,
	bool access, bool match, int64_t now_us, struct sg_error *err)
{
	struct sg_know_info s;
	char ts[SG_TIME_TEXT];
	sg_time_format(now_us, ts);
	int r = sg_know_open_as(t, store, SG_KNOW_BIT(SG_KNOW_MEMORY), &s, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		uint8_t key[KEY_MAX];
		size_t len = 0;
		json_auto_t *j = NULL;
		r = key_of(t, &s, ids[i], key, &len, err);
		if (r == 0)
			r = sg_know_record_get(
				t, SG_TABLE_KNOW_EPISODE, SG_SPAN(key, len), &j, err);
		if (r != 0)
			continue;
		if (access) {
			sg_json_count(j, "access_count");
			(void)json_object_set_new(j, "last_access_ts", json_string(ts));
		}
		if (match)
			sg_json_count(j, "rule_match_count");
		r = sg_know_record_put(t, SG_TABLE_KNOW_EPISODE, SG_SPAN(key, len), j, err);
	}
	return r < 0 ? r : save(t, &s, 0, err);
}

/* ---- reading ---- */

struct found {
	struct sg_span key, value;
	uint64_t ts;
};

struct recent {
	struct found *list; /* the newest, a plain list sorted when full */
	size_t n, cap, limit;
	bool unmatched; /* only those; ts is turned round, so that the oldest come first */
};

static int newest_first(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (x->ts != y->ts)
		return x->ts > y->ts ? -1 : 1;
	size_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
	int c = memcmp(x->key.data, y->key.data, n);
	return c ? c : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

/* Keeps twice the limit before it sorts and cuts. */
static int take(struct recent *r, struct sg_span key, struct sg_span value, uint64_t ts)
{
	if (r->n == 2 * r->limit) {
		qsort(r->list, r->n, sizeof(*r->list), newest_first);
		r->n = r->limit;
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		struct found *p = realloc(r->list, cap * sizeof(*p));
		if (!p)
			return -1;
		r->list = p;
		r->cap = cap;
	}
	r->list[r->n++] = (struct found){key, value, ts};
	return 0;
}

/* Length of the scope inside a key (after the store id): six separators and the seventh. */
static size_t scope_length(const uint8_t *p, size_t n)
{
	int slashes = 0;
	for (size_t i = 0; i < n; i++)
		if (p[i] == '/' && ++slashes == 7)
			return i + 1;
	return 0;
}

static bool agent_is(const uint8_t *scope, size_t n, const char *agent)
{
	char end[SG_KNOW_SCOPE_PART + 16];
	int m = snprintf(end, sizeof(end), "/agent/%s/", agent);
	return n >= (size_t)m && memcmp(scope + n - m, end, (size_t)m) == 0;
}

/* Positive outcome 1: a rule has matched it. */
static int is_matched(struct sg_span key, struct sg_span value, struct sg_error *err)
{
	json_auto_t *j = NULL;
	int r = sg_know_record_parse(key, value, &j, err);
	return r < 0 ? r : json_integer_value(json_object_get(j, "rule_match_count")) > 0;
}

static int collect(struct sg_txn *t, const struct sg_know_info *s, const char *prefix,
	const char *agent, struct recent *ret, struct sg_error *err)
{
	uint8_t key[KEY_MAX];
	size_t n = 4 + strlen(prefix);
	sg_autocursor *c = NULL;
	sg_know_key(s, 0, key);
	memcpy(key + 4, prefix, n - 4);
	struct sg_span k = SG_SPAN(key, n), v;
	int r = sg_cursor_open(t, SG_TABLE_KNOW_EPISODE, &c, err);
	if (r < 0)
		return r;
	for (r = sg_cursor_seek(c, SG_SEEK_GE, &k, &v, err); r == 0;
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &k, &v, err)) {
		const uint8_t *p = k.data;
		if (k.len < n || memcmp(p, key, n) != 0)
			break;
		size_t scope = scope_length(p + 4, k.len - 4);
		if (!scope || k.len < 4 + scope + 8)
			return sg_know_corrupt(err, s->name, 0, "the key of an episode is damaged");
		if (agent && !agent_is(p + 4, scope, agent))
			continue;
		int matched = ret->unmatched ? is_matched(k, v, err) : 0;
		if (matched < 0)
			return matched;
		uint64_t ts = sg_be64_read(p + 4 + scope);
		if (matched == 0 && take(ret, k, v, ret->unmatched ? UINT64_MAX - ts : ts) < 0)
			return sg_error_nomem(err);
	}
	return r < 0 ? r : 0;
}

static int to_array(struct recent *f, json_t **ret, struct sg_error *err)
{
	json_auto_t *out = json_array();
	if (!out)
		return sg_error_nomem(err);
	if (f->n)
		qsort(f->list, f->n, sizeof(*f->list), newest_first);
	for (size_t i = 0; i < f->n && i < f->limit; i++) {
		json_t *j = NULL;
		int r = sg_know_record_parse(f->list[i].key, f->list[i].value, &j, err);
		if (r < 0)
			return r;
		if (json_array_append_new(out, j) < 0)
			return sg_error_nomem(err);
	}
	*ret = json_incref(out);
	return 0;
}

static int read_scope(struct sg_txn *t, const char *store, const struct sg_know_scope *scope,
	size_t limit, bool unmatched, json_t **ret, struct sg_error *err)
{
	struct sg_know_info s;
	char prefix[SG_KNOW_SCOPE_TEXT];
	bool more;
	if (limit < 1 || limit > SG_KNOW_MAX_K)
		return sg_error_set(err, SG_EINVALID, NULL, "limit is 1 to %d", SG_KNOW_MAX_K);
	struct recent f = {.limit = limit, .unmatched = unmatched};
	int r = sg_know_open_as(t, store, SG_KNOW_BIT(SG_KNOW_MEMORY), &s, err);
	if (r == 0)
		r = prefix_of(scope, prefix, &more, err);
	if (r == 0)
		r = collect(t, &s, prefix, more ? scope->agent : NULL, &f, err);
	if (r == 0)
		r = to_array(&f, ret, err);
	free(f.list);
	return r;
}

int sg_know_recent(struct sg_txn *t, const char *store, const struct sg_know_scope *scope,
	size_t limit, json_t **ret, struct sg_error *err)
{
	return read_scope(t, store, scope, limit, false, ret, err);
}

int sg_know_unmatched(struct sg_txn *t, const char *store, const struct sg_know_scope *scope,
	size_t limit, json_t **ret, struct sg_error *err)
{
	return read_scope(t, store, scope, limit, true, ret, err);
}

/* ---- salience ---- */

double sg_know_salience(const json_t *episode, int64_t now_us, double tau_s)
{
	const json_t *ts = json_object_get(episode, "last_access_ts");
	int64_t last = 0;
	if (!json_is_string(ts) ||
		sg_time_parse(json_string_value(ts), json_string_length(ts), &last) < 0)
		return 0;
	double accesses = json_number_value(json_object_get(episode, "access_count"));
	double matches = json_number_value(json_object_get(episode, "rule_match_count"));
	double age = (double)(now_us - last) / 1e6;
	double recency = exp(-age / (tau_s > 0 ? tau_s : DAY_S));
	double score = recency * tanh(accesses / 10) * tanh(matches / 5);
	return score < 0 ? 0 : score > 1 ? 1 : score;
}

struct scored {
	json_t *episode; /* borrowed */
	const char *id, *ts;
	double score;
};

static int salient_first(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	int c = strcmp(y->ts, x->ts); /* one width, so text order is time order */
	return c ? c : strcmp(x->id, y->id);
}

int sg_know_by_salience(
	json_t *episodes, int64_t now_us, double tau_s, json_t **ret, struct sg_error *err)
{
	size_t n = json_array_size(episodes), i;
	json_t *e;
	sg_autofree struct scored *list = calloc(n + 1, sizeof(*list));
	json_auto_t *out = json_array();
	if (!list || !out)
		return sg_error_nomem(err);
	json_array_foreach (episodes, i, e) {
		list[i] = (struct scored){e, sg_json_text_or_empty(e, "id"),
			sg_json_text_or_empty(e, "timestamp"), sg_know_salience(e, now_us, tau_s)};
	}
	qsort(list, n, sizeof(*list), salient_first);
	for (i = 0; i < n; i++)
		if (json_object_set_new(list[i].episode, "salience", json_real(list[i].score)) <
				0 ||
			json_array_append(out, list[i].episode) < 0)
			return sg_error_nomem(err);
	*ret = json_incref(out);
	return 0;
}

int sg_know_memory_check(
	struct sg_txn *t, const struct sg_know_info *s, uint64_t *ret_n, struct sg_error *err)
{
	uint8_t key[SG_KNOW_KEY_BYTES];
	sg_autocursor *c = NULL;
	sg_know_key(s, 0, key);
	struct sg_span k = SG_SPAN(key, 4), v;
	int r = sg_cursor_open(t, SG_TABLE_KNOW_EPISODE, &c, err);
	if (r < 0)
		return r;
	for (r = sg_cursor_seek(c, SG_SEEK_GE, &k, &v, err); r == 0;
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &k, &v, err)) {
		json_auto_t *j = NULL;
		if (k.len < 4 || memcmp(k.data, key, 4) != 0)
			break;
		int e = sg_know_record_parse(k, v, &j, err);
		if (e < 0)
			return e;
		(*ret_n)++;
	}
	return r < 0 ? r : 0;
}
