/* Small file helpers with errors that name the path. */
#ifndef SG_BASE_FILE_H
#define SG_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* The whole file, NUL-terminated (the NUL is not counted); caller frees. Refuses more than max
 * bytes (SG_ELIMIT), not a regular file (SG_EINVALID); SG_ENOTFOUND when there is none. */
int sg_file_read(
	const char *path, size_t max, char **ret_data, size_t *ret_len, struct sg_error *err);

/* Writes a temporary beside path, fsyncs it, renames it over, fsyncs the directory. */
int sg_file_write_atomic(
	const char *path, const void *data, size_t n, mode_t mode, struct sg_error *err);

/* All n bytes, through EINTR and short writes. Returns 0 or -errno. */
int sg_write_all(int fd, const void *data, size_t n);

/* fsync of the directory that holds path. */
int sg_file_sync_dir(const char *path, struct sg_error *err);

#endif
