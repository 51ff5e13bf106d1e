/* Shared by the embed tests. */
#include "embed_test.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"

const char *const test_kernels[] = {"avx512", "avx2", "blas", "reference", NULL};

const char *test_model_dir(void)
{
	const char *dir = getenv("SG_MODEL_DIR");
	if (!dir || !*dir)
		dir = "/work/models/all-MiniLM-L6-v2";
	if (access(dir, R_OK) == 0)
		return dir;
	(void)printf("no model in %s (SG_MODEL_DIR)\n", dir);
	return NULL;
}

static void parse_golden(const char *line, struct golden *ret)
{
	json_error_t e;
	json_t *o = json_loads(line, 0, &e);
	assert_non_null(o);
	json_t *ids = json_object_get(o, "ids");
	ret->n = json_array_size(ids);
	assert_in_range(ret->n, 2, SG_EMBED_MAX_TOKENS);
	for (size_t i = 0; i < ret->n; i++)
		ret->ids[i] = (int32_t)json_integer_value(json_array_get(ids, i));
	const char *hex = json_string_value(json_object_get(o, "vector"));
	assert_int_equal(
		sg_hex_decode(hex, strlen(hex), (uint8_t *)ret->vector, sizeof(ret->vector)), 0);
	ret->text = strdup(json_string_value(json_object_get(o, "text")));
	json_decref(o);
}

struct goldens test_goldens_load(void)
{
	struct goldens all = {.g = calloc(256, sizeof(struct golden))};
	FILE *f = fopen(SG_SOURCE_ROOT "/tests/golden/embed/vectors.jsonl", "r");
	assert_non_null(f);
	char *line = NULL;
	size_t size = 0;
	while (all.n < 256 && getline(&line, &size, f) > 0)
		parse_golden(line, &all.g[all.n++]);
	free(line);
	(void)fclose(f);
	assert_true(all.n > 30);
	return all;
}

void test_goldens_free(struct goldens *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->g[i].text);
	free(g->g);
}

struct sg_embedder *test_embedder(const char *kernel)
{
	struct sg_embedder *e = NULL;
	struct sg_error err = {0};
	int r = sg_embedder_load(&e, test_model_dir(), kernel, false, &err);
	if (r == -SG_EREFUSED && strstr(err.text, "CPU")) {
		(void)printf("%s\n", err.text);
		return NULL;
	}
	if (r < 0)
		fail_msg("%s", err.text);
	return e;
}

float test_max_difference(const float *a, const float *b, size_t n)
{
	float most = 0;
	for (size_t i = 0; i < n; i++) {
		float d = fabsf(a[i] - b[i]);
		if (!(d <= most)) /* NaN too */
			most = d;
	}
	return most;
}

float test_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (float)(*state >> 40) / 8388608.0f - 1.0f;
}
