/* Shared by the files of trigger. */
#ifndef SG_TRIGGER_INTERNAL_H
#define SG_TRIGGER_INTERNAL_H

#include "trigger/cron.h"
#include "trigger/trigger.h"

enum missed { MISSED_SKIP, MISSED_RUN_ONCE, MISSED_RUN_ALL };

struct secret {
	unsigned char bytes[SG_TRIGGER_MAX_SECRET];
	size_t n; /* 0 = none */
};

struct trigger {
	enum sg_trigger_kind kind;
	const char *id, *graph_id, *schedule; /* borrowed from the declaration */
	json_t *params;			      /* the same */
	char *actor, *source;		      /* "trigger:<id>", "cron:<id>" */
	struct sg_cron cron;
	enum missed missed;
	int64_t last, next;	/* -1 = none */
	struct secret *secrets; /* of a webhook: the current one and the one before; owned */
	int64_t window_s, body_bytes;
};

struct sg_triggers {
	struct sg_engine *engine;
	json_t *declared; /* owned reference to the configuration's list */
	struct trigger *all;
	size_t n;
	int64_t wait_until; /* after the engine was busy */
};

extern const char *const sg_trigger_kinds[3];
extern const char *const sg_trigger_missed[3];

/* declare.c */
int sg_trigger_declare(struct sg_triggers *t, struct trigger *ret, const json_t *d,
	const struct sg_config *c, struct sg_error *err);
void sg_trigger_finish(struct trigger *g);

#endif
