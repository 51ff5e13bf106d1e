/* The fast part of sg_json_parse; nobody else's to call. */
#ifndef SG_BASE_JSON_READ_H
#define SG_BASE_JSON_READ_H

#include <jansson.h>
#include <stddef.h>

/* The value that Jansson would give, new; NULL when this reader is not sure, or out of memory. */
json_t *sg_json_read(const char *text, size_t n);

#endif
