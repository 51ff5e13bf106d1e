/* The public embedder: a checked model bound to a kernel, and vectors from token ids. */
#include "embed/embed.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "embed/forward.h"
#include "embed/model.h"
#include "embed/team.h"
#include "embed/weights.h"

struct sg_embedder {
	struct sg_tokenizer *tokenizer;
	struct sg_weights *weights;
	struct sg_plan *plan;
	struct sg_model_info info;
};

struct sg_embed_scratch {
	struct sg_workspace *ws; /* a crew of one */
};

static void set_content_hash(struct sg_model_info *info, const struct sg_kernel *kernel)
{
	static const char tag[] = "stargraph-bf16-v1"; /* hashed with its NUL */
	char text[sizeof(tag) + 64];
	memcpy(info->content_sha256, info->weights_sha256, sizeof(info->content_sha256));
	if (!kernel->bf16)
		return;
	memcpy(text, tag, sizeof(tag));
	memcpy(text + sizeof(tag), info->weights_sha256, 64);
	sg_sha256_hex(text, sizeof(text), info->content_sha256);
}

static int load(struct sg_embedder *e, const char *dir, const char *kernel_name, bool unpinned,
	struct sg_error *err)
{
	const struct sg_kernel *kernel;
	int r = sg_kernel_select(&kernel, kernel_name, err);
	if (r < 0)
		return r;
	/* The weights first: the rest is done while they are hashed. */
	r = sg_weights_open(&e->weights, dir, unpinned, err);
	if (r == 0)
		r = sg_plan_create(&e->plan, e->weights, kernel, err);
	if (r == 0)
		r = sg_model_check(dir, unpinned, err);
	if (r == 0)
		r = sg_tokenizer_load(&e->tokenizer, dir, unpinned, e->info.tokenizer_sha256, err);
	if (r == 0)
		r = sg_weights_verify(e->weights, dir, unpinned, err);
	if (r < 0)
		return r;
	if (kernel->packed_bytes)
		sg_weights_drop_dense(e->weights);
	(void)snprintf(e->info.dir, sizeof(e->info.dir), "%s", dir);
	(void)snprintf(e->info.kernel, sizeof(e->info.kernel), "%s", kernel->name);
	memcpy(e->info.weights_sha256, e->weights->sha256, sizeof(e->info.weights_sha256));
	set_content_hash(&e->info, kernel);
	e->info.repacked_bytes = e->plan->memory_bytes;
	return 0;
}

int sg_embedder_load(struct sg_embedder **ret, const char *dir, const char *kernel, bool unpinned,
	struct sg_error *err)
{
	if (strlen(dir) >= sizeof((*ret)->info.dir))
		return sg_error_set(err, SG_ELIMIT, NULL, "the model directory's path is too long");
	struct sg_embedder *e = calloc(1, sizeof(*e));
	if (!e)
		return sg_error_nomem(err);
	int r = load(e, dir, kernel, unpinned, err);
	if (r < 0) {
		sg_embedder_destroy(e);
		return r;
	}
	*ret = e;
	return 0;
}

void sg_embedder_destroy(struct sg_embedder *e)
{
	if (!e)
		return;
	sg_plan_destroy(e->plan);
	sg_weights_close(e->weights);
	sg_tokenizer_destroy(e->tokenizer);
	free(e);
}

const struct sg_tokenizer *sg_embedder_tokenizer(const struct sg_embedder *e)
{
	return e->tokenizer;
}

const struct sg_model_info *sg_embedder_info(const struct sg_embedder *e)
{
	return &e->info;
}

const struct sg_plan *sg_embedder_plan(const struct sg_embedder *e)
{
	return e->plan;
}

struct sg_embed_scratch *sg_embed_scratch_create(const struct sg_embedder *e)
{
	(void)e;
	struct sg_embed_scratch *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->ws = sg_workspace_create(1);
	if (!s->ws) {
		free(s);
		return NULL;
	}
	return s;
}

void sg_embed_scratch_destroy(struct sg_embed_scratch *s)
{
	if (!s)
		return;
	sg_workspace_destroy(s->ws);
	free(s);
}

int sg_embed_check_text(const struct sg_embed_text *t, struct sg_error *err)
{
	if (t->n == 0)
		return sg_error_set(err, SG_EINVALID, NULL, "a text without token ids");
	if (t->n > SG_EMBED_MAX_TOKENS)
		return sg_error_set(err, SG_EINVALID, NULL, "%zu token ids; at most %d", t->n,
			SG_EMBED_MAX_TOKENS);
	for (size_t i = 0; i < t->n; i++)
		if (t->ids[i] < 0 || t->ids[i] >= SG_BERT_VOCAB)
			return sg_error_set(err, SG_EINVALID, NULL,
				"token id %d at position %zu is not in 0..%d", t->ids[i], i,
				SG_BERT_VOCAB - 1);
	return 0;
}

int sg_embed_ids(const struct sg_embedder *e, struct sg_embed_scratch *s, const int32_t *ids,
	size_t n, float *ret_vector, struct sg_error *err)
{
	const struct sg_embed_text text = {.ids = ids, .n = n, .ret_vector = ret_vector};
	return sg_embed_batch(e, s, &text, 1, err);
}

/* How many of the n texts fit one pass. */
static size_t pass_size(const struct sg_plan *p, const struct sg_embed_text *texts, size_t n)
{
	size_t rows = sg_plan_rows(p, texts[0].n), i = 1;
	for (; p->row_unit && i < n; i++) {
		rows += sg_plan_rows(p, texts[i].n);
		if (rows > SG_EMBED_BATCH_ROWS)
			break;
	}
	return i;
}

int sg_embed_batch(const struct sg_embedder *e, struct sg_embed_scratch *s,
	const struct sg_embed_text *texts, size_t n, struct sg_error *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = sg_embed_check_text(&texts[i], err);
		if (r < 0)
			return n > 1 ? sg_error_prefix(err, "text %zu", i) : r;
	}
	for (size_t i = 0; i < n;) {
		size_t take = pass_size(e->plan, texts + i, n - i);
		sg_forward(e->plan, s->ws, texts + i, take, 0, NULL);
		i += take;
	}
	return 0;
}
