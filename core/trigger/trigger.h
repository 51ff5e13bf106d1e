/* Triggers: what starts runs besides POST /v1/runs. Declared in stargraph.toml as [[trigger]]:
 *
 *   manual   fired by a person over HTTP, with what is declared here as parameters' defaults
 *   cron     at the ticks of its schedule, in UTC
 *   webhook  by a request that carries an HMAC of its secret
 *
 * A cron or webhook run's actor is "trigger:<id>"; trigger_source is "<kind>:<id>". Nothing is lost
 * or doubled by a restart: a tick is an idempotency key of its run, so is a webhook's signature,
 * and the last tick that was dealt with is in the store. All functions are for the loop's thread.
 */
#ifndef SG_TRIGGER_TRIGGER_H
#define SG_TRIGGER_TRIGGER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"
#include "run/run.h"

#define SG_TRIGGER_MAX 256	  /* declared triggers */
#define SG_TRIGGER_MAX_MISSED 100 /* missed ticks that run_all catches up on: the newest */
#define SG_TRIGGER_LATE_S 60	  /* a tick this late (the host slept) counts as missed */
#define SG_TRIGGER_RETRY_S 1	  /* after the engine was too busy to take a tick's run */
#define SG_TRIGGER_MIN_SECRET 16  /* bytes */
#define SG_TRIGGER_MAX_SECRET 1024

struct sg_triggers;

enum sg_trigger_kind { SG_TRIGGER_MANUAL, SG_TRIGGER_CRON, SG_TRIGGER_WEBHOOK };

/* [[trigger]] of c, checked: graphs are loaded, schedules and secrets can be read, under cleared
 * the trigger is granted runs:start. The error has file, line and column. No [[trigger]]: an empty
 * set.
 */
int sg_triggers_create(struct sg_triggers **ret, struct sg_engine *e, const struct sg_config *c,
	struct sg_error *err);
void sg_triggers_destroy(struct sg_triggers *t); /* NULL is fine */

/* After the engine has recovered: deals with the ticks that were missed since the last one that is
 * recorded, and sets a start for triggers that have none. now: Unix seconds. */
int sg_triggers_begin(struct sg_triggers *t, int64_t now, struct sg_error *err);
/* Fires what is due. */
void sg_triggers_tick(struct sg_triggers *t, int64_t now);
/* Milliseconds from now_us (Unix microseconds) to the next tick; -1 = none. */
int sg_triggers_timeout_ms(const struct sg_triggers *t, int64_t now_us);

struct sg_trigger_info {
	const char *id, *graph_id, *schedule, *missed; /* schedule, missed: NULL unless cron */
	enum sg_trigger_kind kind;
	int64_t last, next; /* Unix seconds, -1 = none */
	const char *source; /* "cron:<id>" */
	int64_t body_bytes; /* of a webhook */
};
size_t sg_triggers_count(const struct sg_triggers *t);
void sg_triggers_get(const struct sg_triggers *t, size_t i, struct sg_trigger_info *ret);
/* -1 = no such trigger. */
int sg_triggers_find(const struct sg_triggers *t, const char *id);

/* Is this request the webhook's: signature = lowercase hex of HMAC-SHA256(secret, "<timestamp>." +
 * body), timestamp (Unix seconds as text) within the window? Headers may be NULL. SG_EDENIED, kind
 * missing_headers, invalid_timestamp, timestamp_out_of_window or invalid_signature. Compared in
 * constant time. */
int sg_triggers_verify(const struct sg_triggers *t, size_t i, const char *timestamp,
	const char *signature, const char *body, size_t len, int64_t now, struct sg_error *err);
/* Starts the run of a verified webhook; params go over the declared ones. by: who brought it.
 * Positive outcome 1: this signature has started a run before. */
int sg_triggers_deliver(struct sg_triggers *t, size_t i, const char *timestamp,
	const char *signature, const json_t *params, const char *by, sg_run_callback accepted,
	void *ctx, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err);
/* A manual trigger, fired by actor. */
int sg_triggers_fire(struct sg_triggers *t, size_t i, const json_t *params, const char *actor,
	sg_run_callback accepted, void *ctx, char ret_run_id[SG_RUN_ID_TEXT], struct sg_error *err);

#endif
