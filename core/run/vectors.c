/* Vectors as state. */
#include "run/vectors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

json_t *sg_vector_json(const float *v)
{
	json_t *a = json_array();
	for (int i = 0; a && i < SG_EMBED_DIM; i++) {
		char digits[32];
		(void)snprintf(digits, sizeof(digits), "%.9g", (double)v[i]);
		if (json_array_append_new(a, json_real(strtod(digits, NULL))) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

int sg_vector_parse(const json_t *j, float *ret_v, struct sg_error *err)
{
	if (!json_is_array(j) || json_array_size(j) != SG_EMBED_DIM)
		return sg_error_set(err, SG_EINVALID, "not-a-vector",
			"not a list of %d numbers (an embed node's output)", SG_EMBED_DIM);
	for (size_t i = 0; i < SG_EMBED_DIM; i++) {
		const json_t *n = json_array_get(j, i);
		if (!json_is_number(n) || !isfinite((float)json_number_value(n)))
			return sg_error_set(err, SG_EINVALID, "not-a-vector",
				"element %zu of the vector is not a finite number", i);
		ret_v[i] = (float)json_number_value(n);
	}
	return 0;
}

double sg_vector_dot(const float *a, const float *b)
{
	double sum = 0;
	for (int i = 0; i < SG_EMBED_DIM; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

int sg_vector_need_model(const struct sg_kind_load *l, struct sg_error *err)
{
	if (l->embedder || l->recorded)
		return 0;
	return sg_error_set(err, SG_EREFUSED, "LocalEntryNotFoundError",
		"kind \"%s\" needs the embedding model, and none is configured (--model DIR, or "
		"HF_HOME)",
		l->node->kind);
}
