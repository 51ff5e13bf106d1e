/* BERT's encoder as MiniLM uses it: embeddings, six layers, mean pooling, unit length.
 *
 * Source: Devlin 2018; post-layer-norm, GELU(erf), no dropout at inference. Shapes stand beside
 * each step; m is the number of rows (tokens of all texts of the pass).
 */
#include "embed/forward.h"

#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"

#define ALIGNMENT ((size_t)64)
#define HUGE_PAGE ((size_t)2 * 1024 * 1024)

enum { H = SG_BERT_HIDDEN, D = SG_BERT_HEAD_DIM, UP = SG_BERT_INTERMEDIATE };
static const size_t SHARE_COLUMNS = 32; /* a member's columns are a multiple of it */

/* Anonymous memory on huge pages where the system allows; zero. */
static void *map_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* -- the plan ------------------------------------------------------------------------------- */

/* Rows of Q, K and V regrouped by head: [12][Q 32, K 32, V 32][384], and the bias alike. */
static void gather_qkv(const struct sg_layer_weights *l, float *w, float *b)
{
	const struct sg_dense *parts[3] = {&l->q, &l->k, &l->v};
	for (size_t h = 0; h < SG_BERT_HEADS; h++) {
		for (size_t part = 0; part < 3; part++) {
			size_t to = h * SG_HEAD_COLUMNS + part * D;
			memcpy(w + to * H, parts[part]->w + h * D * H, D * H * sizeof(float));
			memcpy(b + to, parts[part]->b + h * D, D * sizeof(float));
		}
	}
}

static size_t packed_bytes(const struct sg_kernel *k, size_t in, size_t out)
{
	return k->packed_bytes ? round_up(k->packed_bytes(in, out), ALIGNMENT) : 0;
}

static const size_t QKV = SG_BERT_HEADS * SG_HEAD_COLUMNS;

static size_t layer_bytes(const struct sg_kernel *k)
{
	size_t qkv = k->packed_bytes ? packed_bytes(k, H, QKV) : QKV * H * sizeof(float);
	return qkv + QKV * sizeof(float) + packed_bytes(k, H, H) + packed_bytes(k, H, UP) +
	       packed_bytes(k, UP, H);
}

static void *take(char **at, size_t bytes)
{
	void *p = *at;
	*at += round_up(bytes, ALIGNMENT);
	return p;
}

static void bind_linear(const struct sg_kernel *k, struct sg_linear *ret, const float *w,
	const float *b, size_t in, size_t out, char **at)
{
	*ret = (struct sg_linear){.b = b, .in = in, .out = out};
	if (!k->packed_bytes) {
		ret->w = w;
		return;
	}
	void *packed = take(at, k->packed_bytes(in, out));
	k->pack(w, in, out, packed);
	ret->packed = packed;
}

static void bind_layer(const struct sg_kernel *k, struct sg_plan_layer *ret,
	const struct sg_layer_weights *l, float *gathered, char **at)
{
	float *b = take(at, QKV * sizeof(float));
	float *w = k->packed_bytes ? gathered : take(at, QKV * H * sizeof(float));
	gather_qkv(l, w, b);
	bind_linear(k, &ret->qkv, w, b, H, QKV, at);
	bind_linear(k, &ret->out, l->attn_out.w, l->attn_out.b, H, H, at);
	bind_linear(k, &ret->up, l->intermediate.w, l->intermediate.b, H, UP, at);
	bind_linear(k, &ret->down, l->output.w, l->output.b, UP, H, at);
}

int sg_plan_create(struct sg_plan **ret, const struct sg_weights *weights,
	const struct sg_kernel *kernel, struct sg_error *err)
{
	struct sg_plan *p = calloc(1, sizeof(*p));
	sg_autofree float *gathered = malloc(QKV * H * sizeof(float));
	if (!p || !gathered) {
		free(p);
		return sg_error_nomem(err);
	}
	p->kernel = kernel;
	p->vecops = kernel->vecops();
	p->weights = weights;
	p->row_unit = kernel->row_unit ? kernel->row_unit() : 1;
	p->memory_bytes = SG_BERT_LAYERS * layer_bytes(kernel);
	p->memory = map_memory(p->memory_bytes);
	if (!p->memory) {
		sg_plan_destroy(p);
		return sg_error_nomem(err);
	}
	char *at = p->memory;
	for (size_t i = 0; i < SG_BERT_LAYERS; i++)
		bind_layer(kernel, &p->layer[i], &weights->layer[i], gathered, &at);
	*ret = p;
	return 0;
}

void sg_plan_destroy(struct sg_plan *p)
{
	if (!p)
		return;
	if (p->memory)
		(void)munmap(p->memory, p->memory_bytes);
	free(p);
}

size_t sg_plan_rows(const struct sg_plan *p, size_t tokens)
{
	return p->row_unit ? round_up(tokens, p->row_unit) : tokens;
}

/* -- the workspace -------------------------------------------------------------------------- */

static size_t rows_bytes(size_t columns)
{
	return round_up((SG_KERNEL_ROWS * columns + SG_KERNEL_SLACK) * sizeof(float), ALIGNMENT);
}

struct sg_workspace *sg_workspace_create(unsigned crew)
{
	struct sg_workspace *ws = calloc(1, sizeof(*ws));
	if (!ws)
		return NULL;
	ws->crew = crew;
	ws->memory_bytes = round_up(
		2 * rows_bytes(H) + rows_bytes(UP) + rows_bytes(QKV) + crew * SG_KERNEL_TMP,
		HUGE_PAGE);
	ws->memory = map_memory(ws->memory_bytes);
	if (!ws->memory) {
		free(ws);
		return NULL;
	}
	char *at = ws->memory;
	ws->x = take(&at, rows_bytes(H));
	ws->context = take(&at, rows_bytes(H));
	ws->mid = take(&at, rows_bytes(UP));
	ws->qkv = take(&at, rows_bytes(QKV));
	ws->tmp = take(&at, crew * SG_KERNEL_TMP);
	return ws;
}

void sg_workspace_destroy(struct sg_workspace *ws)
{
	if (!ws)
		return;
	(void)munmap(ws->memory, ws->memory_bytes);
	free(ws);
}

/* -- the pass ------------------------------------------------------------------------------- */

/* What one member sees of a pass. */
struct member {
	const struct sg_plan *p;
	struct sg_workspace *ws;
	const struct sg_embed_text *texts;
	size_t n, m; /* texts, rows */
	unsigned me;
	struct sg_barrier *barrier;
	void *tmp;
};

static void meet(const struct member *c)
{
	if (c->ws->crew > 1)
		sg_barrier_wait(c->barrier);
}

/* This member's part [from, to) of n units. */
static void share(const struct member *c, size_t n, size_t *ret_from, size_t *ret_to)
{
	*ret_from = n * c->me / c->ws->crew;
	*ret_to = n * (c->me + 1) / c->ws->crew;
}

static void embed_row(const struct sg_weights *w, int32_t id, size_t position, float *ret_x)
{
	const float *word = w->word + (size_t)id * H, *pos = w->position + position * H;
	for (size_t j = 0; j < H; j++)
		ret_x[j] = word[j] + w->type[j] + pos[j];
}

/* x[m, 384] = norm(word[id] + type[0] + position); rows that fill a text up are zero. */
static void embed_rows(const struct member *c)
{
	size_t row = 0, from, to;
	share(c, c->m, &from, &to);
	for (size_t t = 0; t < c->n; t++) {
		const struct sg_embed_text *text = &c->texts[t];
		const size_t rows = sg_plan_rows(c->p, text->n);
		for (size_t i = 0; i < rows; i++, row++) {
			float *x = c->ws->x + row * H;
			if (row < from || row >= to)
				continue;
			memset(x, 0, H * sizeof(*x));
			if (i >= text->n)
				continue;
			embed_row(c->p->weights, text->ids[i], i, x);
			c->p->vecops->norm(x, &c->p->weights->embed_norm);
		}
	}
}

static void norm_rows(const struct member *c, const struct sg_layer_norm *ln)
{
	size_t from, to;
	share(c, c->m, &from, &to);
	for (size_t i = from; i < to; i++)
		c->p->vecops->norm(c->ws->x + i * H, ln);
}

static void run_linear(const struct member *c, const struct sg_linear *l, enum sg_finish how,
	const float *x, float *y)
{
	size_t from, to;
	share(c, l->out / SHARE_COLUMNS, &from, &to);
	if (from < to)
		c->p->kernel->linear(l, c->p->vecops, how, x, l->in, c->m, from * SHARE_COLUMNS,
			to * SHARE_COLUMNS, y + from * SHARE_COLUMNS, l->out, c->tmp);
}

/* context[text, head] of every text, from qkv[m, heads * 96] that starts with head `first`. */
static void attend(const struct member *c, const float *qkv, size_t ld, size_t first, size_t end)
{
	for (size_t h = first; h < end; h++) {
		size_t row = 0;
		for (size_t t = 0; t < c->n; row += sg_plan_rows(c->p, c->texts[t++].n))
			c->p->vecops->attention(qkv + row * ld + (h - first) * SG_HEAD_COLUMNS, ld,
				c->texts[t].n, c->ws->context + row * H + h * D, H, c->tmp);
	}
}

/* A member's heads, projected and attended without waiting for anybody. */
static void self_attention(const struct member *c, const struct sg_linear *l)
{
	size_t from, to;
	share(c, SG_BERT_HEADS, &from, &to);
	float *qkv = c->ws->qkv + from * SG_HEAD_COLUMNS * SG_KERNEL_ROWS;
	const size_t step = c->p->kernel->heads_at_once;
	for (size_t h = from; h < to; h += step) {
		size_t end = h + step < to ? h + step : to;
		size_t n0 = h * SG_HEAD_COLUMNS, n1 = end * SG_HEAD_COLUMNS;
		size_t ld = n1 - n0;
		c->p->kernel->linear(l, c->p->vecops, SG_FINISH_BIAS, c->ws->x, H, c->m, n0, n1,
			qkv, ld, c->tmp);
		attend(c, qkv, ld, h, end);
	}
}

static void run_layer(
	const struct member *c, const struct sg_plan_layer *l, const struct sg_layer_weights *w)
{
	self_attention(c, &l->qkv); /* context[m, 384] */
	meet(c);
	run_linear(c, &l->out, SG_FINISH_RESIDUAL, c->ws->context, c->ws->x);
	meet(c);
	norm_rows(c, &w->attn_norm);
	meet(c);
	run_linear(c, &l->up, SG_FINISH_GELU, c->ws->x, c->ws->mid); /* mid[m, 1536] */
	meet(c);
	run_linear(c, &l->down, SG_FINISH_RESIDUAL, c->ws->mid, c->ws->x);
	meet(c);
	norm_rows(c, &w->output_norm);
	meet(c);
}

static void pool_texts(const struct member *c)
{
	size_t row = 0;
	for (size_t t = 0; t < c->n; row += sg_plan_rows(c->p, c->texts[t++].n))
		if (t % c->ws->crew == c->me)
			c->p->vecops->pool(
				c->ws->x + row * H, c->texts[t].n, c->texts[t].ret_vector);
}

void sg_forward(const struct sg_plan *p, struct sg_workspace *ws, const struct sg_embed_text *texts,
	size_t n, unsigned me, struct sg_barrier *barrier)
{
	struct member c = {.p = p,
		.ws = ws,
		.texts = texts,
		.n = n,
		.me = me,
		.barrier = barrier,
		.tmp = ws->tmp + me * SG_KERNEL_TMP};
	for (size_t t = 0; t < n; t++)
		c.m += sg_plan_rows(p, texts[t].n);
	embed_rows(&c);
	meet(&c);
	for (size_t i = 0; i < SG_BERT_LAYERS; i++)
		run_layer(&c, &p->layer[i], &p->weights->layer[i]);
	pool_texts(&c);
	meet(&c);
}
