/* JSON Patch (RFC 6902): what makes one value of another. */
#ifndef SG_BASE_PATCH_H
#define SG_BASE_PATCH_H

#include <jansson.h>

#include "base/error.h"

/* *ret: a new array of operations, only add, remove and replace, that make b when applied to a in
 * order; empty when they are equal. NULL stands for no value: the patch then replaces the whole
 * document, as RFC 6902 does with the path "". Values are shared with b, not copied. Members are in
 * the order of their names, so equal inputs give equal patches. */
int sg_json_patch(const json_t *a, const json_t *b, json_t **ret, struct sg_error *err);

#endif
