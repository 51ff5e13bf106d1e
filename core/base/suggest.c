/* The nearest known word, by the restricted Damerau-Levenshtein distance (optimal string alignment;
 * Damerau 1964): insertion, deletion, substitution and the swap of two neighbours cost 1 each. */
#include "base/suggest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 64U /* longer words get no suggestion */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;
	return m < c ? m : c;
}

static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];
	for (size_t j = 0; j <= nb; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned swap = last[j - 1] + (a[i - 1] != b[j - 1]);
			now[j] = min3(last[j] + 1, now[j - 1] + 1, swap);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		unsigned *t = before;
		before = last;
		last = now;
		now = t;
	}
	return last[nb];
}

const char *sg_suggest(const char *word, const char *const *known, size_t n_known)
{
	size_t n = strlen(word);
	if (n == 0 || n > WORD_MAX)
		return NULL;
	unsigned best = n / 3 > 1 ? (unsigned)(n / 3) : 1;
	const char *found = NULL;
	for (size_t i = 0; i < n_known; i++) {
		size_t nk = strlen(known[i]);
		if (nk > WORD_MAX)
			continue;
		unsigned d = distance(word, n, known[i], nk);
		if (d < best || (d == best && !found)) {
			best = d;
			found = known[i];
		}
	}
	return found;
}
