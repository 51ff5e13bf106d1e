/* "did you mean": the nearest of some known words. */
#ifndef SG_BASE_SUGGEST_H
#define SG_BASE_SUGGEST_H

#include <stddef.h>

/* The known word with the smallest Damerau-Levenshtein distance to word, if that distance is at
 * most a third of its length (at least 1); NULL otherwise. Borrowed from known. */
const char *sg_suggest(const char *word, const char *const *known, size_t n_known);

#endif
