/* Copies of a state directory's files, for backup and restore. New files only, mode 0600, synced.
 */
#ifndef SG_CLI_COPY_H
#define SG_CLI_COPY_H

#include "cli/evidence.h"

int sg_copy_create(const char *path, int *ret_fd, struct sg_error *err);
int sg_copy_finish(int fd, const char *path, struct sg_error *err);
/* The log's files that belong to this head, into dest under their own names: archives whole, of the
 * head's file as much as the head says (or as much as there is). */
int sg_copy_log(const struct sg_audit_head *head, const char *dest, struct sg_error *err);
/* All of one file. */
int sg_copy_file(const char *from, const char *to, struct sg_error *err);

#endif
