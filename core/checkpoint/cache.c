/* See cache.h. */
#include "checkpoint/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint.h"

struct sg_checkpoint_cache *sg_checkpoint_cache_create(void)
{
	return calloc(1, sizeof(struct sg_checkpoint_cache));
}

void sg_checkpoint_cache_clear(struct sg_checkpoint_cache *c)
{
	for (size_t i = 0; c && i < SG_CHECKPOINT_CACHED; i++)
		sg_checkpoint_key_set(&c->keys[i], "", 0, 0, NULL, 0);
}

void sg_checkpoint_cache_destroy(struct sg_checkpoint_cache *c)
{
	sg_checkpoint_cache_clear(c);
	free(c);
}

struct sg_checkpoint_key *sg_checkpoint_key_of(struct sg_checkpoint_cache *c, const char *run_id)
{
	uint32_t h = 2166136261U; /* FNV-1a */
	for (const char *p = run_id; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619U;
	return &c->keys[(h >> 16) % SG_CHECKPOINT_CACHED];
}

void sg_checkpoint_key_set(struct sg_checkpoint_key *k, const char *run_id, int64_t step,
	uint64_t key, char *body, size_t len)
{
	free(k->body);
	(void)snprintf(k->run_id, sizeof(k->run_id), "%s", body ? run_id : "");
	k->step = step;
	k->key = key;
	k->body = body;
	k->len = len;
	k->loaded = false;
}

const LZ4_stream_t *sg_checkpoint_key_dictionary(struct sg_checkpoint_key *k)
{
	if (!k->loaded) {
		LZ4_initStream(&k->dictionary, sizeof(k->dictionary));
		(void)LZ4_loadDict(&k->dictionary, k->body, (int)k->len);
		k->loaded = true;
	}
	return &k->dictionary;
}
