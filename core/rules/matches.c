/* glibc's regcomp turns patterns without back references into automata, whose size grows with the
 * product of nested repeat counts; that product is bounded before compiling. */
#include "rules/matches.h"

#include <ctype.h>
#include <regex.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The number after '{' or ',', 0 when there is none. */
static long repeat_count(const char *p)
{
	long most = 0;
	for (const char *q = p + 1; *q && *q != '}'; q++)
		if (isdigit((unsigned char)*q)) {
			char *end;
			long v = strtol(q, &end, 10);
			most = v > most ? v : most;
			q = end - 1;
		}
	return most;
}

static int check_pattern(const char *pattern, struct sg_error *err)
{
	long states = (long)strlen(pattern) + 1;
	if (strlen(pattern) > SG_MATCH_PATTERN_MAX)
		return sg_error_set(err, SG_ELIMIT, NULL,
			"a regular expression of more than %u bytes", SG_MATCH_PATTERN_MAX);
	for (const char *p = pattern; *p; p++) {
		if (*p == '\\' && p[1]) {
			if (isdigit((unsigned char)p[1]))
				return sg_error_set(err, SG_EINVALID, NULL,
					"back references are not allowed in regular expressions");
			p++;
		} else if (*p == '{') {
			long n = repeat_count(p);
			if (n > SG_MATCH_STATES_MAX ||
				(states *= n > 1 ? n : 1) > SG_MATCH_STATES_MAX * 20L)
				return sg_error_set(err, SG_ELIMIT, NULL,
					"a regular expression that repeats too much");
		}
	}
	return 0;
}

int sg_rules_matches(const char *pattern, const char *text, struct sg_error *err)
{
	regex_t re;
	int r = check_pattern(pattern, err);
	if (r < 0)
		return r;
	if (strlen(text) > SG_MATCH_TEXT_MAX)
		return sg_error_set(err, SG_ELIMIT, NULL, "a text of more than %u bytes to match",
			SG_MATCH_TEXT_MAX);
	int e = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
	if (e != 0) {
		char what[128];
		(void)regerror(e, &re, what, sizeof(what));
		return sg_error_set(err, SG_EINVALID, NULL, "bad regular expression \"%.64s\": %s",
			pattern, what);
	}
	int found = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return found;
}
