/* The support bundle: one JSON file about this host that may be shown to strangers. Made of a list
 * of what may be in it, never of everything with secrets taken out. */
#ifndef SG_CLI_SUPPORT_H
#define SG_CLI_SUPPORT_H

#include "cli/doctor.h"

/* Writes path (mode 0600), after the checks of d have run. In it: version and digest of this
 * program, its libraries, kernel and machine; d's results; the configuration's outline; how many
 * records the store's tables hold and how its runs ended; the log's head, files, counts by type and
 * the latest lines without actor and payload. What cannot be read is named in its place. */
int sg_support_write(const struct sg_doctor *d, const char *path, struct sg_error *err);

#endif
