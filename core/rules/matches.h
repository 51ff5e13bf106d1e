/* The regular expressions that rule packs may use (the original's fathom-matches), bounded: POSIX
 * extended syntax without back references, pattern and text limited, repeat counts limited. */
#ifndef SG_RULES_MATCHES_H
#define SG_RULES_MATCHES_H

#include "base/error.h"

#define SG_MATCH_PATTERN_MAX 256U
#define SG_MATCH_TEXT_MAX 65536U
#define SG_MATCH_STATES_MAX 2000

/* 1 when some part of text matches, 0 when none does; SG_EINVALID for a bad pattern, SG_ELIMIT for
 * one of the limits. */
int sg_rules_matches(const char *pattern, const char *text, struct sg_error *err);

#endif
