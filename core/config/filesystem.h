/* The table behind the filesystem gate, for its unit test. Internal to config. */
#ifndef SG_CONFIG_FILESYSTEM_H
#define SG_CONFIG_FILESYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

enum sg_fs_use {
	SG_FS_LOCAL,   /* accepted */
	SG_FS_MEMORY,  /* accepted under oss-default */
	SG_FS_NETWORK, /* refused */
	SG_FS_OTHER,   /* refused: not known to keep what it was told */
};

struct sg_filesystem {
	uint32_t magic; /* statfs(2) f_type */
	const char *name;
	enum sg_fs_use use;
};

/* An unlisted number gives name "unknown", SG_FS_OTHER. */
struct sg_filesystem sg_filesystem_of(uint32_t magic);
bool sg_filesystem_accepted(struct sg_filesystem fs, enum sg_profile profile);

#endif
