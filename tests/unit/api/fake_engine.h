/* An engine without graphs, disk or threads: the same functions, with outcomes a test can choose.
 *
 * Graphs: "done" settles as done, "ask" waits for an answer that needs the capability
 * "risk:approve", "hang" is accepted and never settles, "busy" is refused as busy. Callbacks come
 * from fake_dispatch() only. */
#ifndef TESTS_UNIT_API_FAKE_ENGINE_H
#define TESTS_UNIT_API_FAKE_ENGINE_H

#include "run/run.h"

struct sg_engine *fake_engine_create(void);
void fake_engine_destroy(struct sg_engine *e);
/* Delivers what is due; returns how many callbacks were called. */
int fake_dispatch(struct sg_engine *e);
void fake_audit_fails(struct sg_engine *e, bool fails);
/* Answers wait for their records. */
void fake_behind(struct sg_engine *e, bool behind);
void fake_starts_busy(struct sg_engine *e, bool busy);

/* The audit so far: "actor type kind" a line, newest last. */
const char *fake_audit(const struct sg_engine *e);
/* How many callbacks wait for delivery. */
size_t fake_pending(const struct sg_engine *e);

#endif
