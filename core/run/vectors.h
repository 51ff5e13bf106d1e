/* Vectors as state: JSON arrays of SG_EMBED_DIM numbers. */
#ifndef SG_RUN_VECTORS_H
#define SG_RUN_VECTORS_H

#include <jansson.h>

#include "embed/embed.h"
#include "run/kinds.h"

/* Nine significant digits: the shortest text that reads back as the same float. */
json_t *sg_vector_json(const float *v);
/* Exactly SG_EMBED_DIM finite numbers. SG_EINVALID. */
int sg_vector_parse(const json_t *j, float *ret_v, struct sg_error *err);
/* In a fixed order, in double: the same bits everywhere. */
double sg_vector_dot(const float *a, const float *b);
/* SG_EREFUSED, kind "LocalEntryNotFoundError", when the engine has no model. */
int sg_vector_need_model(const struct sg_kind_load *l, struct sg_error *err);

#endif
