/* tokenizer.json and vocab.txt into a tokenizer. Every setting that changes ids is compared with
 * what tokenizer.c does; another value is refused with the field named. Its truncation and padding
 * (128, fixed) are not ours: sentence-transformers overrides both. */
#include "embed/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "embed/model.h"
#include "embed/weights.h"

#define FILE_NAME "tokenizer.json"

static int bad(struct sg_error *err, const char *field, const char *want)
{
	return sg_error_set(err, SG_EINVALID, NULL, FILE_NAME ": field %s must be %s", field, want);
}

/* The settings, as RFC 6901 pointers with the JSON they must hold. */
static const struct {
	const char *pointer, *json;
} settings[] = {
	{"/version", "\"1.0\""},
	{"/normalizer/type", "\"BertNormalizer\""},
	{"/normalizer/clean_text", "true"},
	{"/normalizer/handle_chinese_chars", "true"},
	{"/normalizer/strip_accents", "null"},
	{"/normalizer/lowercase", "true"},
	{"/pre_tokenizer/type", "\"BertPreTokenizer\""},
	{"/model/type", "\"WordPiece\""},
	{"/model/unk_token", "\"[UNK]\""},
	{"/model/continuing_subword_prefix", "\"##\""},
	{"/model/max_input_chars_per_word", "100"},
	{"/post_processor/type", "\"TemplateProcessing\""},
	{"/post_processor/single",
		"[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
		"\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}]"},
};

static int check_settings(const json_t *root, struct sg_error *err)
{
	for (size_t i = 0; i < SG_ARRAY_LEN(settings); i++) {
		json_auto_t *want = NULL;
		int r = sg_json_parse(settings[i].json, strlen(settings[i].json), &want, err);
		if (r < 0)
			return r;
		if (!json_equal(sg_json_pointer((json_t *)root, settings[i].pointer), want))
			return bad(err, settings[i].pointer, settings[i].json);
	}
	return 0;
}

static int add_vocab(struct sg_tokenizer *t, const char *token, const json_t *value, uint8_t *seen,
	struct sg_error *err)
{
	json_int_t id = json_integer_value(value);
	if (!json_is_integer(value) || id < 0 || id >= SG_BERT_VOCAB)
		return sg_error_set(err, SG_EINVALID, NULL,
			FILE_NAME ": field /model/vocab/%.64s must be an id below %d", token,
			SG_BERT_VOCAB);
	if (seen[id])
		return sg_error_set(err, SG_EINVALID, NULL,
			FILE_NAME ": field /model/vocab: id %d stands twice", (int)id);
	seen[id] = 1;
	int r = sg_vocab_add(&t->vocab, token, strlen(token), (uint32_t)id);
	if (r == -SG_ENOMEM)
		return sg_error_nomem(err);
	if (r < 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			FILE_NAME ": field /model/vocab: token %d is empty, repeated or longer "
				  "than %d bytes",
			(int)id, SG_VOCAB_MAX_TOKEN_BYTES);
	return 0;
}

static int load_vocab(struct sg_tokenizer *t, json_t *root, struct sg_error *err)
{
	json_t *vocab = sg_json_pointer(root, "/model/vocab");
	if (!json_is_object(vocab) || json_object_size(vocab) != SG_BERT_VOCAB)
		return bad(err, "/model/vocab", "an object of 30522 tokens");
	sg_autofree uint8_t *seen = calloc(SG_BERT_VOCAB, 1);
	if (!seen || sg_vocab_init(&t->vocab, SG_BERT_VOCAB) < 0)
		return sg_error_nomem(err);
	const char *token;
	json_t *value;
	json_object_foreach (vocab, token, value) {
		int r = add_vocab(t, token, value, seen, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_special(struct sg_tokenizer *t, const json_t *added, struct sg_error *err)
{
	static const char *const off[] = {"single_word", "lstrip", "rstrip", "normalized"};
	for (size_t i = 0; i < SG_ARRAY_LEN(off); i++)
		if (!json_is_false(json_object_get(added, off[i])))
			return sg_error_set(err, SG_EINVALID, NULL,
				FILE_NAME ": field /added_tokens/%zu/%s must be false", t->specials,
				off[i]);
	const json_t *content = json_object_get(added, "content");
	const json_t *id = json_object_get(added, "id");
	const char *text = json_string_value(content);
	size_t n = json_string_length(content);
	if (!text || n < 2 || n > SG_TOKENIZER_MAX_SPECIAL_BYTES || text[0] != '[' ||
		memchr(text + 1, '[', n - 1))
		return sg_error_set(err, SG_EINVALID, NULL,
			FILE_NAME ": field /added_tokens/%zu/content must begin with its only '['",
			t->specials);
	if (!json_is_integer(id) || json_integer_value(id) != sg_vocab_id(&t->vocab, text, n))
		return sg_error_set(err, SG_EINVALID, NULL,
			FILE_NAME ": field /added_tokens/%zu/id must be that of the vocabulary",
			t->specials);
	struct sg_special *s = &t->special[t->specials++];
	memcpy(s->text, text, n);
	s->n = (uint8_t)n;
	s->id = (int32_t)json_integer_value(id);
	return 0;
}

static int longer_first(const void *a, const void *b)
{
	return (int)((const struct sg_special *)b)->n - (int)((const struct sg_special *)a)->n;
}

static int load_specials(struct sg_tokenizer *t, const json_t *root, struct sg_error *err)
{
	const json_t *added = json_object_get(root, "added_tokens");
	if (!json_is_array(added) || json_array_size(added) > SG_TOKENIZER_MAX_SPECIALS)
		return bad(err, "/added_tokens", "a list of at most 16 tokens");
	size_t i;
	json_t *token;
	json_array_foreach (added, i, token) {
		int r = add_special(t, token, err);
		if (r < 0)
			return r;
	}
	qsort(t->special, t->specials, sizeof(t->special[0]), longer_first);
	return 0;
}

static int special_id(
	const struct sg_tokenizer *t, const char *text, int32_t *ret_id, struct sg_error *err)
{
	for (size_t i = 0; i < t->specials; i++)
		if (t->special[i].n == strlen(text) &&
			memcmp(t->special[i].text, text, t->special[i].n) == 0) {
			*ret_id = t->special[i].id;
			return 0;
		}
	return sg_error_set(
		err, SG_EINVALID, NULL, FILE_NAME ": field /added_tokens has no %s", text);
}

/* The template names its tokens and gives their ids once more. */
static int check_template(const struct sg_tokenizer *t, json_t *root, struct sg_error *err)
{
	const json_t *cls = sg_json_pointer(root, "/post_processor/special_tokens/[CLS]/ids/0");
	const json_t *sep = sg_json_pointer(root, "/post_processor/special_tokens/[SEP]/ids/0");
	if (!json_is_integer(cls) || json_integer_value(cls) != t->cls)
		return bad(err, "/post_processor/special_tokens/[CLS]/ids/0", "the id of [CLS]");
	if (!json_is_integer(sep) || json_integer_value(sep) != t->sep)
		return bad(err, "/post_processor/special_tokens/[SEP]/ids/0", "the id of [SEP]");
	return 0;
}

static int load_json(struct sg_tokenizer *t, json_t *root, struct sg_error *err)
{
	int r = check_settings(root, err);
	if (r == 0)
		r = load_vocab(t, root, err);
	if (r == 0)
		r = load_specials(t, root, err);
	if (r == 0)
		r = special_id(t, "[CLS]", &t->cls, err);
	if (r == 0)
		r = special_id(t, "[SEP]", &t->sep, err);
	if (r == 0)
		r = special_id(t, "[UNK]", &t->unk, err);
	return r == 0 ? check_template(t, root, err) : r;
}

int sg_tokenizer_parse(struct sg_tokenizer **ret, const char *text, size_t n, struct sg_error *err)
{
	json_auto_t *root = NULL;
	int r = sg_json_parse(text, n, &root, err);
	if (r < 0)
		return sg_error_prefix(err, FILE_NAME);
	struct sg_tokenizer *t = calloc(1, sizeof(*t));
	if (!t)
		return sg_error_nomem(err);
	sg_tokenizer_init_ascii(t);
	r = load_json(t, root, err);
	if (r < 0) {
		sg_tokenizer_destroy(t);
		return r;
	}
	*ret = t;
	return 0;
}

int sg_tokenizer_check_vocab(
	const struct sg_tokenizer *t, const char *text, size_t n, struct sg_error *err)
{
	int32_t line = 0;
	for (const char *p = text, *end = text + n; p < end; line++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);
		if (sg_vocab_id(&t->vocab, p, len) != line)
			return sg_error_set(err, SG_EINVALID, NULL,
				"vocab.txt: line %d is not the token that " FILE_NAME
				" has under that id",
				(int)line + 1);
		p += len + 1;
	}
	if (line != SG_BERT_VOCAB)
		return sg_error_set(err, SG_EINVALID, NULL, "vocab.txt: %d lines, must be %d",
			(int)line, SG_BERT_VOCAB);
	return 0;
}

int sg_tokenizer_load(struct sg_tokenizer **ret, const char *dir, bool unpinned, char *ret_sha256,
	struct sg_error *err)
{
	sg_autofree char *json = NULL, *vocab = NULL;
	size_t json_len, vocab_len;
	char sha[SG_SHA256_HEX], vocab_sha[SG_SHA256_HEX];
	int r = sg_model_read(dir, FILE_NAME, unpinned, &json, &json_len, sha, err);
	if (r == 0)
		r = sg_model_read(dir, "vocab.txt", unpinned, &vocab, &vocab_len, vocab_sha, err);
	if (r < 0)
		return r;
	struct sg_tokenizer *t = NULL;
	r = sg_tokenizer_parse(&t, json, json_len, err);
	if (r == 0)
		r = sg_tokenizer_check_vocab(t, vocab, vocab_len, err);
	if (r < 0) {
		sg_tokenizer_destroy(t);
		return sg_error_prefix(err, "%s", dir);
	}
	memcpy(ret_sha256, sha, sizeof(sha));
	*ret = t;
	return 0;
}

void sg_tokenizer_destroy(struct sg_tokenizer *t)
{
	if (!t)
		return;
	sg_vocab_finish(&t->vocab);
	free(t);
}
