/* Ids of many texts in one process, for the differential tests and the benchmark: reads records of
 * a little-endian uint32 length and that many bytes of text on standard input; writes for each a
 * uint32 count and that many int32 ids, or UINT32_MAX and a uint32 byte offset for invalid UTF-8.
 *
 * usage: tokenize-stream MODEL_DIR MAX_TOKENS [ROUNDS | spans]
 * With ROUNDS the texts are tokenized that often and only the best seconds are printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "embed/embed.h"
#include "embed/model.h"

struct texts {
	char *bytes; /* owned */
	size_t len, cap;
};

static int read_all(struct texts *in)
{
	for (;;) {
		if (in->len == in->cap) {
			size_t cap = in->cap ? in->cap * 2 : 1 << 20;
			char *p = realloc(in->bytes, cap);
			if (!p)
				return -1;
			in->bytes = p;
			in->cap = cap;
		}
		size_t n = fread(in->bytes + in->len, 1, in->cap - in->len, stdin);
		if (n == 0)
			return ferror(stdin) ? -1 : 0;
		in->len += n;
	}
}

/* The next text at *at, or NULL at the end. */
static const char *next_text(const struct texts *in, size_t *at, uint32_t *ret_n)
{
	if (in->len - *at < sizeof(*ret_n))
		return NULL;
	memcpy(ret_n, in->bytes + *at, sizeof(*ret_n));
	const char *text = in->bytes + *at + sizeof(*ret_n);
	if (in->len - *at - sizeof(*ret_n) < *ret_n)
		return NULL;
	*at += sizeof(*ret_n) + *ret_n;
	return text;
}

static void put(uint32_t v)
{
	(void)fwrite(&v, sizeof(v), 1, stdout);
}

/* sg_tokenize promises the offset at the end of its message. */
static uint32_t offset_of(const struct sg_error *err)
{
	const char *digits = strrchr(err->text, ' ');
	return digits ? (uint32_t)strtoul(digits, NULL, 10) : UINT32_MAX;
}

static void answer_all(const struct sg_tokenizer *t, const struct texts *in, size_t max_tokens)
{
	uint32_t n;
	size_t at = 0;
	for (const char *text; (text = next_text(in, &at, &n));) {
		struct sg_tokens tokens;
		struct sg_error err = {0};
		if (sg_tokenize(t, text, n, max_tokens, &tokens, &err) < 0) {
			put(UINT32_MAX);
			put(offset_of(&err));
			continue;
		}
		put((uint32_t)tokens.n);
		(void)fwrite(tokens.ids, sizeof(*tokens.ids), tokens.n, stdout);
		sg_tokens_finish(&tokens);
	}
}

/* For each text a count, then id, first character and the one behind the last, of each token. */
static void answer_spans(const struct sg_tokenizer *t, const struct texts *in)
{
	uint32_t n;
	size_t at = 0;
	for (const char *text; (text = next_text(in, &at, &n));) {
		struct sg_tokens tokens = {0};
		struct sg_token_span *spans = NULL;
		(void)sg_tokenize_spans(t, text, n, 0, &tokens, &spans, NULL);
		put((uint32_t)tokens.n);
		for (size_t i = 0; i < tokens.n; i++) {
			put((uint32_t)tokens.ids[i]);
			put((uint32_t)spans[i].start);
			put((uint32_t)spans[i].stop);
		}
		free(spans);
		sg_tokens_finish(&tokens);
	}
}

static double now(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void time_all(
	const struct sg_tokenizer *t, const struct texts *in, size_t max_tokens, long rounds)
{
	double best = 1e9;
	for (long r = 0; r < rounds; r++) {
		double start = now();
		uint32_t n;
		size_t at = 0;
		for (const char *text; (text = next_text(in, &at, &n));) {
			struct sg_tokens tokens;
			if (sg_tokenize(t, text, n, max_tokens, &tokens, NULL) == 0)
				sg_tokens_finish(&tokens);
		}
		double took = now() - start;
		best = took < best ? took : best;
	}
	printf("%.9f\n", best);
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		(void)fputs(
			"usage: tokenize-stream MODEL_DIR MAX_TOKENS [ROUNDS | spans]\n", stderr);
		return 2;
	}
	struct sg_error err = {0};
	struct sg_tokenizer *t = NULL;
	char sha[65];
	if (sg_tokenizer_load(&t, argv[1], false, sha, &err) < 0) {
		(void)fprintf(stderr, "tokenize-stream: %s\n", err.text);
		return 2;
	}
	struct texts in = {0};
	size_t max_tokens = strtoul(argv[2], NULL, 10);
	int r = read_all(&in);
	if (r == 0 && argc > 3 && strcmp(argv[3], "spans") == 0)
		answer_spans(t, &in);
	else if (r == 0 && argc > 3)
		time_all(t, &in, max_tokens, strtol(argv[3], NULL, 10));
	else if (r == 0)
		answer_all(t, &in, max_tokens);
	free(in.bytes);
	sg_tokenizer_destroy(t);
	return r < 0 || fflush(stdout) != 0;
}
