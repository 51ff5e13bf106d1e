/* A pack's own tests: fact tables, tests/NAME.yaml in its directory (docs/reference/packs.md). */
#ifndef SG_RUN_PACK_TEST_H
#define SG_RUN_PACK_TEST_H

#include <jansson.h>

#include "base/error.h"

#define SG_PACK_TEST_FILES 256 /* tables of one pack */

/* Compiles the pack alone, signed or not, and runs every case of every table, one step each. *ret
 * is a new object: {"pack", "version", "cases": [{"name", "where": "file:line", "ok", "fired":
 * [rule…], "problem": text where not ok}…], "failed": n, "rules": {rule: firings}, "never_fired":
 * [rule…]}. SG_EINVALID: a pack that does not compile, a table that is none
 * ("file:line:column: …"); SG_ENOTFOUND: there are no tables. */
int sg_pack_test(const char *dir, json_t **ret, struct sg_error *err);

#endif
