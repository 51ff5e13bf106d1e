/* What a YAML 1.1 scalar means to PyYAML's safe_load, as a Jansson value. Internal to config. */
#ifndef SG_CONFIG_YAML_SCALAR_H
#define SG_CONFIG_YAML_SCALAR_H

#include <jansson.h>
#include <stddef.h>

/* text is NUL-terminated, n bytes, without NUL inside. tag NULL = a plain scalar without a tag;
 * "str" for quoted ones; else "null", "bool", "int", "float". Returns a new value, or NULL with
 * *ret_why pointing to a static description ("out of memory" among them). */
json_t *sg_yaml_scalar(const char *tag, const char *text, size_t n, const char **ret_why);

#endif
