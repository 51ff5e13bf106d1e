/* The request head as it came over the wire, checked more strictly than h2o 2.2 does.
 *
 * h2o takes Transfer-Encoding beside Content-Length, a second Content-Length, a missing Host,
 * folded lines and bare LF (RFC 9112 sections 2.2, 3.2, 5.2, 6.1-6.3 say to refuse them). While a
 * handler runs, the head still stands at the front of the connection's input buffer: it is read
 * again here, in one pass, and the identity headers are picked out on the way.
 */
#ifndef SG_SERVE_HEAD_H
#define SG_SERVE_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sg_text {
	const char *data; /* borrowed from the head; NULL = absent */
	size_t len;
};

/* The headers set between edge and core, by their exact names. */
enum sg_edge_header {
	SG_EDGE_SUBJECT,
	SG_EDGE_ISSUER,
	SG_EDGE_SERIAL,
	SG_EDGE_FINGERPRINT,
	SG_EDGE_SAN,
	SG_EDGE_REFUSED,
	SG_EDGE_MAC,
	SG_EDGE_XFCC,
	SG_EDGE_HEADERS
};

struct sg_head {
	struct sg_text method, target;
	struct sg_text edge[SG_EDGE_HEADERS];
	/* A name that could be taken for an identity header's: another case is the same header; one
	 * that is equal when all but letters and digits is ignored, a known name of other proxies,
	 * a second one of the same name, or a mention in Connection, Proxy-Connection or Trailer.
	 * Empty when there is none. */
	char alias[64];
	bool identity; /* any identity header or alias at all: a client of the direct door has none
			*/
};

#define SG_HEAD_MAX 65536U /* bytes of a head */

/* n bytes that begin with a head; it ends at the first empty line. SG_EINVALID: answer 400 and
 * close; SG_ELIMIT: 431. *ret borrows from data. */
int sg_head_read(const char *data, size_t n, struct sg_head *ret, struct sg_error *err);

#endif
