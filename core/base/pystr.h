/* Python's str() of a JSON value: how the original shows state to rules and templates. */
#ifndef SG_BASE_PYSTR_H
#define SG_BASE_PYSTR_H

#include <jansson.h>

#include "base/buf.h"

/* Scalars: True, 3, 0.5, 1e-07, None, text as it is. Lists and objects as canonical JSON (Python
 * would print its own literals). Appended to out. */
void sg_pystr(const json_t *v, struct sg_buf *out);
void sg_pystr_integer(long long v, struct sg_buf *out);

#endif
