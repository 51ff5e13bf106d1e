/* Identifiers. */
#ifndef SG_BASE_IDS_H
#define SG_BASE_IDS_H

#include <stdbool.h>

#include "base/error.h"

/* "run-" or "cf-" plus 28 hex digits: 48 bits of Unix milliseconds, a 16-bit counter that only
 * grows within one millisecond, 48 random bits. Text order is creation order within a process. */
#define SG_RUN_ID_TEXT 40

int sg_run_id_make(bool fork, char ret_id[SG_RUN_ID_TEXT], struct sg_error *err);
/* [A-Za-z0-9_.-]{1,64}: node, rule and graph-local identifiers ("run:" graph ids allow ':'). */
bool sg_id_valid(const char *id);

#endif
