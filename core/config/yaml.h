/* YAML 1.1 as the original's safe_load reads it, into Jansson values that remember where they
 * stood. The only user of libyaml.
 *
 * Scalars resolve as PyYAML's: null/~, true/yes/on…, integers, floats; timestamps stay strings.
 * Refused with file, line, column: duplicate keys, non-string keys, tags other than the core ones,
 * several documents, merge keys (<<), more than the limits below.
 */
#ifndef SG_CONFIG_YAML_H
#define SG_CONFIG_YAML_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

#define SG_YAML_MAX_BYTES (4U << 20)
#define SG_YAML_MAX_NODES 200000U
#define SG_YAML_MAX_DEPTH 64U
#define SG_YAML_MAX_ALIASES 1000U

struct sg_yaml {
	char *path;   /* as given, for messages */
	json_t *root; /* owned */
	void *marks;  /* where each JSON pointer stood */
};

int sg_yaml_read_file(const char *path, struct sg_yaml *ret, struct sg_error *err);
int sg_yaml_read_text(
	const char *name, const char *text, size_t n, struct sg_yaml *ret, struct sg_error *err);
void sg_yaml_finish(struct sg_yaml *y);

/* Line and column (from 1) of the value at an RFC 6901 pointer, or of its nearest known ancestor;
 * key = 1 asks for the key instead of the value. */
void sg_yaml_mark(
	const struct sg_yaml *y, const char *pointer, int key, int *ret_line, int *ret_column);

/* Against a schema in base/schema.h's subset, as text. SG_EINVALID "path:line:column: at /pointer:
 * what is wrong". */
int sg_yaml_validate(const struct sg_yaml *y, const char *schema, struct sg_error *err);
/* Puts "path:line:column" of a pointer before the text; returns -err->code. */
int sg_yaml_locate(const struct sg_yaml *y, const char *pointer, struct sg_error *err);

#endif
