/* Which stores an environment has: one JSON row each, with the drift tuple of those with vectors.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/suggest.h"
#include "knowledge/internal.h"
#include "knowledge/scan.h"

static const char *const providers[] = {"vector", "document", "memory", "fact"};
static const char *const metrics[] = {"cosine", "dot", "l2"};

const char *sg_know_provider_name(enum sg_know_provider p)
{
	return providers[p];
}

const char *sg_know_metric_name(enum sg_know_metric m)
{
	return metrics[m];
}

static int parse_word(const char *what, const char *word, const char *const *known, size_t n,
	unsigned *ret, struct sg_error *err)
{
	for (size_t i = 0; word && i < n; i++)
		if (strcmp(word, known[i]) == 0) {
			*ret = (unsigned)i;
			return 0;
		}
	const char *near = word ? sg_suggest(word, known, n) : NULL;
	return sg_error_set(err, SG_EINVALID, NULL, "no %s \"%.40s\"%s%s%s", what, word ? word : "",
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int sg_know_provider_parse(const char *name, enum sg_know_provider *ret, struct sg_error *err)
{
	unsigned v;
	int r = parse_word("provider", name, providers, SG_ARRAY_LEN(providers), &v, err);
	if (r == 0)
		*ret = (enum sg_know_provider)v;
	return r;
}

int sg_know_metric_parse(const char *name, enum sg_know_metric *ret, struct sg_error *err)
{
	unsigned v;
	int r = parse_word("metric", name, metrics, SG_ARRAY_LEN(metrics), &v, err);
	if (r == 0)
		*ret = (enum sg_know_metric)v;
	return r;
}

void sg_know_drift_of(const struct sg_embedder *e, struct sg_know_drift *ret)
{
	const struct sg_model_info *m = sg_embedder_info(e);
	memset(ret, 0, sizeof(*ret));
	(void)snprintf(
		ret->model_id, sizeof(ret->model_id), "sentence-transformers/all-MiniLM-L6-v2");
	/* The files carry no name of a revision: that of the tokenizer they came with. */
	(void)snprintf(
		ret->revision, sizeof(ret->revision), "tokenizer:%.64s", m->tokenizer_sha256);
	memcpy(ret->content_sha256, m->content_sha256, sizeof(ret->content_sha256));
	ret->dims = SG_EMBED_DIM;
}

static bool name_valid(const char *name)
{
	size_t n = strlen(name);
	if (!n || n >= SG_KNOW_NAME_TEXT || !islower((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];
		if (!islower(c) && !isdigit(c) && c != '_' && c != '-')
			return false;
	}
	return true;
}

size_t sg_know_stride(const struct sg_know_info *s)
{
	return ((size_t)s->drift.dims + SG_SCAN_PAD - 1) / SG_SCAN_PAD * SG_SCAN_PAD;
}

static json_t *drift_json(const struct sg_know_drift *d)
{
	return json_pack("{s:s, s:s, s:s, s:i}", "model_id", d->model_id, "revision", d->revision,
		"content_sha256", d->content_sha256, "dims", d->dims);
}

static json_t *to_json(const struct sg_know_info *s)
{
	json_t *j = json_pack("{s:I, s:s, s:s, s:o, s:I, s:I, s:I, s:I}", "id", (json_int_t)s->id,
		"provider", providers[s->provider], "metric", metrics[s->metric], "drift",
		drift_json(&s->drift), "generation", (json_int_t)s->generation, "items",
		(json_int_t)s->items, "rows", (json_int_t)s->rows, "created_us",
		(json_int_t)s->created_us);
	if (j && s->migrating &&
		(json_object_set_new(j, "target", drift_json(&s->target)) < 0 ||
			json_object_set_new(j, "next_segment",
				json_integer((json_int_t)s->next_segment)) < 0)) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static int corrupt(struct sg_error *err, const char *name, const char *what)
{
	return sg_error_set(
		err, SG_ECORRUPT, "store-corrupt", "knowledge store \"%s\": %s", name, what);
}

static int copy_text(const json_t *j, const char *key, char *ret, size_t size)
{
	const char *s = json_string_value(json_object_get(j, key));
	if (!s || strlen(s) >= size)
		return -1;
	memcpy(ret, s, strlen(s) + 1);
	return 0;
}

static bool get_number(const json_t *j, const char *key, int64_t max, int64_t *ret)
{
	const json_t *v = json_object_get(j, key);
	*ret = json_integer_value(v);
	return json_is_integer(v) && *ret >= 0 && *ret <= max;
}

static int drift_fields(const json_t *j, struct sg_know_drift *d)
{
	int64_t dims;
	if (!get_number(j, "dims", SG_KNOW_DIMS_MAX, &dims))
		return -1;
	d->dims = (int)dims;
	if (copy_text(j, "model_id", d->model_id, sizeof(d->model_id)) < 0 ||
		copy_text(j, "revision", d->revision, sizeof(d->revision)) < 0)
		return -1;
	return copy_text(j, "content_sha256", d->content_sha256, sizeof(d->content_sha256));
}

static int fields(const json_t *j, struct sg_know_info *s)
{
	int64_t id, generation, items, rows, created, next = 0;
	const json_t *target = json_object_get(j, "target");
	if (!get_number(j, "id", UINT32_MAX, &id) ||
		!get_number(j, "generation", INT64_MAX, &generation) ||
		!get_number(j, "items", INT64_MAX, &items) ||
		!get_number(j, "rows", SG_KNOW_MAX_ROWS, &rows) ||
		!get_number(j, "created_us", INT64_MAX, &created))
		return -1;
	s->id = (uint32_t)id;
	s->generation = (uint64_t)generation;
	s->items = (uint64_t)items;
	s->rows = (uint32_t)rows;
	s->created_us = created;
	s->migrating = target != NULL;
	if (target && (!get_number(j, "next_segment", SG_KNOW_MAX_ROWS, &next) ||
			      drift_fields(target, &s->target) < 0))
		return -1;
	s->next_segment = (uint32_t)next;
	if (sg_know_provider_parse(
		    json_string_value(json_object_get(j, "provider")), &s->provider, NULL) < 0 ||
		sg_know_metric_parse(
			json_string_value(json_object_get(j, "metric")), &s->metric, NULL) < 0 ||
		drift_fields(json_object_get(j, "drift"), &s->drift) < 0)
		return -1;
	return (s->provider == SG_KNOW_VECTOR) == (s->drift.dims > 0) ? 0 : -1;
}

static int parse(
	struct sg_span name, struct sg_span value, struct sg_know_info *ret, struct sg_error *err)
{
	json_auto_t *j = NULL;
	struct sg_know_info s = {0};
	if (name.len >= sizeof(s.name))
		return corrupt(err, "", "a name is too long");
	memcpy(s.name, name.data, name.len);
	if (sg_json_parse(value.data, value.len, &j, NULL) < 0 || fields(j, &s) < 0)
		return corrupt(err, s.name, "its description does not parse");
	*ret = s;
	return 0;
}

int sg_know_save(struct sg_txn *t, const struct sg_know_info *s, struct sg_error *err)
{
	json_auto_t *j = to_json(s);
	sg_autobuf b = SG_BUF_INIT(4096);
	if (!j)
		return sg_error_nomem(err);
	int r = sg_json_print(j, &b, err);
	return r < 0 ? r
		     : sg_txn_put(t, SG_TABLE_KNOW, SG_KEY_TEXT(s->name), SG_SPAN(b.data, b.len),
			       false, err);
}

int sg_know_list(struct sg_txn *t, struct sg_know_info **ret, size_t *ret_n, struct sg_error *err)
{
	sg_autocursor *c = NULL;
	sg_autofree struct sg_know_info *list = NULL;
	struct sg_span k, v;
	size_t n = 0;
	int r = sg_cursor_open(t, SG_TABLE_KNOW, &c, err);
	if (r < 0)
		return r;
	list = calloc(SG_KNOW_MAX_STORES, sizeof(*list));
	if (!list)
		return sg_error_nomem(err);
	for (r = sg_cursor_seek(c, SG_SEEK_FIRST, &k, &v, err); r == 0 && n < SG_KNOW_MAX_STORES;
		r = sg_cursor_seek(c, SG_SEEK_NEXT, &k, &v, err)) {
		r = parse(k, v, &list[n++], err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret_n = n;
	*ret = sg_steal(list);
	return 0;
}

static int unknown(struct sg_txn *t, const char *name, struct sg_error *err)
{
	sg_autofree struct sg_know_info *list = NULL;
	const char *names[SG_KNOW_MAX_STORES];
	size_t n = 0;
	if (sg_know_list(t, &list, &n, NULL) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++)
		names[i] = list[i].name;
	const char *near = sg_suggest(name, names, n);
	return sg_error_set(err, SG_ENOTFOUND, "unknown-store",
		"no knowledge store \"%.64s\"%s%s%s", name, near ? "; did you mean \"" : "",
		near ? near : "", near ? "\"?" : "");
}

int sg_know_open(struct sg_txn *t, const char *name, struct sg_know_info *ret, struct sg_error *err)
{
	struct sg_span v;
	size_t n = strlen(name);
	if (!n || n >= SG_KNOW_NAME_TEXT)
		return unknown(t, name, err);
	int r = sg_txn_get(t, SG_TABLE_KNOW, SG_SPAN(name, n), &v, err);
	if (r != 0)
		return r < 0 ? r : unknown(t, name, err);
	return parse(SG_SPAN(name, n), v, ret, err);
}

int sg_know_open_as(struct sg_txn *t, const char *name, unsigned allowed, struct sg_know_info *ret,
	struct sg_error *err)
{
	struct sg_know_info s;
	int r = sg_know_open(t, name, &s, err);
	if (r < 0)
		return r;
	if (!(allowed & SG_KNOW_BIT(s.provider)))
		return sg_error_set(err, SG_EINVALID, "store-provider",
			"store \"%s\" is of provider %s, which cannot do this", name,
			providers[s.provider]);
	*ret = s;
	return 0;
}

bool sg_know_same_drift(const struct sg_know_drift *a, const struct sg_know_drift *b)
{
	return strcmp(a->model_id, b->model_id) == 0 && strcmp(a->revision, b->revision) == 0 &&
	       strcmp(a->content_sha256, b->content_sha256) == 0 && a->dims == b->dims;
}

static void tuple_text(const struct sg_know_drift *d, char *ret, size_t size)
{
	(void)snprintf(ret, size, "(%s, %s, %s, %d)", d->model_id, d->revision, d->content_sha256,
		d->dims);
}

int sg_know_check_drift(
	const struct sg_know_info *s, const struct sg_know_drift *now, struct sg_error *err)
{
	char stored[320], given[320] = "no model";
	if (s->migrating) {
		tuple_text(&s->target, given, sizeof(given));
		return sg_error_set(err, SG_EREFUSED, "IncompatibleEmbeddingHashError",
			"store \"%s\" is half re-embedded to %s; `stargraph store reembed` goes on",
			s->name, given);
	}
	if (s->provider != SG_KNOW_VECTOR || (now && sg_know_same_drift(&s->drift, now)))
		return 0;
	tuple_text(&s->drift, stored, sizeof(stored));
	if (now)
		tuple_text(now, given, sizeof(given));
	return sg_error_set(err, SG_EREFUSED, "IncompatibleEmbeddingHashError",
		"store \"%s\" holds vectors of %s, the model in use is %s; `stargraph store "
		"reembed` migrates it",
		s->name, stored, given);
}

/* There already: the same, or a conflict. */
static int compare(const struct sg_know_info *old, enum sg_know_provider provider,
	enum sg_know_metric metric, const struct sg_know_drift *drift, struct sg_error *err)
{
	if (old->provider != provider)
		return sg_error_set(err, SG_ECONFLICT, "store-exists",
			"store \"%s\" exists with provider %s, not %s", old->name,
			providers[old->provider], providers[provider]);
	if (provider == SG_KNOW_VECTOR && old->metric != metric)
		return sg_error_set(err, SG_ECONFLICT, "store-exists",
			"store \"%s\" exists with metric %s, not %s", old->name,
			metrics[old->metric], metrics[metric]);
	return sg_know_check_drift(old, drift, err);
}

static int check_new(const char *name, enum sg_know_provider provider,
	const struct sg_know_drift *drift, struct sg_error *err)
{
	if (!name_valid(name))
		return sg_error_set(err, SG_EINVALID, NULL,
			"\"%.80s\" is no name of a store: a-z first, then a-z, 0-9, _ and -, at "
			"most 63",
			name);
	if (provider == SG_KNOW_VECTOR && !drift)
		return sg_error_set(err, SG_EREFUSED, "LocalEntryNotFoundError",
			"store \"%s\": provider vector needs the embedding model", name);
	if (provider == SG_KNOW_VECTOR && (drift->dims < 1 || drift->dims > SG_KNOW_DIMS_MAX))
		return sg_error_set(err, SG_EINVALID, NULL, "store \"%s\": 1 to %d dimensions",
			name, SG_KNOW_DIMS_MAX);
	return 0;
}

int sg_know_create(struct sg_txn *t, const char *name, enum sg_know_provider provider,
	enum sg_know_metric metric, const struct sg_know_drift *drift, struct sg_error *err)
{
	struct sg_know_info s = {0};
	sg_autofree struct sg_know_info *list = NULL;
	size_t n = 0;
	int r = check_new(name, provider, drift, err);
	if (r == 0)
		r = sg_know_list(t, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].name, name) == 0)
			return compare(&list[i], provider, metric, drift, err);
		if (list[i].id >= s.id)
			s.id = list[i].id + 1;
	}
	if (n == SG_KNOW_MAX_STORES)
		return sg_error_set(
			err, SG_ELIMIT, NULL, "there are %d stores already", SG_KNOW_MAX_STORES);
	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	s.provider = provider;
	s.metric = metric;
	s.created_us = sg_clock_utc_us();
	if (provider == SG_KNOW_VECTOR)
		s.drift = *drift;
	return sg_know_save(t, &s, err);
}
