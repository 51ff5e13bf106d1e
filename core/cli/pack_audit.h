/* Pins of pack keys, made and forgotten by hand: each is a line of the state directory's audit log.
 */
#ifndef SG_CLI_PACK_AUDIT_H
#define SG_CLI_PACK_AUDIT_H

#include "cli/cli.h"

/* do_it(ctx) between taking the state directory's lock and writing the record {"key_id",
 * "fingerprint" where it is known}. SG_ECONFLICT names the process that holds the directory. */
int sg_cli_pack_audited(const struct sg_cli_flags *flags, const char *type, const char *key_id,
	const char *fingerprint, int (*do_it)(void *ctx, struct sg_error *err), void *ctx,
	struct sg_error *err);

#endif
