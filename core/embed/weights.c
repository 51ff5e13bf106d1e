/* model.safetensors into struct sg_weights: read, hashed, every tensor by name and shape. */
#include "embed/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/thread.h"
#include "embed/barrier.h"
#include "embed/model.h"
#include "embed/safetensors.h"

#define FILE_NAME "model.safetensors"
#define MAX_FILE_BYTES ((off_t)1 << 30)
#define H SG_BERT_HIDDEN
#define I SG_BERT_INTERMEDIATE

/* One tensor: where its pointer goes (an offset in sg_weights, or in the layer), and its shape;
 * cols 0 = a vector. */
struct want {
	const char *name;
	size_t offset;
	uint64_t rows, cols;
};

#define TOP(field) offsetof(struct sg_weights, field)
#define LAYER(field) offsetof(struct sg_layer_weights, field)

static const struct want top[] = {
	{"embeddings.word_embeddings.weight", TOP(word), SG_BERT_VOCAB, H},
	{"embeddings.position_embeddings.weight", TOP(position), SG_BERT_POSITIONS, H},
	{"embeddings.token_type_embeddings.weight", TOP(type), SG_BERT_TYPES, H},
	{"embeddings.LayerNorm.weight", TOP(embed_norm.gamma), H, 0},
	{"embeddings.LayerNorm.bias", TOP(embed_norm.beta), H, 0},
};

static const struct want per_layer[] = {
	{"attention.self.query.weight", LAYER(q.w), H, H},
	{"attention.self.query.bias", LAYER(q.b), H, 0},
	{"attention.self.key.weight", LAYER(k.w), H, H},
	{"attention.self.key.bias", LAYER(k.b), H, 0},
	{"attention.self.value.weight", LAYER(v.w), H, H},
	{"attention.self.value.bias", LAYER(v.b), H, 0},
	{"attention.output.dense.weight", LAYER(attn_out.w), H, H},
	{"attention.output.dense.bias", LAYER(attn_out.b), H, 0},
	{"attention.output.LayerNorm.weight", LAYER(attn_norm.gamma), H, 0},
	{"attention.output.LayerNorm.bias", LAYER(attn_norm.beta), H, 0},
	{"intermediate.dense.weight", LAYER(intermediate.w), I, H},
	{"intermediate.dense.bias", LAYER(intermediate.b), I, 0},
	{"output.dense.weight", LAYER(output.w), H, I},
	{"output.dense.bias", LAYER(output.b), H, 0},
	{"output.LayerNorm.weight", LAYER(output_norm.gamma), H, 0},
	{"output.LayerNorm.bias", LAYER(output_norm.beta), H, 0},
};

/* In the file, not in the forward pass; may be absent. */
static const char *const unused[] = {
	"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"};

static const struct sg_tensor *find(const struct sg_safetensors *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->tensors[i].name, name) == 0)
			return &s->tensors[i];
	return NULL;
}

/* The first weight that is NaN or infinite, as an index; n when all are finite. */
static size_t first_not_finite(const float *v, size_t n)
{
	enum { BLOCK = 4096 };
	for (size_t i = 0; i < n; i += BLOCK) {
		size_t end = n - i < BLOCK ? n : i + BLOCK;
		unsigned bad = 0;
		for (size_t k = i; k < end; k++) {
			uint32_t bits;
			memcpy(&bits, &v[k], sizeof(bits));
			bad |= (bits & 0x7f800000U) == 0x7f800000U;
		}
		for (size_t k = i; bad && k < end; k++)
			if (!__builtin_isfinite(v[k]))
				return k;
	}
	return n;
}

static int take(const struct sg_safetensors *s, const char *name, const struct want *w,
	bool check_finite, const float **ret, struct sg_error *err)
{
	const struct sg_tensor *t = find(s, name);
	if (!t)
		return sg_error_set(err, SG_EINVALID, NULL, "tensor %s is missing", name);
	if (strcmp(t->dtype, "F32") != 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"tensor %s: field dtype is %s, must be F32", name, t->dtype);
	if (t->dims != (w->cols ? 2 : 1) || t->shape[0] != w->rows ||
		(w->cols && t->shape[1] != w->cols))
		return sg_error_set(err, SG_EINVALID, NULL,
			"tensor %s: field shape must be [%d%s%.0d]", name, (int)w->rows,
			w->cols ? ", " : "", (int)w->cols);
	if ((uintptr_t)t->data % sizeof(float) != 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"tensor %s: field data_offsets is not aligned to 4 bytes", name);
	size_t n = t->bytes / sizeof(float);
	size_t bad = check_finite ? first_not_finite(t->data, n) : n;
	if (bad < n)
		return sg_error_set(err, SG_EINVALID, NULL,
			"tensor %s: value %zu is not a finite number", name, bad);
	*ret = t->data;
	return 0;
}

static int take_layer(struct sg_weights *w, const struct sg_safetensors *s, int layer,
	bool check_finite, struct sg_error *err)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(per_layer); i++) {
		char name[128];
		(void)snprintf(name, sizeof(name), "encoder.layer.%d.%s", layer, per_layer[i].name);
		const float *data = NULL;
		int r = take(s, name, &per_layer[i], check_finite, &data, err);
		if (r < 0)
			return r;
		memcpy((char *)&w->layer[layer] + per_layer[i].offset, &data, sizeof(data));
	}
	return 0;
}

/* All that is wanted is there; so whatever is more than that must be one of the unused. */
static int check_no_others(const struct sg_safetensors *s, struct sg_error *err)
{
	size_t known = SG_ARRAY_LEN(top) + SG_BERT_LAYERS * SG_ARRAY_LEN(per_layer);
	for (size_t i = 0; i < SG_ARRAY_LEN(unused); i++)
		known += find(s, unused[i]) != NULL;
	if (s->n != known)
		return sg_error_set(err, SG_EINVALID, NULL,
			"%zu tensors, of which only %zu belong to this model", s->n, known);
	return 0;
}

int sg_weights_bind(
	struct sg_weights *w, const void *data, size_t n, bool check_finite, struct sg_error *err)
{
	struct sg_safetensors s SG_CLEANUP(sg_safetensors_finish) = {0};
	int r = sg_safetensors_parse(&s, data, n, err);
	for (size_t i = 0; r == 0 && i < SG_ARRAY_LEN(top); i++) {
		const float *tensor = NULL;
		r = take(&s, top[i].name, &top[i], check_finite, &tensor, err);
		if (r == 0)
			memcpy((char *)w + top[i].offset, &tensor, sizeof(tensor));
	}
	for (int l = 0; r == 0 && l < SG_BERT_LAYERS; l++)
		r = take_layer(w, &s, l, check_finite, err);
	return r == 0 ? check_no_others(&s, err) : r;
}

/* -- reading and hashing ---------------------------------------------------------------------- */

#define STEP ((size_t)1 << 20) /* bytes of one read, which the hash then follows */

/* A thread of its own for the hash: it takes most of the time that a start takes. */
struct sg_weights_hash {
	pthread_t thread;
	const uint8_t *data;
	size_t bytes;
	_Atomic uint32_t steps, sleepers; /* that were read; who waits for them */
	atomic_bool given_up;
	char sha256[SG_SHA256_HEX]; /* "": could not be taken here */
};

static void *hash_main(void *arg)
{
	struct sg_weights_hash *h = arg;
	struct sg_sha256 *s = sg_sha256_create();
	size_t done = 0;
	uint8_t digest[SG_SHA256_BYTES];
	while (s && done < h->bytes && !atomic_load(&h->given_up)) {
		const uint32_t seen = atomic_load(&h->steps);
		const size_t read = seen * STEP < h->bytes ? seen * STEP : h->bytes;
		if (read == done) {
			sg_wait_change(&h->steps, seen, &h->sleepers);
			continue;
		}
		sg_sha256_update(s, h->data + done, read - done);
		done = read;
	}
	if (s && done == h->bytes) {
		sg_sha256_final(s, digest);
		sg_hex_encode(digest, sizeof(digest), h->sha256);
	}
	sg_sha256_destroy(s);
	return NULL;
}

/* NULL: no thread or no memory; the hash is taken later then. */
static struct sg_weights_hash *hash_start(const void *data, size_t bytes)
{
	struct sg_weights_hash *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->data = data;
	h->bytes = bytes;
	if (sg_thread_start(&h->thread, 0, hash_main, h) == 0)
		return h;
	free(h);
	return NULL;
}

static void hash_step(struct sg_weights_hash *h)
{
	if (!h)
		return;
	(void)atomic_fetch_add(&h->steps, 1);
	sg_wake_all(&h->steps, &h->sleepers);
}

/* Joins the thread. give_up: what it has not hashed yet is not needed. */
static void hash_end(struct sg_weights *w, bool give_up)
{
	struct sg_weights_hash *h = w->hash;
	if (!h)
		return;
	if (give_up) {
		atomic_store(&h->given_up, true);
		hash_step(h);
	}
	(void)pthread_join(h->thread, NULL);
	memcpy(w->sha256, h->sha256, sizeof(w->sha256));
	free(h);
	w->hash = NULL;
}

static int read_whole(struct sg_weights *w, int fd, const char *path, struct sg_error *err)
{
	for (size_t done = 0; done < w->bytes;) {
		size_t want = STEP - done % STEP;
		want = w->bytes - done < want ? w->bytes - done : want;
		ssize_t n = read(fd, (char *)w->data + done, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sg_error_errno(err, errno, "cannot read %s", path);
		if (n == 0)
			return sg_error_set(err, SG_EINVALID, NULL,
				"%s became shorter while it was read", path);
		done += (size_t)n;
		if (done % STEP == 0 || done == w->bytes)
			hash_step(w->hash);
	}
	return 0;
}

static int read_file(struct sg_weights *w, const char *dir, struct sg_error *err)
{
	sg_autofree char *path = NULL;
	if (asprintf(&path, "%s/" FILE_NAME, dir) < 0) {
		path = NULL;
		return sg_error_nomem(err);
	}
	sg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return sg_model_missing(err, dir, FILE_NAME);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return sg_error_errno(err, errno, "cannot open %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return sg_error_set(err, SG_EINVALID, NULL, "%s is empty or not a file", path);
	if (st.st_size > MAX_FILE_BYTES)
		return sg_error_set(err, SG_ELIMIT, NULL, "%s has %lld bytes, the limit is %lld",
			path, (long long)st.st_size, (long long)MAX_FILE_BYTES);
	void *data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		return sg_error_nomem(err);
	w->data = data;
	w->bytes = (size_t)st.st_size;
	w->hash = hash_start(data, w->bytes);
	return read_whole(w, fd, path, err);
}

int sg_weights_verify(struct sg_weights *w, const char *dir, bool unpinned, struct sg_error *err)
{
	hash_end(w, false);
	if (!w->sha256[0])
		sg_sha256_hex(w->data, w->bytes, w->sha256);
	if (unpinned || strcmp(w->sha256, sg_model_pin(FILE_NAME)) == 0)
		return 0;
	return sg_model_mismatch(err, dir, FILE_NAME, w->sha256);
}

/* The pinned file's values are known to be finite; they are looked at only in any other. A file
 * that is not the pinned one is told as that, whatever else is wrong with it. */
static int load(struct sg_weights *w, const char *dir, bool unpinned, struct sg_error *err)
{
	int r = read_file(w, dir, err);
	if (r < 0)
		return r;
	r = sg_weights_bind(w, w->data, w->bytes, unpinned, err);
	if (r < 0 && !unpinned && sg_weights_verify(w, dir, false, err) < 0)
		return -SG_EREFUSED;
	return r < 0 ? sg_error_prefix(err, "%s/" FILE_NAME, dir) : 0;
}

int sg_weights_open(struct sg_weights **ret, const char *dir, bool unpinned, struct sg_error *err)
{
	struct sg_weights *w = calloc(1, sizeof(*w));
	if (!w)
		return sg_error_nomem(err);
	int r = load(w, dir, unpinned, err);
	if (r < 0) {
		sg_weights_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

/* Gives the whole pages inside the tensor back. */
static void drop(struct sg_dense *d, size_t n)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t from = ((uintptr_t)d->w + page - 1) / page * page;
	const uintptr_t to = (uintptr_t)(d->w + n) / page * page;
	if (to > from)
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
	d->w = NULL;
}

void sg_weights_drop_dense(struct sg_weights *w)
{
	hash_end(w, false);
	for (size_t i = 0; i < SG_BERT_LAYERS; i++) {
		struct sg_layer_weights *l = &w->layer[i];
		drop(&l->q, (size_t)H * H);
		drop(&l->k, (size_t)H * H);
		drop(&l->v, (size_t)H * H);
		drop(&l->attn_out, (size_t)H * H);
		drop(&l->intermediate, (size_t)I * H);
		drop(&l->output, (size_t)H * I);
	}
}

void sg_weights_close(struct sg_weights *w)
{
	if (!w)
		return;
	hash_end(w, true);
	if (w->data)
		(void)munmap(w->data, w->bytes);
	free(w);
}
