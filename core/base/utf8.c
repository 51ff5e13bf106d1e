/* See utf8.h. */
#include "base/utf8.h"

#include <string.h>

size_t sg_utf8_length(const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;
	if (s[0] < 0x80)
		return 1;
	size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || len > n)
		return 0;
	unsigned lo = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	unsigned hi = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool sg_utf8_valid(const char *s, size_t n)
{
	size_t k = 1;
	for (size_t i = 0; i < n && k; i += k)
		k = sg_utf8_length(s + i, n - i);
	return k != 0;
}

void sg_utf8_mend(char *text)
{
	size_t left = strlen(text);
	while (left) {
		size_t n = sg_utf8_length(text, left);
		if (!n) {
			*text = '?';
			n = 1;
		}
		text += n;
		left -= n;
	}
}
