/* UTF-8 of whatever bytes (RFC 3629). */
#ifndef SG_BASE_UTF8_H
#define SG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the sequence at s, which has n > 0; 0 when it is none. */
size_t sg_utf8_length(const char *s, size_t n);
/* Is all of it UTF-8? */
bool sg_utf8_valid(const char *s, size_t n);
/* Bytes of no sequence become '?': for a text that a format cut in the middle of one. */
void sg_utf8_mend(char *text);

#endif
