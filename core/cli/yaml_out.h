/* JSON values as YAML text, in the order in which they stand; reads back to the same values. */
#ifndef SG_CLI_YAML_OUT_H
#define SG_CLI_YAML_OUT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"

int sg_yaml_write(const json_t *v, struct sg_buf *out, struct sg_error *err);

#endif
