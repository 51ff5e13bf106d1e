/* JSON in and out: bounded parsing, canonical output (RFC 8785), and the number rules.
 *
 * Values are Jansson's. Jansson's own printing is never used for anything hashed or recorded: it
 * prints 0.54722559999999998 where RFC 8785 wants the shortest form that reads back the same.
 */
#ifndef SG_BASE_JSON_H
#define SG_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define SG_JSON_MAX_DEPTH 64	       /* of what is parsed */
#define SG_JSON_MAX_OUTPUT_DEPTH 256   /* of what is printed: parsed values get wrapped */
#define SG_JSON_MAX_HASHED (64U << 20) /* bytes of canonical form that sg_json_hash makes */

/* Parses exactly one JSON value (nothing but white space after it). Refuses duplicate object keys,
 * NUL in strings, invalid UTF-8, NaN/Infinity, integers outside 64 bit, and nesting deeper than
 * SG_JSON_MAX_DEPTH. The error text has line and column. Caller owns the result. */
int sg_json_parse(const char *text, size_t n, json_t **ret_value, struct sg_error *err);

/* The same, but a string value may hold NUL (json_string_length counts it): for texts that are
 * tokenized, never for state or anything recorded. Keys still may not. */
int sg_json_parse_texts(const char *text, size_t n, json_t **ret_value, struct sg_error *err);

/* RFC 8785 canonical form appended to out. Integers beyond ±(2^53-1) are written in the original's
 * tagged form, the string "__stargraph_bigint__:<decimal>". NaN, infinities and too deep nesting:
 * SG_EINVALID; out's limit reached: SG_ELIMIT. */
int sg_json_canonical(const json_t *value, struct sg_buf *out, struct sg_error *err);

/* For what is stored and read back: as the canonical form, but every number keeps its type and
 * value (RFC 8785 prints the real 1.0 as 1, 1e17 as digits that would read back as an integer, and
 * big integers as tagged strings). sg_json_parse(sg_json_print(v)) equals v; both have one
 * canonical form. Same errors. */
int sg_json_print(const json_t *value, struct sg_buf *out, struct sg_error *err);

/* SHA-256 of the canonical form, 64 hex digits and NUL into ret_hex[65]. */
int sg_json_hash(const json_t *value, char *ret_hex, struct sg_error *err);

/* ECMAScript Number::toString of a finite double: shortest digits that round-trip. Returns length.
 */
size_t sg_json_number(double v, char ret_text[32]);

/* An object's member as text (borrowed; NULL, or "", if absent or no string) or as an integer. */
const char *sg_json_text(const json_t *object, const char *key);
const char *sg_json_text_or_empty(const json_t *object, const char *key);
int64_t sg_json_int(const json_t *object, const char *key, int64_t otherwise);
/* Adds one to an integer member; one that is absent, or no integer, becomes 1. */
void sg_json_count(json_t *object, const char *key);

/* RFC 6901: the value at pointer, borrowed, or NULL. */
json_t *sg_json_pointer(const json_t *root, const char *pointer);

#endif
