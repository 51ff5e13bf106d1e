/* The safetensors container: 8 bytes of header length, a JSON header, the tensors' bytes.
 * Source: https://github.com/huggingface/safetensors (README, "Format"). */
#ifndef SG_EMBED_SAFETENSORS_H
#define SG_EMBED_SAFETENSORS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_SAFETENSORS_MAX_HEADER (1U << 20) /* bytes; the format itself allows 100 MB */
#define SG_SAFETENSORS_MAX_TENSORS 4096
#define SG_SAFETENSORS_MAX_DIMS 8

struct sg_tensor {
	const char *name;  /* borrowed from the header */
	const char *dtype; /* "F32", … */
	size_t dims;
	uint64_t shape[SG_SAFETENSORS_MAX_DIMS];
	const void *data; /* borrowed from the file's bytes */
	uint64_t bytes;
};

struct sg_safetensors {
	json_t *header;		   /* owned */
	struct sg_tensor *tensors; /* owned; in the order of their bytes */
	size_t n;
};

/* Checks the whole header of a file in memory: length, JSON, each dtype, shape and offset, and that
 * the tensors cover the data from end to end without gap or overlap. Errors (SG_EINVALID,
 * SG_ELIMIT) name the tensor and field. data stays the caller's and must outlive *ret. */
int sg_safetensors_parse(
	struct sg_safetensors *ret, const void *data, size_t n, struct sg_error *err);
void sg_safetensors_finish(struct sg_safetensors *s);

#endif
