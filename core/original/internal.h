/* Shared by the files of this module. */
#ifndef SG_ORIGINAL_INTERNAL_H
#define SG_ORIGINAL_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>

#include "original/original.h"

#define SG_ORIGINAL_BUDGET 200000 /* ticks of 10,000 virtual machine steps, of one statement */

struct sg_original {
	sqlite3 *db;
	int64_t budget; /* left */
	int schema;
	bool history; /* schema 2 on: there is runs_history */
};

/* What sqlite says, as SG_EINVALID; SG_ENOMEM and SG_EIO stay themselves. */
int sg_original_fail(struct sg_original *o, struct sg_error *err);
int sg_original_prepare(
	struct sg_original *o, const char *sql, sqlite3_stmt **ret, struct sg_error *err);
/* 1: a row; 0: no more. */
int sg_original_step_row(struct sg_original *o, sqlite3_stmt *s, struct sg_error *err);

static inline void sg_original_finalize(sqlite3_stmt **s)
{
	(void)sqlite3_finalize(*s);
}
#define sg_autostmt __attribute__((cleanup(sg_original_finalize))) sqlite3_stmt

#endif
