/* An engine of this process's own, for verbs that run or change runs without a server. */
#ifndef SG_CLI_SESSION_H
#define SG_CLI_SESSION_H

#include <stdbool.h>

#include "base/buf.h"
#include "cli/packs.h"
#include "run/run.h"

#define SG_SESSION_STATE_DIR ".stargraph" /* unless --state-dir says otherwise */

#define SG_SESSION_LM "lm" /* the language model of --lm-url */

struct sg_session {
	struct sg_engine *engine;
	struct sg_embedder *embedder; /* NULL = not needed */
	struct sg_mounts *mounts;     /* NULL = no packs */
	struct sg_tools *tools;	      /* NULL = no configuration was named */
	struct sg_llms *llms;	      /* NULL = none is declared */
};

struct sg_session_options {
	const char *state_dir; /* NULL = SG_SESSION_STATE_DIR */
	bool with_model;
	const char *model; /* where it lies; NULL = HF_HOME */
	/* Directories of rule packs; their keys are pinned on first use in
	 * <state_dir>/trusted_keys. */
	const struct sg_cli_packs *packs; /* NULL = none */
	bool allow_side_effects;
	const char *config; /* stargraph.toml that declares tools, stores and language models; NULL
			     * = there are none */
	const char *lm_url, *lm_model; /* a language model instead of those; NULL = none. Not under
					* cleared */
};

/* Makes the state directory (mode 0700) if need be, checks its filesystem, locks it. */
int sg_session_open(
	struct sg_session *s, const struct sg_session_options *with, struct sg_error *err);
void sg_session_close(struct sg_session *s);
int sg_session_turn(struct sg_session *s, struct sg_error *err); /* waits and turns once */
/* Turns the engine until *done. */
int sg_session_wait(struct sg_session *s, const bool *done, struct sg_error *err);

/* How a run settled: for sg_session_wait, sg_session_settled being the engine's callback and the
 * outcome its ctx. */
struct sg_session_outcome {
	bool settled;
	enum sg_run_status status;
	struct sg_error err; /* of the engine, which then failed */
};
void sg_session_settled(void *ctx, const struct sg_run_view *v, const struct sg_error *err);

/* {"run_id","status","reason","path","state","steps"}, and "error_class", "error_cause" of a failed
 * run, "waiting" of one that waits. */
void sg_session_summary(const struct sg_run_view *v, struct sg_buf *out);
/* The exit code for a run in this state. */
int sg_session_exit(enum sg_run_status status);

#endif
