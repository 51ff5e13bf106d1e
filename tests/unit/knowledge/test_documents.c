/* knowledge: documents come back as written, whatever was added, changed and deleted in between;
 * what is damaged is named and never served; vectors of another model are refused. */
#include "know.h"

#include <sys/wait.h>

#define MODEL_DOCS 300

/* The plain model that a store is compared with. */
struct model {
	bool there[MODEL_DOCS];
	char text[MODEL_DOCS][64];
	int year[MODEL_DOCS];
	float vector[MODEL_DOCS][DIMS];
};

static void put_model(struct sg_txn *t, const char *name, struct model *m, const int *which, int n)
{
	struct sg_know_doc docs[64];
	char ids[64][16];
	json_t *metas[64];
	struct sg_error err = {0};
	for (int i = 0; i < n; i++) {
		int d = which[i];
		(void)snprintf(ids[i], sizeof(ids[i]), "doc-%d", d);
		metas[i] = json_pack("{s:i, s:b}", "year", m->year[d], "even", d % 2 == 0);
		docs[i] = (struct sg_know_doc){.id = ids[i],
			.text = m->text[d],
			.text_len = strlen(m->text[d]),
			.metadata = metas[i],
			.vector = m->vector[d]};
	}
	if (sg_know_put(t, name, docs, (size_t)n, NULL, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < n; i++)
		json_decref(metas[i]);
}

static void change(struct model *m, int d)
{
	static const char *const words[] = {"apple", "pear", "plum", "cherry", "quince"};
	m->there[d] = true;
	(void)snprintf(m->text[d], sizeof(m->text[d]), "%s %s number %u", words[rnd(5)],
		words[rnd(5)], rnd(1000));
	m->year[d] = 2000 + (int)rnd(30);
	random_vector(m->vector[d], DIMS);
}

static void compare(struct sg_store *s, const char *name, const struct model *m)
{
	struct sg_know_info info;
	struct sg_error err = {0};
	struct sg_txn *t = begin(s, false);
	uint64_t n = 0, stores = 0, items = 0, bad = 0;
	for (int d = 0; d < MODEL_DOCS; d++) {
		char id[16];
		json_t *doc = NULL;
		(void)snprintf(id, sizeof(id), "doc-%d", d);
		int r = sg_know_get(t, name, id, &doc, &err);
		if (r < 0)
			fail_msg("%s", err.text);
		assert_int_equal(r == 0, m->there[d]);
		n += m->there[d];
		if (r != 0)
			continue;
		assert_string_equal(json_string_value(json_object_get(doc, "text")), m->text[d]);
		assert_int_equal(json_integer_value(
					 json_object_get(json_object_get(doc, "metadata"), "year")),
			m->year[d]);
		json_decref(doc);
	}
	assert_int_equal(sg_know_open(t, name, &info, NULL), 0);
	assert_int_equal(info.items, n);
	assert_int_equal(sg_know_check(t, NULL, NULL, &stores, &items, &bad, NULL), 0);
	assert_int_equal(items, n);
	assert_int_equal(bad, 0);
	sg_txn_abort(t);
}

/* One random write: some documents put, some deleted. */
static void write_some(struct sg_txn *t, const char *name, struct model *m)
{
	int which[64], n = 0;
	bool taken[MODEL_DOCS] = {false};
	for (int i = 1 + (int)rnd(60); i > 0; i--) {
		int d = (int)rnd(MODEL_DOCS);
		if (taken[d])
			continue;
		taken[d] = true;
		change(m, d);
		which[n++] = d;
	}
	put_model(t, name, m, which, n);
	for (int i = (int)rnd(40); i > 0; i--) {
		char id[16];
		const char *ids[] = {id};
		int d = (int)rnd(MODEL_DOCS);
		(void)snprintf(id, sizeof(id), "doc-%d", d);
		assert_int_equal(sg_know_delete(t, name, ids, 1, NULL, NULL), 0);
		m->there[d] = false;
	}
}

/* After every write the resident copy, kept up to date, equals one made anew. */
static void same_as_fresh(struct sg_know_indexes *kept, struct sg_store *s, const char *name)
{
	struct sg_know_indexes *fresh = NULL;
	float v[DIMS];
	json_auto_t *filter = json_pack("{s:{s:i}, s:b}", "year", "gte", 2010, "even", true);
	assert_int_equal(sg_know_indexes_create(&fresh, 0, NULL), 0);
	random_vector(v, DIMS);
	for (int mode = 0; mode < 3; mode++) {
		struct sg_know_query q = {.store = name,
			.mode = (enum sg_know_mode)mode,
			.vector = v,
			.text = "plums and cherries",
			.text_len = 18,
			.filter = rnd(2) ? filter : NULL,
			.k = 20,
			.with_text = true};
		json_auto_t *a = search(kept, s, &q), *b = search(fresh, s, &q);
		assert_true(json_equal(a, b));
	}
	sg_know_indexes_destroy(fresh);
}

static void any_writes_leave_what_a_plain_model_has(void **state)
{
	struct sg_store *s = open_store(*state);
	struct model *m = calloc(1, sizeof(*m));
	struct sg_know_indexes *x = NULL;
	create(s, "docs", SG_KNOW_VECTOR, SG_KNOW_DOT);
	assert_int_equal(sg_know_indexes_create(&x, 0, NULL), 0);
	for (int round = 0; round < 60; round++) {
		struct model *before = malloc(sizeof(*m));
		memcpy(before, m, sizeof(*m));
		struct sg_txn *t = begin(s, true);
		write_some(t, "docs", m);
		if (rnd(4) == 0) { /* a write that does not happen */
			sg_txn_abort(t);
			memcpy(m, before, sizeof(*m));
		} else {
			assert_int_equal(sg_txn_commit(t, NULL), 0);
		}
		free(before);
		if (round % 10 == 9) {
			compare(s, "docs", m);
			sg_store_close(s);
			s = open_store(*state);
		}
		same_as_fresh(x, s, "docs");
	}
	compare(s, "docs", m);
	sg_know_indexes_destroy(x);
	sg_store_close(s);
	free(m);
}

/* A child writes on and is killed; what it had committed is there whole, the rest not at all. */
static void a_kill_between_writes_leaves_whole_writes(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct sg_store *s = open_store(*state);
	create(s, "docs", SG_KNOW_VECTOR, SG_KNOW_COSINE);
	sg_store_close(s);
	for (int round = 0; round < 6; round++) {
		int fds[2];
		char done = 0;
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			s = open_store(*state);
			for (int i = 0; i < 3; i++) {
				struct sg_txn *t = begin(s, true);
				write_some(t, "docs", m);
				if (sg_txn_commit(t, NULL) == 0 && write(fds[1], "x", 1) != 1)
					break;
			}
			write_some(begin(s, true), "docs", m);
			(void)kill(getpid(), SIGKILL);
		}
		(void)close(fds[1]);
		int commits = 0;
		while (read(fds[0], &done, 1) == 1)
			commits++;
		(void)close(fds[0]);
		(void)waitpid(pid, NULL, 0);
		assert_int_equal(commits, 3);
		for (int i = 0; i < 3; i++) { /* the same writes on the model: rnd is forked too */
			struct sg_know_drift d = test_drift("aa");
			char scratch[] = "/tmp/sg-know-XXXXXX";
			assert_non_null(mkdtemp(scratch));
			struct sg_store *other = open_store(scratch);
			struct sg_txn *t = begin(other, true);
			assert_int_equal(
				sg_know_create(t, "docs", SG_KNOW_VECTOR, SG_KNOW_COSINE, &d, NULL),
				0);
			write_some(t, "docs", m);
			sg_txn_abort(t);
			sg_store_close(other);
			void *path = strdup(scratch);
			(void)tmp_teardown(&path);
		}
		s = open_store(*state);
		compare(s, "docs", m);
		sg_store_close(s);
	}
	free(m);
}

static void unchanged_documents_are_not_written(void **state)
{
	struct sg_store *s = open_store(*state);
	struct sg_know_counts n = {0};
	struct sg_know_info before, after;
	const struct sg_know_doc d = {.id = "a", .text = "one text", .text_len = 8};
	uint8_t hash[SG_SHA256_BYTES];
	create(s, "plain", SG_KNOW_DOCUMENT, SG_KNOW_COSINE);
	struct sg_txn *t = begin(s, true);
	assert_int_equal(sg_know_put(t, "plain", &d, 1, &n, NULL), 0);
	assert_int_equal(sg_know_open(t, "plain", &before, NULL), 0);
	assert_int_equal(sg_know_doc_hash(&d, hash, NULL), 0);
	assert_int_equal(sg_know_has(t, &before, "a", hash, NULL), 1);
	assert_int_equal(sg_know_has(t, &before, "b", hash, NULL), 0);
	assert_int_equal(sg_know_put(t, "plain", &d, 1, &n, NULL), 0);
	assert_int_equal(sg_know_open(t, "plain", &after, NULL), 0);
	assert_int_equal(n.added, 1);
	assert_int_equal(n.unchanged, 1);
	assert_int_equal(before.generation, after.generation);
	sg_txn_abort(t);
	sg_store_close(s);
}

/* Changes one byte of one value of a table. */
static void damage(struct sg_store *s, enum sg_table table, size_t from_end)
{
	struct sg_txn *t = begin(s, true);
	sg_autocursor *c = NULL;
	struct sg_span k, v;
	assert_int_equal(sg_cursor_open(t, table, &c, NULL), 0);
	assert_int_equal(sg_cursor_seek(c, SG_SEEK_FIRST, &k, &v, NULL), 0);
	sg_autofree char *copy = malloc(v.len), *key = malloc(k.len);
	memcpy(copy, v.data, v.len);
	memcpy(key, k.data, k.len);
	copy[v.len - 1 - from_end] ^= 1;
	sg_cursor_close(sg_steal(c));
	assert_int_equal(
		sg_txn_put(t, table, SG_SPAN(key, k.len), SG_SPAN(copy, v.len), false, NULL), 0);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
}

static void count_report(void *ctx, const char *what)
{
	assert_non_null(strstr(what, "docs"));
	++*(int *)ctx;
}

static void what_is_damaged_is_named_and_never_served(void **state)
{
	static const enum sg_table tables[] = {
		SG_TABLE_KNOW_VECTOR, SG_TABLE_KNOW_SIDE, SG_TABLE_KNOW_DOC, SG_TABLE_KNOW_DIR};
	for (size_t i = 0; i < SG_ARRAY_LEN(tables); i++) {
		struct sg_store *s = open_store(*state);
		struct model *m = calloc(1, sizeof(*m));
		struct sg_know_indexes *x = NULL;
		int which[] = {0, 1, 2}, reports = 0;
		float v[DIMS] = {1};
		uint64_t stores, items, bad;
		json_t *hits = NULL;
		struct sg_error err = {0};
		create(s, "docs", SG_KNOW_VECTOR, SG_KNOW_COSINE);
		struct sg_txn *t = begin(s, true);
		for (int d = 0; d < 3; d++)
			change(m, d);
		put_model(t, "docs", m, which, 3);
		assert_int_equal(sg_txn_commit(t, NULL), 0);
		damage(s, tables[i], 4);
		assert_int_equal(sg_know_indexes_create(&x, 0, NULL), 0);
		struct sg_know_query q = {.store = "docs", .vector = v, .k = 3, .with_text = true};
		t = begin(s, false);
		assert_int_equal(sg_know_search(x, t, &q, &hits, &err), -SG_ECORRUPT);
		assert_string_equal(err.kind, "store-corrupt");
		assert_int_equal(
			sg_know_check(t, count_report, &reports, &stores, &items, &bad, NULL), 0);
		assert_true(bad > 0 && reports == (int)bad);
		sg_txn_abort(t);
		t = begin(s, true);
		change(m, 0);
		struct sg_know_doc d = {
			.id = "doc-0", .text = "new", .text_len = 3, .vector = m->vector[0]};
		if (tables[i] != SG_TABLE_KNOW_DOC)
			assert_int_equal(sg_know_put(t, "docs", &d, 1, NULL, NULL), -SG_ECORRUPT);
		sg_txn_abort(t);
		sg_know_indexes_destroy(x);
		sg_store_close(s);
		free(m);
		void *dir = *state;
		(void)tmp_teardown(&dir);
		assert_int_equal(tmp_setup(state), 0);
	}
}

static void vectors_of_another_model_are_refused(void **state)
{
	struct sg_store *s = open_store(*state);
	struct sg_know_info info;
	struct sg_error err = {0};
	struct sg_know_drift other = test_drift("bb"), same = test_drift("aa");
	create(s, "docs", SG_KNOW_VECTOR, SG_KNOW_COSINE);
	struct sg_txn *t = begin(s, true);
	assert_int_equal(sg_know_open(t, "docs", &info, NULL), 0);
	assert_int_equal(sg_know_check_drift(&info, &same, NULL), 0);
	assert_int_equal(sg_know_check_drift(&info, &other, &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "IncompatibleEmbeddingHashError");
	assert_non_null(strstr(err.text, "(test/model, 1, aa, 40)"));
	assert_non_null(strstr(err.text, "(test/model, 1, bb, 40)"));
	assert_int_equal(sg_know_check_drift(&info, NULL, &err), -SG_EREFUSED);
	assert_int_equal(sg_know_create(t, "docs", SG_KNOW_VECTOR, SG_KNOW_COSINE, &other, &err),
		-SG_EREFUSED);
	assert_int_equal(sg_know_create(t, "docs", SG_KNOW_VECTOR, SG_KNOW_COSINE, &same, NULL), 0);
	assert_int_equal(sg_know_create(t, "docs", SG_KNOW_DOCUMENT, SG_KNOW_COSINE, NULL, &err),
		-SG_ECONFLICT);
	assert_int_equal(sg_know_open(t, "doc", &info, &err), -SG_ENOTFOUND);
	assert_non_null(strstr(err.text, "did you mean \"docs\"?"));
	sg_txn_abort(t);
	sg_store_close(s);
}

static int embed_ones(void *ctx, const char *const *texts, const size_t *lens, size_t n,
	float *ret_vectors, struct sg_error *err)
{
	(void)err;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(strlen(texts[i]) >= lens[i], 1);
		for (size_t k = 0; k < DIMS; k++)
			ret_vectors[i * DIMS + k] = k == lens[i] % DIMS;
	}
	++*(int *)ctx;
	return 0;
}

static void reembedding_goes_on_where_it_stopped(void **state)
{
	struct sg_store *s = open_store(*state);
	struct model *m = calloc(1, sizeof(*m));
	struct sg_know_drift to = test_drift("bb"), from = test_drift("aa");
	struct sg_know_info info;
	struct sg_error err = {0};
	int which[50], calls = 0, r = 1;
	uint32_t done, total;
	create(s, "docs", SG_KNOW_VECTOR, SG_KNOW_DOT);
	struct sg_txn *t = begin(s, true);
	for (int from_doc = 0; from_doc < 200; from_doc += 50) {
		for (int d = 0; d < 50; d++) {
			which[d] = from_doc + d;
			change(m, from_doc + d);
		}
		put_model(t, "docs", m, which, 50);
	}
	assert_int_equal(sg_txn_commit(t, NULL), 0);
	for (int step = 0; r == 1; step++) {
		t = begin(s, true);
		r = sg_know_reembed_step(t, "docs", &to, embed_ones, &calls, &done, &total, &err);
		assert_true(r >= 0);
		assert_int_equal(sg_know_open(t, "docs", &info, NULL), 0);
		if (r == 1) { /* half done: neither model may use it */
			assert_int_equal(sg_know_check_drift(&info, &to, &err), -SG_EREFUSED);
			assert_int_equal(sg_know_check_drift(&info, &from, &err), -SG_EREFUSED);
		}
		assert_int_equal(sg_txn_commit(t, NULL), 0);
		sg_store_close(s);
		s = open_store(*state);
	}
	assert_int_equal(total, 4);
	assert_int_equal(calls, 4);
	t = begin(s, false);
	assert_int_equal(sg_know_open(t, "docs", &info, NULL), 0);
	assert_int_equal(sg_know_check_drift(&info, &to, NULL), 0);
	sg_txn_abort(t);
	compare(s, "docs", m);
	struct sg_know_indexes *x = NULL;
	assert_int_equal(sg_know_indexes_create(&x, 0, NULL), 0);
	float v[DIMS] = {0};
	v[strlen(m->text[7]) % DIMS] = 1;
	struct sg_know_query q = {.store = "docs", .vector = v, .k = 1};
	json_auto_t *hits = search(x, s, &q);
	assert_true(hit_score(hits, 0) == 1);
	sg_know_indexes_destroy(x);
	sg_store_close(s);
	free(m);
}

static void wrong_documents_are_refused_whole(void **state)
{
	struct sg_store *s = open_store(*state);
	float v[DIMS] = {1}, zero[DIMS] = {0}, nan[DIMS] = {__builtin_nanf("")};
	json_auto_t *nested = json_pack("{s:{}}", "a");
	char long_id[SG_KNOW_ID_MAX + 2];
	memset(long_id, 'x', sizeof(long_id));
	long_id[sizeof(long_id) - 1] = '\0';
	const struct sg_know_doc bad[] = {
		{.id = "", .text = "", .vector = v},
		{.id = long_id, .text = "", .vector = v},
		{.id = "a", .text = "\xff", .text_len = 1, .vector = v},
		{.id = "a", .text = "", .metadata = nested, .vector = v},
		{.id = "a", .text = ""},
		{.id = "a", .text = "", .vector = zero},
		{.id = "a", .text = "", .vector = nan},
	};
	create(s, "docs", SG_KNOW_VECTOR, SG_KNOW_COSINE);
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		struct sg_error err = {0};
		struct sg_txn *t = begin(s, true);
		assert_int_equal(sg_know_put(t, "docs", &bad[i], 1, NULL, &err), -SG_EINVALID);
		assert_true(err.text[0]);
		sg_txn_abort(t);
	}
	sg_store_close(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(any_writes_leave_what_a_plain_model_has),
		T(a_kill_between_writes_leaves_whole_writes),
		T(unchanged_documents_are_not_written),
		T(what_is_damaged_is_named_and_never_served),
		T(vectors_of_another_model_are_refused),
		T(reembedding_goes_on_where_it_stopped),
		T(wrong_documents_are_refused_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
