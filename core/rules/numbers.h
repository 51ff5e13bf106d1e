/* Numbers of persons that have a check digit, found in texts: what rules ask through
 * has-card-number and has-iban. Both are linear in the text. */
#ifndef SG_RULES_NUMBERS_H
#define SG_RULES_NUMBERS_H

#include <stdbool.h>

/* A payment card's number: 13 to 19 digits, single blanks or dashes between them, no digit right
 * before or after, first digit 2 to 6, Luhn's check digit right, not one digit only. */
bool sg_rules_has_card(const char *text);
/* An IBAN: two capitals, two digits, 11 to 30 capitals or digits, single blanks between, no letter
 * or digit right before or after; ISO 13616's remainder is 1. */
bool sg_rules_has_iban(const char *text);

#endif
