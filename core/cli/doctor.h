/* stargraph doctor: what must hold on this host, one stable id a check. A check never changes
 * anything and never waits longer than a few seconds. */
#ifndef SG_CLI_DOCTOR_H
#define SG_CLI_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "config/config.h"

enum sg_doctor_level {
	SG_DOCTOR_OK,
	SG_DOCTOR_NOTE, /* worth knowing, no reason not to start, not even with --strict */
	SG_DOCTOR_WARN,
	SG_DOCTOR_FAIL
};

struct sg_doctor {
	const struct sg_config *config;
	json_t *results;    /* array of {id, level, detail, fix} */
	unsigned counts[4]; /* by level */
	const char *only;   /* one id, or NULL */
};

/* Adds one result. fix NULL for SG_DOCTOR_OK. */
void sg_doctor_say(struct sg_doctor *d, const char *id, enum sg_doctor_level level, const char *fix,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The groups, in the order of the start. */
void sg_doctor_host(struct sg_doctor *d);  /* clock.*, limits.*, host.* */
void sg_doctor_files(struct sg_doctor *d); /* config.*, state.*, disk.* */
void sg_doctor_tls(struct sg_doctor *d);   /* tls.* */
void sg_doctor_model(struct sg_doctor *d); /* model.* */
void sg_doctor_store(struct sg_doctor *d); /* store.*, audit.* */
void sg_doctor_edge(struct sg_doctor *d);  /* edge.*, door.*, grants.* */
void sg_doctor_tools(struct sg_doctor *d); /* tools.* */

/* A client's way in: what --edge and its companions say. */
struct sg_doctor_edge_options {
	const char *url;       /* "https://name[:port]"; NULL = no request is made */
	const char *address;   /* NULL = 127.0.0.1 */
	const char *cert, *ca; /* PEM: the client's certificate and key; the server's CA */
};
void sg_doctor_wire(
	struct sg_doctor *d, const struct sg_doctor_edge_options *o); /* edge.request,
									 edge.anonymous */
void sg_doctor_llms(struct sg_doctor *d);			      /* llm.* */

#endif
