/* What the files of core/llm share. */
#ifndef SG_LLM_INTERNAL_H
#define SG_LLM_INTERNAL_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "llm/llm.h"

/* address.c: url, socket, port and pinned of *l from what the operator wrote. */
int sg_llm_address(struct sg_llm *l, const char *url, struct sg_error *err);
/* Is it on this host, by what it is and not by what it is called? */
bool sg_llm_is_local(const struct sockaddr *a, size_t size);

#endif
