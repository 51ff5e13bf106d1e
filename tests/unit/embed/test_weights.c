/* safetensors files, whole and damaged in every way the loader must refuse by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "embed/safetensors.h"
#include "embed/weights.h"
#include "fake_model.h"

/* A file in memory: length, header and n bytes of zeros. */
struct file {
	uint8_t *map;
	size_t n, header;
};

static struct file file_make(const char *header, size_t header_len, size_t data)
{
	struct file f = {.n = 8 + header_len + data, .header = header_len};
	f.map = mmap(NULL, f.n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f.map != MAP_FAILED);
	for (size_t i = 0; i < 8; i++)
		f.map[i] = (uint8_t)((uint64_t)header_len >> (8 * i));
	memcpy(f.map + 8, header, header_len);
	return f;
}

static void file_drop(struct file *f)
{
	assert_int_equal(munmap(f->map, f->n), 0);
}

/* Expects refusal of a header over data bytes, with words in the message. */
static void refused(const char *header, size_t data, const char *words)
{
	struct file f = file_make(header, strlen(header), data);
	struct sg_safetensors s;
	struct sg_error err = {0};
	int r = sg_safetensors_parse(&s, f.map, f.n, &err);
	if (r >= 0 || !strstr(err.text, words))
		fail_msg("%s: returned %d, \"%s\", wanted \"%s\"", header, r, err.text, words);
	file_drop(&f);
}

#define T(name, dtype, shape, begin, end) \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin \
	"," #end "]}"

static void test_header_accepts(void **state)
{
	(void)state;
	const char *h = "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "F32", "[2,3]", 8,
		32) "," T("a", "I64", "[]", 0, 8) "," T("none", "U8", "[0,5]", 32, 32) "}   ";
	struct file f = file_make(h, strlen(h), 32);
	struct sg_safetensors s;
	struct sg_error err = {0};
	assert_int_equal(sg_safetensors_parse(&s, f.map, f.n, &err), 0);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.tensors[0].name, "a");
	assert_int_equal(s.tensors[1].shape[1], 3);
	assert_ptr_equal(s.tensors[1].data, f.map + 8 + f.header + 8);
	sg_safetensors_finish(&s);
	file_drop(&f);
}

static void test_header_refuses(void **state)
{
	(void)state;
	refused("", 0, "header");
	refused("[]", 0, "not a JSON object");
	refused("{", 0, "header: line 1");
	refused("{}", 4, "belong to none");
	refused("{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}", 8, "duplicate");
	refused("{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[1]", 4, 8) "}", 8,
		"b: field data_offsets overlaps");
	refused("{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", 4, "overlaps");
	refused("{" T("a", "F32", "[1]", 4, 8) "}", 8, "leaves a gap");
	refused("{" T("a", "F32", "[1]", 0, 4) "}", 8, "belong to none");
	refused("{" T("a", "F32", "[1]", 4, 0) "}", 8, "a: field data_offsets is not");
	refused("{" T("a", "F32", "[1]", -4, 0) "}", 8, "data_offsets is not");
	refused("{" T("a", "F32", "[1]", 0, 4) "}", 3, "past the end");
	refused("{" T("a", "F32", "[2]", 0, 4) "}", 4, "does not fit dtype and shape");
	refused("{" T("a", "F99", "[1]", 0, 4) "}", 4, "a: field dtype");
	refused("{" T("a", "F32", "[-1]", 0, 4) "}", 4, "a: field shape");
	refused("{" T("a", "F32", "[1.0]", 0, 4) "}", 4, "a: field shape");
	refused("{" T("a", "F32", "4", 0, 4) "}", 4, "a: field shape");
	refused("{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "a: field shape");
	refused("{" T("a", "F32", "[4294967296,4294967296]", 0, 4) "}", 4, "larger than memory");
	refused("{" T("a", "F32", "[9223372036854775807,2]", 0, 4) "}", 4, "larger than memory");
	refused("{\"a\":7}", 0, "not an object");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, "data_offsets");
	refused("{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4,
		"data_offsets");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,99999999999999999999]}"
		"}",
		4, "header");
}

static void test_header_length(void **state)
{
	(void)state;
	static const uint64_t bad[] = {3, 1U << 20 | 1, UINT32_MAX, 1ULL << 63, UINT64_MAX};
	struct sg_safetensors s;
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		uint8_t data[10] = {[8] = '{', '}'};
		for (size_t k = 0; k < 8; k++)
			data[k] = (uint8_t)(bad[i] >> (8 * k));
		struct sg_error err = {0};
		assert_true(sg_safetensors_parse(&s, data, sizeof(data), &err) < 0);
		assert_non_null(strstr(err.text, "header length"));
	}
	for (size_t n = 0; n < 8; n++)
		assert_true(sg_safetensors_parse(&s, "\0\0\0\0\0\0\0", n, NULL) < 0);
}

/* The whole model's header with one thing replaced. */
static int bind(const char *from, const char *to, bool finite, size_t poke, struct sg_error *err)
{
	sg_autobuf h = SG_BUF_INIT(1 << 20);
	size_t data = fake_header(&h);
	char *at = from ? strstr(h.data, from) : NULL;
	if (from) {
		assert_non_null(at);
		assert_int_equal(strlen(from), strlen(to));
		memcpy(at, to, strlen(to));
	}
	struct file f = file_make(h.data, h.len, data);
	if (poke) {
		static const uint32_t nan = 0x7fc00000;
		memcpy(f.map + 8 + h.len + 4 * poke, &nan, 4);
	}
	struct sg_weights w = {0};
	int r = sg_weights_bind(&w, f.map, f.n, finite, err);
	if (r == 0) {
		assert_ptr_equal(w.word, f.map + 8 + h.len);
		assert_ptr_equal(w.position, w.word + 30522 * 384);
		assert_ptr_equal(w.layer[5].output_norm.beta, (const float *)(f.map + f.n) - 384);
		assert_ptr_equal(w.layer[0].q.b, w.layer[0].q.w + 384 * 384);
	}
	file_drop(&f);
	return r;
}

static void test_weights_bind(void **state)
{
	(void)state;
	struct sg_error err = {0};
	assert_int_equal(bind(NULL, NULL, true, 0, &err), 0);
}

static void test_weights_refuse(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to, *says;
	} bad[] = {
		{"layer.3.output.dense.weight", "layer.9.output.dense.weight",
			"encoder.layer.3.output.dense.weight is missing"},
		{"[2,384]", "[384,2]",
			"token_type_embeddings.weight: field shape must be [2, 384]"},
		{"\"dtype\":\"F32\"", "\"dtype\":\"I32\"",
			"word_embeddings.weight: field dtype is I32, must be F32"},
		{"LayerNorm.bias\":{\"dtype\":\"F32\",\"shape\":[384]",
			"LayerNorm.bias\":{\"dtype\":\"F16\",\"shape\":[768]",
			"LayerNorm.bias: field dtype"},
	};
	for (size_t i = 0; i < SG_ARRAY_LEN(bad); i++) {
		struct sg_error err = {0};
		assert_int_equal(bind(bad[i].from, bad[i].to, true, 0, &err), -SG_EINVALID);
		if (!strstr(err.text, bad[i].says))
			fail_msg("\"%s\", wanted \"%s\"", err.text, bad[i].says);
	}
}

static void test_weights_not_finite(void **state)
{
	(void)state;
	struct sg_error err = {0};
	assert_int_equal(bind(NULL, NULL, true, 12345, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "word_embeddings.weight: value 12345 is not a finite"));
	size_t last = ((size_t)30522 + 512 + 2 + 2) * 384 - 1;
	assert_int_equal(bind(NULL, NULL, true, last, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "embeddings.LayerNorm.bias: value 383"));
}

static void test_extra_tensor(void **state)
{
	(void)state;
	sg_autobuf h = SG_BUF_INIT(1 << 20);
	size_t data = fake_header(&h);
	while (h.data[h.len - 1] != '}')
		h.len--;
	h.len--;
	sg_buf_addf(&h, ",\"evil\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[%zu,%zu]}}",
		data, data + 4);
	while (h.len % 8)
		sg_buf_addc(&h, ' ');
	struct file f = file_make(h.data, h.len, data + 4);
	struct sg_weights w = {0};
	struct sg_error err = {0};
	assert_int_equal(sg_weights_bind(&w, f.map, f.n, false, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "only 101 belong"));
	file_drop(&f);
}

static void test_unaligned(void **state)
{
	(void)state;
	sg_autobuf h = SG_BUF_INIT(1 << 20);
	size_t data = fake_header(&h);
	sg_buf_addc(&h, ' ');
	struct file f = file_make(h.data, h.len, data);
	struct sg_weights w = {0};
	struct sg_error err = {0};
	assert_int_equal(sg_weights_bind(&w, f.map, f.n, false, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "not aligned"));
	file_drop(&f);
}

static void test_open_errors(void **state)
{
	(void)state;
	struct sg_weights *w;
	struct sg_error err = {0};
	char *dir = fake_model_create();
	assert_int_equal(sg_weights_open(&w, dir, true, &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "LocalEntryNotFoundError");
	fake_writes(dir, "model.safetensors", "");
	assert_int_equal(sg_weights_open(&w, dir, true, &err), -SG_EINVALID);
	fake_writes(dir, "model.safetensors", "\x02\0\0\0\0\0\0\0{}");
	assert_int_equal(sg_weights_open(&w, dir, false, &err), -SG_EREFUSED);
	assert_string_equal(err.kind, "EmbeddingModelHashMismatch");
	assert_int_equal(sg_weights_open(&w, dir, true, &err), -SG_EINVALID);
	assert_non_null(strstr(err.text, "model.safetensors: header length"));
	fake_model_remove(dir);
	sg_weights_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_accepts),
		cmocka_unit_test(test_header_refuses),
		cmocka_unit_test(test_header_length),
		cmocka_unit_test(test_weights_bind),
		cmocka_unit_test(test_weights_refuse),
		cmocka_unit_test(test_weights_not_finite),
		cmocka_unit_test(test_extra_tensor),
		cmocka_unit_test(test_unaligned),
		cmocka_unit_test(test_open_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
