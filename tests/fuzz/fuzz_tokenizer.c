/* The tokenizer on any bytes: an error exactly for invalid UTF-8, ids of the vocabulary, and a
 * truncated result that is the beginning of the whole one. First byte: the limit. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "embed/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const words[] = {"[CLS]", "[SEP]", "[UNK]", "[MASK]", "a", "##a", "##b", "ab",
	"##ba", "e", "\xe4\xb8\xad", "\xe1\x84\x80", "##\xe1\x85\xa1", "!", "[", "]", "0", "##0",
	"#"};
#define WORDS (sizeof(words) / sizeof(words[0]))

static struct sg_tokenizer *make(void)
{
	struct sg_tokenizer *t = calloc(1, sizeof(*t));
	assert(t && sg_vocab_init(&t->vocab, 4) == 0);
	sg_tokenizer_init_ascii(t);
	for (uint32_t i = 0; i < WORDS; i++)
		assert(sg_vocab_add(&t->vocab, words[i], strlen(words[i]), i) == 0);
	for (size_t i = 0; i < 4; i++) {
		struct sg_special *s = &t->special[t->specials++];
		s->n = (uint8_t)strlen(words[i]);
		s->id = (int32_t)i;
		memcpy(s->text, words[i], s->n);
	}
	t->sep = 1;
	t->unk = 2;
	return t;
}

/* Jansson's own check of UTF-8, which shares nothing with ours. */
static int is_utf8(const char *text, size_t n)
{
	json_t *s = json_stringn(text, n);
	json_decref(s);
	return s != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct sg_tokenizer *t;
	if (!t)
		t = make();
	if (n == 0)
		return 0;
	size_t limit = 2 + data[0] % 32;
	const char *text = (const char *)data + 1;
	n--;
	struct sg_tokens all, some;
	struct sg_error err = {0};
	int r = sg_tokenize(t, text, n, 0, &all, &err);
	assert((r == 0) == is_utf8(text, n));
	if (r < 0) {
		assert(r == -SG_EINVALID && sg_tokenize(t, text, n, limit, &some, &err) == r);
		return 0;
	}
	assert(all.n >= 2 && all.n <= n + 2 && !all.truncated && all.ids[0] == 0);
	assert(sg_tokenize(t, text, n, limit, &some, &err) == 0);
	assert(some.n <= limit && some.n + some.dropped == all.n);
	assert(memcmp(some.ids, all.ids, (some.n - 1) * sizeof(*all.ids)) == 0);
	assert(some.ids[some.n - 1] == 1);
	for (size_t i = 0; i < all.n; i++)
		assert(all.ids[i] >= 0 && all.ids[i] < (int32_t)WORDS);
	sg_tokens_finish(&all);
	sg_tokens_finish(&some);
	return 0;
}
