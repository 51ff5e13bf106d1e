/* JSON Schema, one stated subset, one validator: used for requests, tools, node configurations and
 * human answers alike. (No C library for it in Debian 12.)
 *
 * Keywords: type (a string or list), properties, required, enum, const, items,
 * additionalProperties (bool or schema), minimum, maximum, minLength, maxLength (Unicode code
 * points), minItems, maxItems; title, description, default and $comment are ignored. Any other
 * keyword is an error of sg_schema_check, never silently skipped. Stricter than the standard in one
 * point: 1.0 is not an "integer", so that what passed may be read with json_integer_value.
 */
#ifndef SG_BASE_SCHEMA_H
#define SG_BASE_SCHEMA_H

#include <jansson.h>

#include "base/error.h"

/* Is `schema` itself written in the subset? SG_EINVALID names the pointer and keyword. */
int sg_schema_check(const json_t *schema, struct sg_error *err);

/* SG_EINVALID with "at /pointer: what is wrong"; an unknown property names the nearest known one.
 * kind is "schema-violation". schema must have passed sg_schema_check. */
int sg_schema_validate(const json_t *schema, const json_t *value, struct sg_error *err);

#endif
