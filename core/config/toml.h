/* TOML 1.0 to Jansson, with places. Internal to config; toml.cpp is the one C++ file, because
 * Debian 12 has no C parser for TOML.
 *
 * Dates and times, infinities, NaN and NUL characters are refused: no key here takes them. */
#ifndef SG_CONFIG_TOML_H
#define SG_CONFIG_TOML_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "config/marks.h"

#define SG_TOML_MAX_BYTES (1U << 20)
#define SG_TOML_MAX_DEPTH 32U

/* Both outputs are owned by the caller. SG_EINVALID with "name:line:column: what". */
int sg_toml_read(const char *name, const char *text, size_t n, json_t **ret_root,
	struct sg_mark **ret_marks, struct sg_error *err);

#endif
