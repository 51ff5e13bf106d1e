/* A made-up model directory of the right shape, for tests that damage it. */
#ifndef TEST_FAKE_MODEL_H
#define TEST_FAKE_MODEL_H

#include <stddef.h>

#include "base/buf.h"

/* A temporary directory with config.json, sentence_bert_config.json, 1_Pooling/config.json,
 * modules.json, tokenizer.json and vocab.txt; no weights. Caller frees the path after
 * fake_model_remove. */
char *fake_model_create(void);
void fake_model_remove(char *dir);

void fake_write(const char *dir, const char *name, const void *data, size_t n);
void fake_writes(const char *dir, const char *name, const char *text);
/* The file's text; caller frees. */
char *fake_read(const char *dir, const char *name);
/* Replaces the first occurrence of from in the file, which must be there. */
void fake_edit(const char *dir, const char *name, const char *from, const char *to);

/* The JSON header of a safetensors file with every tensor of the
 * model. Returns the bytes of data that it covers. */
size_t fake_header(struct sg_buf *ret);

#endif
