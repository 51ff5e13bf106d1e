/* stargraph pack test and pack diff. */
#ifndef SG_CLI_PACK_TEST_H
#define SG_CLI_PACK_TEST_H

#include <stdbool.h>

/* Runs a pack's fact tables and prints what came of each case. Exit 1 when one fails, or with
 * strict when a rule never fired. */
int sg_cli_pack_test(const char *dir, bool json, bool strict);
/* Prints what changes when one pack takes the place of another; no signature is asked for. */
int sg_cli_pack_diff(const char *from, const char *to, bool json);

#endif
