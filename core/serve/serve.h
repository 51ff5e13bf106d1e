/* `stargraph serve`: h2o on one loop thread, three doors, the engine beside it.
 *
 * All gates are passed before any port opens. Runs until SIGTERM or SIGINT, then drains: no
 * request that was read is lost, within SG_SERVE_DRAIN_MS. SIGHUP, or a change of the file,
 * reloads the configuration: grants, deny list, edge users, MAC key, TLS files, rule packs.
 */
#ifndef SG_SERVE_SERVE_H
#define SG_SERVE_SERVE_H

#include <stddef.h>

#include "base/error.h"
#include "config/config.h"

struct sg_serve_options {
	const char *config_path; /* NULL = the default path if it exists */
	const struct sg_config_flag *flags;
	size_t n_flags;
	char *const *env;
};

/* Returns 0 after a clean shutdown. SG_EREFUSED, SG_EINVALID: a gate; nothing was opened. */
int sg_serve(const struct sg_serve_options *o, struct sg_error *err);

#endif
