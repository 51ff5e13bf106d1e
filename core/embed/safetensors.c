/* The safetensors header, trusted with nothing: every number is checked before it is used. */
#include "embed/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

static const struct {
	const char *name;
	unsigned bytes;
} dtypes[] = {
	{"F64", 8},
	{"F32", 4},
	{"F16", 2},
	{"BF16", 2},
	{"I64", 8},
	{"I32", 4},
	{"I16", 2},
	{"I8", 1},
	{"U64", 8},
	{"U32", 4},
	{"U16", 2},
	{"U8", 1},
	{"BOOL", 1},
	{"F8_E4M3", 1},
	{"F8_E5M2", 1},
};

static int wrong(struct sg_error *err, const char *tensor, const char *field, const char *what)
{
	return sg_error_set(
		err, SG_EINVALID, NULL, "tensor %.128s: field %s %s", tensor, field, what);
}

static unsigned dtype_bytes(const char *dtype)
{
	for (size_t i = 0; dtype && i < SG_ARRAY_LEN(dtypes); i++)
		if (strcmp(dtypes[i].name, dtype) == 0)
			return dtypes[i].bytes;
	return 0;
}

/* A non-negative integer, or -1. */
static int64_t whole(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0 ? json_integer_value(v) : -1;
}

/* Fills dims, shape and the bytes that dtype and shape ask for. */
static int read_shape(
	struct sg_tensor *t, const json_t *shape, unsigned width, struct sg_error *err)
{
	if (!json_is_array(shape) || json_array_size(shape) > SG_SAFETENSORS_MAX_DIMS)
		return wrong(err, t->name, "shape", "is not a list of at most 8 sizes");
	uint64_t bytes = width;
	t->dims = json_array_size(shape);
	for (size_t i = 0; i < t->dims; i++) {
		int64_t size = whole(json_array_get(shape, i));
		if (size < 0)
			return wrong(err, t->name, "shape", "has a size that is not a count");
		t->shape[i] = (uint64_t)size;
		if (__builtin_mul_overflow(bytes, (uint64_t)size, &bytes))
			return wrong(err, t->name, "shape", "is larger than memory");
	}
	t->bytes = bytes;
	return 0;
}

static int read_tensor(struct sg_tensor *t, const json_t *entry, const uint8_t *data, size_t n,
	struct sg_error *err)
{
	if (!json_is_object(entry))
		return wrong(err, t->name, "itself", "is not an object");
	t->dtype = json_string_value(json_object_get(entry, "dtype"));
	unsigned width = dtype_bytes(t->dtype);
	if (!width)
		return wrong(err, t->name, "dtype", "is none that the format knows");
	int r = read_shape(t, json_object_get(entry, "shape"), width, err);
	if (r < 0)
		return r;
	const json_t *offsets = json_object_get(entry, "data_offsets");
	int64_t begin = whole(json_array_get(offsets, 0)), end = whole(json_array_get(offsets, 1));
	if (json_array_size(offsets) != 2 || begin < 0 || end < begin)
		return wrong(err, t->name, "data_offsets", "is not [begin, end]");
	if ((uint64_t)end > n)
		return wrong(err, t->name, "data_offsets", "goes past the end of the file");
	if ((uint64_t)(end - begin) != t->bytes)
		return wrong(err, t->name, "data_offsets", "does not fit dtype and shape");
	t->data = data + begin;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct sg_tensor *x = a, *y = b;
	if (x->data != y->data)
		return x->data < y->data ? -1 : 1;
	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int check_cover(
	const struct sg_safetensors *s, const uint8_t *data, size_t n, struct sg_error *err)
{
	const uint8_t *at = data;
	for (size_t i = 0; i < s->n; i++) {
		const struct sg_tensor *t = &s->tensors[i];
		if ((const uint8_t *)t->data < at)
			return wrong(err, t->name, "data_offsets", "overlaps another tensor");
		if ((const uint8_t *)t->data > at)
			return wrong(err, t->name, "data_offsets", "leaves a gap before it");
		at += t->bytes;
	}
	if (at != data + n)
		return sg_error_set(err, SG_EINVALID, NULL,
			"%zu bytes after the last tensor belong to none", (size_t)(data + n - at));
	return 0;
}

static int read_tensors(
	struct sg_safetensors *s, const uint8_t *data, size_t n, struct sg_error *err)
{
	size_t entries = json_object_size(s->header);
	if (entries > SG_SAFETENSORS_MAX_TENSORS)
		return sg_error_set(err, SG_ELIMIT, NULL, "%zu tensors, the limit is %d", entries,
			SG_SAFETENSORS_MAX_TENSORS);
	s->tensors = calloc(entries ? entries : 1, sizeof(*s->tensors));
	if (!s->tensors)
		return sg_error_nomem(err);
	const char *name;
	json_t *entry;
	json_object_foreach (s->header, name, entry) {
		if (strcmp(name, "__metadata__") == 0)
			continue;
		struct sg_tensor *t = &s->tensors[s->n++];
		t->name = name;
		int r = read_tensor(t, entry, data, n, err);
		if (r < 0)
			return r;
	}
	qsort(s->tensors, s->n, sizeof(*s->tensors), by_place);
	return check_cover(s, data, n, err);
}

static int header_length(const uint8_t *data, size_t n, size_t *ret, struct sg_error *err)
{
	if (n < 8)
		return sg_error_set(err, SG_EINVALID, NULL,
			"header length: the file ends inside it (%zu bytes)", n);
	uint64_t len = 0;
	for (size_t i = 8; i-- > 0;)
		len = len << 8 | data[i];
	if (len > SG_SAFETENSORS_MAX_HEADER)
		return sg_error_set(err, SG_ELIMIT, NULL,
			"header length: %" PRIu64 " bytes, the limit is %u", len,
			SG_SAFETENSORS_MAX_HEADER);
	if (len > n - 8)
		return sg_error_set(err, SG_EINVALID, NULL,
			"header length: %" PRIu64 " bytes, the file has %zu after it", len, n - 8);
	*ret = (size_t)len;
	return 0;
}

int sg_safetensors_parse(
	struct sg_safetensors *ret, const void *data, size_t n, struct sg_error *err)
{
	const uint8_t *bytes = data;
	size_t len = 0;
	int r = header_length(bytes, n, &len, err);
	if (r < 0)
		return r;
	struct sg_safetensors s = {0};
	r = sg_json_parse((const char *)bytes + 8, len, &s.header, err);
	if (r < 0)
		return sg_error_prefix(err, "header");
	if (!json_is_object(s.header))
		r = sg_error_set(err, SG_EINVALID, NULL, "header: not a JSON object");
	else
		r = read_tensors(&s, bytes + 8 + len, n - 8 - len, err);
	if (r < 0) {
		sg_safetensors_finish(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void sg_safetensors_finish(struct sg_safetensors *s)
{
	json_decref(s->header);
	free(s->tensors);
	*s = (struct sg_safetensors){0};
}
