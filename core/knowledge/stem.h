/* English words without their endings: Porter's algorithm of 1980. */
#ifndef SG_KNOWLEDGE_STEM_H
#define SG_KNOWLEDGE_STEM_H

#include <stddef.h>

/* In place; returns the new length, at most n. A word with anything but a-z stays as it is. */
size_t sg_know_stem(char *word, size_t n);

#endif
