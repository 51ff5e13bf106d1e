/* knowledge: what a search finds, against plain computations of the same. */
#include "know.h"

#include <math.h>

#include "knowledge/internal.h"
#include "knowledge/scan.h"
#include "knowledge/stem.h"

#define N 500

struct data {
	struct sg_store *s;
	struct sg_know_indexes *x;
	float v[N][DIMS];
	int group[N];
};

static void fill(struct data *d, const char *dir, enum sg_know_metric metric)
{
	d->s = open_store(dir);
	assert_int_equal(sg_know_indexes_create(&d->x, 0, NULL), 0);
	create(d->s, "docs", SG_KNOW_VECTOR, metric);
	for (int from = 0; from < N; from += 100) {
		struct sg_txn *t = begin(d->s, true);
		struct sg_error err = {0};
		for (int i = from; i < from + 100; i++) {
			char id[16];
			d->group[i] = (int)rnd(10);
			random_vector(d->v[i], DIMS);
			if (i % 5 == 4) /* the same vector: a tie */
				memcpy(d->v[i], d->v[i - 1], sizeof(d->v[i]));
			(void)snprintf(id, sizeof(id), "d%03d", i);
			json_auto_t *meta = json_pack("{s:i, s:s}", "group", d->group[i], "parity",
				i % 2 ? "odd" : "even");
			struct sg_know_doc doc = {.id = id,
				.text = "x",
				.text_len = 1,
				.metadata = meta,
				.vector = d->v[i]};
			if (sg_know_put(t, "docs", &doc, 1, NULL, &err) < 0)
				fail_msg("%s", err.text);
		}
		assert_int_equal(sg_txn_commit(t, NULL), 0);
	}
}

static void finish(struct data *d)
{
	sg_know_indexes_destroy(d->x);
	sg_store_close(d->s);
	free(d);
}

static double plain_score(enum sg_know_metric metric, const float *a, const float *q)
{
	double dot = 0, na = 0, nq = 0, l2 = 0;
	for (int i = 0; i < DIMS; i++) {
		dot += (double)a[i] * q[i];
		na += (double)a[i] * a[i];
		nq += (double)q[i] * q[i];
		l2 += ((double)a[i] - q[i]) * ((double)a[i] - q[i]);
	}
	return metric == SG_KNOW_DOT ? dot : metric == SG_KNOW_L2 ? -l2 : dot / sqrt(na * nq);
}

/* The k best by plain computation, ties by id, equal the hits. */
static void check_hits(const struct data *d, enum sg_know_metric metric, const float *q, int group,
	const json_t *hits, size_t k)
{
	bool used[N] = {false};
	size_t matching = 0;
	for (int i = 0; i < N; i++)
		matching += group < 0 || d->group[i] == group;
	assert_int_equal(json_array_size(hits), matching < k ? matching : k);
	for (size_t h = 0; h < json_array_size(hits); h++) {
		int best = -1;
		double best_score = -1e300;
		for (int i = 0; i < N; i++) {
			double score = plain_score(metric, d->v[i], q);
			if (used[i] || (group >= 0 && d->group[i] != group) ||
				score <= best_score + 1e-9)
				continue;
			best = i;
			best_score = score;
		}
		char id[16];
		(void)snprintf(id, sizeof(id), "d%03d", best);
		used[best] = true;
		assert_string_equal(hit_id(hits, h), id);
		assert_true(fabs(hit_score(hits, h) - best_score) < 1e-5);
	}
}

static void every_metric_ranks_as_the_plain_computation(void **state)
{
	for (int metric = 0; metric < 3; metric++) {
		struct data *d = calloc(1, sizeof(*d));
		fill(d, *state, (enum sg_know_metric)metric);
		for (int round = 0; round < 20; round++) {
			float v[DIMS];
			random_vector(v, DIMS);
			int group = round % 2 ? (int)rnd(10) : -1;
			json_auto_t *filter = json_pack("{s:i}", "group", group);
			struct sg_know_query q = {.store = "docs",
				.vector = v,
				.filter = group < 0 ? NULL : filter,
				.k = 1 + rnd(70)};
			json_auto_t *hits = search(d->x, d->s, &q);
			check_hits(d, (enum sg_know_metric)metric, v, group, hits, q.k);
		}
		finish(d);
		void *dir = *state;
		(void)tmp_teardown(&dir);
		assert_int_equal(tmp_setup(state), 0);
	}
}

static void kernels_batches_and_the_8_bit_copy_agree(void **state)
{
	struct data *d = calloc(1, sizeof(*d));
	static float queries[40][DIMS];
	struct sg_error err = {0};
	json_t *lists = NULL;
	fill(d, *state, SG_KNOW_COSINE);
	for (int i = 0; i < 40; i++)
		random_vector(queries[i], DIMS);
	struct sg_txn *t = begin(d->s, false);
	if (sg_know_search_batch(d->x, t, "docs", queries[0], 40, 10, &lists, &err) < 0)
		fail_msg("%s", err.text);
	sg_txn_abort(t);
	size_t same = 0;
	for (int i = 0; i < 40; i++) {
		struct sg_know_query q = {.store = "docs", .vector = queries[i], .k = 10};
		json_auto_t *one = search(d->x, d->s, &q);
		assert_true(json_equal(one, json_array_get(lists, (size_t)i)));
		q.kernel = "portable";
		json_auto_t *plain = search(d->x, d->s, &q);
		assert_true(json_equal(one, plain));
		q.kernel = NULL;
		q.int8 = true;
		json_auto_t *fast = search(d->x, d->s, &q);
		for (size_t h = 0; h < 10; h++)
			same += strcmp(hit_id(one, h), hit_id(fast, h)) == 0;
	}
	assert_true(same >= 396); /* of 400 */
	json_decref(lists);
	finish(d);
}

static void every_kernel_multiplies_alike(void **state)
{
	static const char *const names[] = {"portable", "avx2", "avx512"};
	enum { ROWS = 23, DIM = 96, QUERIES = 7 };
	static float rows[ROWS][DIM], queries[QUERIES][DIM];
	static int8_t codes[ROWS][DIM], query[DIM];
	const float *p[ROWS];
	const int8_t *c[ROWS];
	(void)state;
	for (int i = 0; i < ROWS; i++) {
		float scale;
		random_vector(rows[i], DIM);
		sg_scan_quantize(rows[i], DIM, codes[i], &scale);
		p[i] = rows[i];
		c[i] = codes[i];
	}
	for (int i = 0; i < DIM; i++) { /* the extremes of what may be multiplied */
		codes[0][i] = 127;
		codes[1][i] = -127;
		query[i] = i % 2 ? 127 : -127;
	}
	for (int i = 0; i < QUERIES; i++)
		random_vector(queries[i], DIM);
	for (size_t k = 0; k < SG_ARRAY_LEN(names); k++) {
		const struct sg_scan_ops *ops = sg_scan_select(names[k]);
		float out[QUERIES][32];
		int32_t ints[ROWS];
		if (!ops)
			continue; /* this CPU lacks it */
		ops->dots(p, ROWS, DIM, queries[0], QUERIES, out[0], 32);
		ops->dots_int8(c, ROWS, DIM, query, ints);
		for (int r = 0; r < ROWS; r++) {
			int32_t sum = 0;
			for (int i = 0; i < DIM; i++)
				sum += codes[r][i] * query[i];
			assert_int_equal(ints[r], sum);
			for (int q = 0; q < QUERIES; q++) {
				float alone;
				ops->dots(&p[r], 1, DIM, queries[q], 1, &alone, 1);
				assert_true(alone == out[q][r]);
				assert_true(fabs((double)alone - sg_scan_exact_dot(rows[r],
									 queries[q], DIM)) < 1e-4);
			}
		}
	}
	assert_null(sg_scan_select("no-such"));
}

/* ---- filters ---- */

static size_t filtered(struct data *d, const char *filter)
{
	json_t *f = NULL;
	float v[DIMS] = {1};
	assert_int_equal(sg_json_parse(filter, strlen(filter), &f, NULL), 0);
	struct sg_know_query q = {.store = "docs", .vector = v, .filter = f, .k = N};
	json_t *hits = search(d->x, d->s, &q);
	size_t n = json_array_size(hits);
	json_decref(hits);
	json_decref(f);
	return n;
}

static size_t counted(const struct data *d, int from, int to)
{
	size_t n = 0;
	for (int i = 0; i < N; i++)
		n += d->group[i] >= from && d->group[i] <= to;
	return n;
}

static void filters_mean_what_they_say(void **state)
{
	struct data *d = calloc(1, sizeof(*d));
	fill(d, *state, SG_KNOW_COSINE);
	assert_int_equal(filtered(d, "{}"), N);
	assert_int_equal(filtered(d, "{\"group\":3}"), counted(d, 3, 3));
	assert_int_equal(filtered(d, "{\"group\":3.0}"), counted(d, 3, 3));
	assert_int_equal(filtered(d, "{\"group\":\"3\"}"), 0);
	assert_int_equal(filtered(d, "{\"group\":{\"gte\":3,\"lt\":6}}"), counted(d, 3, 5));
	assert_int_equal(filtered(d, "{\"group\":{\"gt\":3,\"lte\":6}}"), counted(d, 4, 6));
	assert_int_equal(filtered(d, "{\"group\":{\"in\":[1,2,\"x\"]}}"), counted(d, 1, 2));
	assert_int_equal(filtered(d, "{\"group\":{\"ne\":1}}"), N - counted(d, 1, 1));
	assert_int_equal(filtered(d, "{\"parity\":\"odd\"}"), N / 2);
	assert_int_equal(filtered(d, "{\"parity\":{\"gte\":\"f\"}}"), N / 2);
	assert_int_equal(filtered(d, "{\"parity\":\"odd\",\"absent\":1}"), 0);
	static const char *const wrong[] = {"[]", "{\"a\":null}", "{\"a\":[1]}", "{\"a\":{}}",
		"{\"a\":{\"gtt\":1}}", "{\"a\":{\"in\":[]}}", "{\"a\":{\"in\":[{}]}}",
		"{\"a\":{\"lt\":[1]}}"};
	for (size_t i = 0; i < SG_ARRAY_LEN(wrong); i++) {
		json_auto_t *f = NULL;
		struct sg_error err = {0};
		assert_int_equal(sg_json_parse(wrong[i], strlen(wrong[i]), &f, NULL), 0);
		assert_int_equal(sg_know_check_filter(f, &err), -SG_EINVALID);
		assert_true(err.text[0]);
	}
	finish(d);
}

/* ---- text ---- */

static void put_text(struct sg_store *s, const char *id, const char *text)
{
	struct sg_txn *t = begin(s, true);
	struct sg_know_doc d = {.id = id, .text = text, .text_len = strlen(text)};
	assert_int_equal(sg_know_put(t, "text", &d, 1, NULL, NULL), 0);
	assert_int_equal(sg_txn_commit(t, NULL), 0);
}

static void text_is_ranked_by_bm25(void **state)
{
	struct sg_store *s = open_store(*state);
	struct sg_know_indexes *x = NULL;
	assert_int_equal(sg_know_indexes_create(&x, 0, NULL), 0);
	create(s, "text", SG_KNOW_DOCUMENT, SG_KNOW_COSINE);
	put_text(s, "a", "The Éditor edits files");
	put_text(s, "b", "a file, a file, a FILE viewer");
	put_text(s, "c", "nothing of the kind");
	struct sg_know_query q = {.store = "text",
		.mode = SG_KNOW_MODE_TEXT,
		.text = "file editors",
		.text_len = 12,
		.k = 10,
		.with_text = true};
	json_auto_t *hits = search(x, s, &q);
	assert_int_equal(json_array_size(hits), 2);
	assert_string_equal(hit_id(hits, 0), "a");
	assert_string_equal(hit_id(hits, 1), "b");
	/* By hand: N 3; lengths 3 (editor edit file), 4, 2 (noth kind); mean 3. */
	double idf_file = log(1 + (3 - 2 + 0.5) / 2.5), idf_editor = log(1 + (3 - 1 + 0.5) / 1.5);
	double a = (idf_file + idf_editor) * 2.2 / (1 + 1.2);
	double b = idf_file * 3 * 2.2 / (3 + 1.2 * (0.25 + 0.75 * 4 / 3));
	assert_true(fabs(hit_score(hits, 0) - a) < 1e-12);
	assert_true(fabs(hit_score(hits, 1) - b) < 1e-12);
	const json_t *hit = json_array_get(hits, 0);
	assert_string_equal(json_string_value(json_object_get(hit, "source")), "text");
	assert_string_equal(
		json_string_value(json_object_get(hit, "text")), "The Éditor edits files");
	assert_int_equal(strlen(json_string_value(json_object_get(hit, "index_sha256"))), 64);
	sg_know_indexes_destroy(x);
	sg_store_close(s);
}

static void add_term(void *ctx, const char *term, size_t n)
{
	char *out = ctx;
	(void)strncat(out, term, n);
	(void)strcat(out, "|");
}

static void words_are_normalized(void **state)
{
	static const char *const rows[][2] = {
		{"Libraries, the LIBRARY", "librari|librari|"},
		{"caf\xc3\xa9s naïve", "cafe|naiv|"},
		{"c++ libfoo-dev 3.14", "c|libfoo|dev|3|14|"},
		{"文件 editor", "文|件|editor|"},
		{"classes bus is", "class|bu|"},
		{"", ""},
		{"a\xff"
		 "b",
			"b|"},
	};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		char out[256] = "";
		sg_know_terms(rows[i][0], strlen(rows[i][0]), add_term, out);
		assert_string_equal(out, rows[i][1]);
	}
	char out[256] = "", word[300];
	memset(word, 'w', sizeof(word));
	sg_know_terms(word, sizeof(word), add_term, out);
	assert_int_equal(strlen(out), SG_KNOW_TERM_MAX + 1);
}

/* Words and stems of Porter's own examples. */
static void stems_are_porters(void **state)
{
	static const char *const rows[][2] = {{"caresses", "caress"}, {"ponies", "poni"},
		{"cats", "cat"}, {"feed", "feed"}, {"agreed", "agre"}, {"plastered", "plaster"},
		{"bled", "bled"}, {"motoring", "motor"}, {"sing", "sing"}, {"conflated", "conflat"},
		{"troubled", "troubl"}, {"sized", "size"}, {"hopping", "hop"}, {"falling", "fall"},
		{"hissing", "hiss"}, {"filing", "file"}, {"happy", "happi"}, {"sky", "sky"},
		{"relational", "relat"}, {"conditional", "condit"}, {"vietnamization", "vietnam"},
		{"operator", "oper"}, {"hopefulness", "hope"}, {"electricity", "electr"},
		{"goodness", "good"}, {"revival", "reviv"}, {"adoption", "adopt"},
		{"effective", "effect"}, {"probate", "probat"}, {"cease", "ceas"},
		{"controll", "control"}, {"roll", "roll"}, {"a1s", "a1s"}, {"is", "is"}};
	(void)state;
	for (size_t i = 0; i < SG_ARRAY_LEN(rows); i++) {
		char word[32];
		(void)snprintf(word, sizeof(word), "%s", rows[i][0]);
		word[sg_know_stem(word, strlen(word))] = '\0';
		assert_string_equal(word, rows[i][1]);
	}
}

/* ---- fusion ---- */

static json_t *list_of(const char *ids)
{
	json_t *a = json_array();
	for (; *ids; ids++)
		(void)json_array_append_new(
			a, json_pack("{s:s%, s:f}", "id", ids, 1, "score", 1.0));
	return a;
}

static void fusion_does_not_depend_on_the_order_of_lists(void **state)
{
	(void)state;
	json_t *lists[] = {list_of("abcd"), list_of("cabx"), list_of("dxa")};
	json_t *turned[] = {lists[2], lists[0], lists[1]};
	json_auto_t *one = NULL, *two = NULL;
	assert_int_equal(sg_know_fuse(lists, 3, 10, &one, NULL), 0);
	assert_int_equal(sg_know_fuse(turned, 3, 10, &two, NULL), 0);
	assert_true(json_equal(one, two));
	assert_int_equal(json_array_size(one), 5);
	assert_string_equal(hit_id(one, 0), "a");
	/* the addends in ascending order, as the original adds them */
	assert_true(hit_score(one, 0) == (1.0 / 63 + 1.0 / 62) + 1.0 / 61);
	for (int i = 0; i < 3; i++)
		json_decref(lists[i]);
	json_t *none[] = {NULL};
	json_auto_t *empty = NULL;
	assert_int_equal(sg_know_fuse(none, 1, 10, &empty, NULL), 0);
	assert_int_equal(json_array_size(empty), 0);
}

static void limits_are_told(void **state)
{
	struct data *d = calloc(1, sizeof(*d));
	struct sg_know_indexes *small = NULL;
	struct sg_error err = {0};
	json_t *hits = NULL;
	float v[DIMS] = {1}, zero[DIMS] = {0};
	fill(d, *state, SG_KNOW_COSINE);
	assert_int_equal(sg_know_indexes_create(&small, 10000, NULL), 0);
	struct sg_know_query q = {.store = "docs", .vector = v, .k = 3};
	struct sg_txn *t = begin(d->s, false);
	assert_int_equal(sg_know_search(small, t, &q, &hits, &err), -SG_ELIMIT);
	assert_string_equal(err.kind, "resident-bytes");
	q.k = 0;
	assert_int_equal(sg_know_search(d->x, t, &q, &hits, &err), -SG_EINVALID);
	q.k = 3;
	q.vector = zero;
	assert_int_equal(sg_know_search(d->x, t, &q, &hits, &err), -SG_EINVALID);
	q.vector = NULL;
	assert_int_equal(sg_know_search(d->x, t, &q, &hits, &err), -SG_EINVALID);
	q.vector = v;
	q.store = "dox";
	assert_int_equal(sg_know_search(d->x, t, &q, &hits, &err), -SG_ENOTFOUND);
	sg_txn_abort(t);
	sg_know_indexes_destroy(small);
	finish(d);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_metric_ranks_as_the_plain_computation),
		T(kernels_batches_and_the_8_bit_copy_agree),
		T(every_kernel_multiplies_alike),
		T(filters_mean_what_they_say),
		T(text_is_ranked_by_bm25),
		T(words_are_normalized),
		T(stems_are_porters),
		T(fusion_does_not_depend_on_the_order_of_lists),
		T(limits_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
