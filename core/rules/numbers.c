/* See numbers.h. */
#include "rules/numbers.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define CARD_MIN 13
#define CARD_MAX 19
#define IBAN_MIN 15
#define IBAN_MAX 34

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool capital(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool luhn(const char *digits, size_t n)
{
	unsigned sum = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned)(digits[n - 1 - i] - '0');
		d = i % 2 ? d * 2 : d;
		sum += d > 9 ? d - 9 : d;
	}
	return sum % 10 == 0;
}

static bool one_digit_only(const char *digits, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (digits[i] != digits[0])
			return false;
	return true;
}

/* Does a card's number begin here? Every length that ends before a non-digit is looked at. */
static bool card_at(const char *p)
{
	char digits[CARD_MAX];
	size_t n = 0;
	while (n < CARD_MAX && digit(*p)) {
		digits[n++] = *p++;
		if (n >= CARD_MIN && !digit(*p) && luhn(digits, n) && !one_digit_only(digits, n))
			return true;
		if ((*p == ' ' || *p == '-') && digit(p[1]))
			p++;
	}
	return false;
}

bool sg_rules_has_card(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p >= '2' && *p <= '6' && (p == text || !digit(p[-1])) && card_at(p))
			return true;
	return false;
}

/* The remainder by 97 with the first four characters moved to the end, letters as 10 to 35. */
static unsigned remainder_97(const char *s, size_t n)
{
	unsigned rest = 0;
	for (size_t i = 0; i < n; i++) {
		char c = s[(i + 4) % n];
		unsigned v = digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
		rest = (rest * (v > 9 ? 100 : 10) + v) % 97;
	}
	return rest;
}

static bool iban_at(const char *p)
{
	char s[IBAN_MAX];
	size_t n = 0;
	if (!capital(p[0]) || !capital(p[1]) || !digit(p[2]) || !digit(p[3]))
		return false;
	while (n < IBAN_MAX && (digit(*p) || capital(*p))) {
		s[n++] = *p++;
		if (n >= IBAN_MIN && !isalnum((unsigned char)*p) && remainder_97(s, n) == 1)
			return true;
		if (*p == ' ' && (digit(p[1]) || capital(p[1])))
			p++;
	}
	return false;
}

bool sg_rules_has_iban(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((p == text || !isalnum((unsigned char)p[-1])) && iban_at(p))
			return true;
	return false;
}
