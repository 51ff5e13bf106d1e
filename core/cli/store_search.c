/* stargraph store search: one query, from a read-only view of the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/store_verbs.h"

#define SHOWN 72 /* bytes of a hit's text on the terminal */

static int embed_query(struct sg_embedder *e, const char *text, float *ret, struct sg_error *err)
{
	struct sg_tokens tokens;
	struct sg_embed_scratch *scratch = sg_embed_scratch_create(e);
	if (!scratch)
		return sg_error_nomem(err);
	int r = sg_tokenize(
		sg_embedder_tokenizer(e), text, strlen(text), SG_EMBED_MAX_TOKENS, &tokens, err);
	if (r == 0) {
		r = sg_embed_ids(e, scratch, tokens.ids, tokens.n, ret, err);
		sg_tokens_finish(&tokens);
	}
	sg_embed_scratch_destroy(scratch);
	return r;
}

static int search(struct sg_store_session *s, const struct sg_store_args *a,
	struct sg_know_query *q, json_t **ret, struct sg_error *err)
{
	float vector[SG_EMBED_DIM];
	struct sg_know_indexes *x = NULL;
	sg_autotxn *t = NULL;
	int r = 0;
	if (q->mode != SG_KNOW_MODE_TEXT) {
		r = embed_query(s->embedder, a->words[1], vector, err);
		q->vector = vector;
	}
	if (r == 0)
		r = sg_know_indexes_create(&x, 0, err);
	if (r == 0)
		r = sg_txn_begin(s->store, false, &t, err);
	if (r == 0)
		r = sg_know_search(x, t, q, ret, err);
	sg_know_indexes_destroy(x);
	return r;
}

static void show_text(const char *text)
{
	for (int i = 0; text[i] && i < SHOWN; i++)
		(void)putchar((unsigned char)text[i] < 0x20 ? ' ' : text[i]);
	(void)putchar('\n');
}

static void show(const json_t *hits, bool json)
{
	size_t i;
	json_t *h;
	json_array_foreach (hits, i, h) {
		sg_autobuf b = SG_BUF_INIT(4U << 20);
		if (json) {
			if (sg_json_canonical(h, &b, NULL) == 0)
				(void)printf("%s\n", b.data);
			continue;
		}
		(void)printf("%.6f  %-24s  ", json_real_value(json_object_get(h, "score")),
			json_string_value(json_object_get(h, "id")));
		show_text(json_string_value(json_object_get(h, "text")));
	}
}

static int open_query(struct sg_store_session *s, const struct sg_store_args *a,
	struct sg_know_query *q, json_t **ret_filter, struct sg_error *err)
{
	struct sg_know_info info;
	int r = a->mode ? sg_know_mode_parse(a->mode, &q->mode, err) : 0;
	if (r == 0 && a->filter)
		r = sg_json_parse(a->filter, strlen(a->filter), ret_filter, err);
	if (r == 0)
		r = sg_store_session_read(s, a->state_dir, err);
	if (r == 0)
		r = sg_store_session_model(s, a, &info, false, err);
	if (r == 0 && !a->mode)
		q->mode = s->embedder ? SG_KNOW_MODE_HYBRID : SG_KNOW_MODE_TEXT;
	if (r == 0 && q->mode != SG_KNOW_MODE_TEXT && !s->embedder)
		r = sg_error_set(err, SG_EINVALID, NULL,
			"store \"%s\" has no vectors: it is searched with --mode text", info.name);
	q->filter = *ret_filter;
	return r;
}

int sg_store_search(const struct sg_store_args *a)
{
	struct sg_store_session s = {.lock_fd = -1};
	json_auto_t *filter = NULL, *hits = NULL;
	struct sg_error err = {0};
	struct sg_know_query q = {.store = a->words[0],
		.text = a->words[1],
		.text_len = strlen(a->words[1]),
		.k = (size_t)a->k,
		.int8 = a->int8,
		.with_text = true};
	int r = open_query(&s, a, &q, &filter, &err);
	if (r == 0)
		r = search(&s, a, &q, &hits, &err);
	if (r == 0)
		show(hits, a->json);
	sg_store_session_close(&s);
	return r < 0 ? sg_cli_fail(&err) : SG_EXIT_DONE;
}
