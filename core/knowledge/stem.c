/* The Porter stemmer (M. F. Porter, "An algorithm for suffix stripping", 1980), as published:
 * frozen, so that what was indexed by one version is found by the next. Words of ASCII letters
 * only. */
#include "knowledge/stem.h"

#include <stdbool.h>
#include <string.h>

struct word {
	char *s;
	size_t n; /* letters */
};

static bool consonant(const struct word *w, size_t i)
{
	switch (w->s[i]) {
	case 'a':
	case 'e':
	case 'i':
	case 'o':
	case 'u': return false;
	case 'y': return i == 0 || !consonant(w, i - 1);
	default: return true;
	}
}

/* How often a vowel is followed by a consonant in the first n letters. */
static unsigned measure(const struct word *w, size_t n)
{
	unsigned m = 0;
	for (size_t i = 1; i < n; i++)
		m += !consonant(w, i - 1) && consonant(w, i);
	return m;
}

static bool has_vowel(const struct word *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!consonant(w, i))
			return true;
	return false;
}

static bool double_consonant(const struct word *w)
{
	return w->n >= 2 && w->s[w->n - 1] == w->s[w->n - 2] && consonant(w, w->n - 1);
}

/* consonant, vowel, consonant that is not w, x or y, at the end of the first n letters */
static bool cvc(const struct word *w, size_t n)
{
	return n >= 3 && consonant(w, n - 1) && !consonant(w, n - 2) && consonant(w, n - 3) &&
	       !strchr("wxy", w->s[n - 1]);
}

static bool ends(const struct word *w, const char *with)
{
	size_t n = strlen(with);
	return w->n >= n && memcmp(w->s + w->n - n, with, n) == 0;
}

/* The end of the word becomes another; never longer than what it replaces by more than 1. */
static void change(struct word *w, const char *from, const char *to)
{
	size_t at = w->n - strlen(from), n = strlen(to);
	memcpy(w->s + at, to, n);
	w->n = at + n;
}

struct suffix {
	const char *from, *to;
};

/* The first suffix that the word has is changed if the stem before it measures more than m. */
static void apply(struct word *w, const struct suffix *list, size_t n, unsigned m)
{
	for (size_t i = 0; i < n; i++) {
		if (!ends(w, list[i].from))
			continue;
		if (measure(w, w->n - strlen(list[i].from)) > m)
			change(w, list[i].from, list[i].to);
		return;
	}
}

static void plurals(struct word *w)
{
	if (ends(w, "sses"))
		change(w, "sses", "ss");
	else if (ends(w, "ies"))
		change(w, "ies", "i");
	else if (!ends(w, "ss") && ends(w, "s"))
		change(w, "s", "");
}

static void past_and_gerund(struct word *w)
{
	if (ends(w, "eed")) {
		if (measure(w, w->n - 3) > 0)
			change(w, "eed", "ee");
		return;
	}
	const char *end = ends(w, "ed") ? "ed" : ends(w, "ing") ? "ing" : NULL;
	if (!end || !has_vowel(w, w->n - strlen(end)))
		return;
	change(w, end, "");
	if (ends(w, "at") || ends(w, "bl") || ends(w, "iz"))
		w->s[w->n++] = 'e';
	else if (double_consonant(w) && !strchr("lsz", w->s[w->n - 1]))
		w->n--;
	else if (measure(w, w->n) == 1 && cvc(w, w->n))
		w->s[w->n++] = 'e';
}

static const struct suffix step2[] = {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},
	{"anci", "ance"}, {"izer", "ize"}, {"abli", "able"}, {"alli", "al"}, {"entli", "ent"},
	{"eli", "e"}, {"ousli", "ous"}, {"ization", "ize"}, {"ation", "ate"}, {"ator", "ate"},
	{"alism", "al"}, {"iveness", "ive"}, {"fulness", "ful"}, {"ousness", "ous"},
	{"aliti", "al"}, {"iviti", "ive"}, {"biliti", "ble"}};
static const struct suffix step3[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"},
	{"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}};
static const struct suffix step4[] = {{"al", ""}, {"ance", ""}, {"ence", ""}, {"er", ""},
	{"ic", ""}, {"able", ""}, {"ible", ""}, {"ant", ""}, {"ement", ""}, {"ment", ""},
	{"ent", ""}, {"sion", "s"}, {"tion", "t"}, {"ou", ""}, {"ism", ""}, {"ate", ""},
	{"iti", ""}, {"ous", ""}, {"ive", ""}, {"ize", ""}};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Step 4 measures before "ion", not before its s or t. */
static void endings(struct word *w)
{
	for (size_t i = 0; i < COUNT(step4); i++) {
		const struct suffix *s = &step4[i];
		size_t stem = w->n - strlen(s->from) + strlen(s->to);
		if (!ends(w, s->from))
			continue;
		if (measure(w, stem) > 1)
			w->n = stem;
		return;
	}
}

static void last_letters(struct word *w)
{
	if (ends(w, "e")) {
		unsigned m = measure(w, w->n - 1);
		if (m > 1 || (m == 1 && !cvc(w, w->n - 1)))
			w->n--;
	}
	if (measure(w, w->n) > 1 && double_consonant(w) && ends(w, "l"))
		w->n--;
}

size_t sg_know_stem(char *word, size_t n)
{
	struct word w = {word, n};
	for (size_t i = 0; i < n; i++)
		if (word[i] < 'a' || word[i] > 'z')
			return n;
	if (n < 3)
		return n;
	plurals(&w);
	past_and_gerund(&w);
	if (ends(&w, "y") && has_vowel(&w, w.n - 1))
		w.s[w.n - 1] = 'i';
	apply(&w, step2, COUNT(step2), 0);
	apply(&w, step3, COUNT(step3), 0);
	endings(&w);
	last_letters(&w);
	return w.n;
}
