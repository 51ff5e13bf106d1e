/* What the verbs that execute records share: a state directory opened for reading, a replayer. */
#ifndef SG_CLI_REPLAYING_H
#define SG_CLI_REPLAYING_H

#include "embed/embed.h"
#include "run/replay/firings.h"
#include "run/replay/replay.h"
#include "run/replay/whatif.h"
#include "store/store.h"

struct sg_replaying {
	struct sg_store *store; /* NULL without a state directory */
	struct sg_txn *txn;	/* for reading */
	struct sg_replayer *replayer;
	struct sg_embedder *embedder; /* loaded when a graph wants it */
	const char *model;	      /* --model, or NULL */
};

/* state_dir NULL = .stargraph. SG_ENOTFOUND. */
int sg_replaying_open(
	struct sg_replaying *s, const char *state_dir, const char *model, struct sg_error *err);
/* Without a state directory: for evidence files. */
int sg_replaying_open_bare(struct sg_replaying *s, const char *model, struct sg_error *err);
void sg_replaying_close(struct sg_replaying *s);
/* sg_replay, with the model loaded where the graph asks for it. */
int sg_replaying_run(struct sg_replaying *s, const struct sg_recording *rec,
	struct sg_replay_result *ret, struct sg_error *err);

/* sg_firings_at, likewise. */
int sg_replaying_firings(struct sg_replaying *s, const struct sg_recording *rec, int64_t step,
	json_t **ret, struct sg_error *err);
/* sg_whatif, likewise. */
int sg_replaying_whatif(struct sg_replaying *s, const struct sg_recording *rec,
	const struct sg_mounts *m, struct sg_recording **ret, struct sg_error *err);

struct sg_run_id_list {
	char (*id)[SG_RUN_ID_TEXT]; /* oldest first */
	size_t n, cap;
};
/* Every stored run. */
int sg_replaying_runs(struct sg_replaying *s, struct sg_run_id_list *ret, struct sg_error *err);
void sg_run_id_list_finish(struct sg_run_id_list *l);

#endif
