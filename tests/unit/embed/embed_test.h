/* Shared by the embed tests: where the model is, the goldens, and which kernels this CPU runs. */
#ifndef SG_TEST_EMBED_H
#define SG_TEST_EMBED_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>

#include "embed/embed.h"
#include "embed/kernels.h"

struct golden {
	char *text;
	int32_t ids[SG_EMBED_MAX_TOKENS];
	size_t n;
	float vector[SG_EMBED_DIM];
};

struct goldens {
	struct golden *g;
	size_t n;
};

/* The directory of SG_MODEL_DIR, or NULL when there is no model on this machine. */
const char *test_model_dir(void);
/* tests/golden/embed/vectors.jsonl; asserts. */
struct goldens test_goldens_load(void);
void test_goldens_free(struct goldens *g);
/* The loaded embedder of a kernel; asserts. NULL when this CPU lacks the instruction set. */
struct sg_embedder *test_embedder(const char *kernel);
/* All kernels by name, NULL at the end; some may not run here. */
extern const char *const test_kernels[];
float test_max_difference(const float *a, const float *b, size_t n);
/* Numbers in [-1, 1), the same on every run. */
float test_random(uint64_t *state);

#endif
