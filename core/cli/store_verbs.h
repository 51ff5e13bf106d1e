/* What the actions of `stargraph store` share. */
#ifndef SG_CLI_STORE_VERBS_H
#define SG_CLI_STORE_VERBS_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cli.h"
#include "embed/embed.h"
#include "knowledge/search.h"

struct sg_store_args {
	const char *state_dir, *model, *kernel;
	const char *provider, *metric, *mode, *filter, *id, *text, *file, *metadata;
	unsigned workers;
	long k, chunk_tokens, overlap;
	bool json, int8, prune;
	char **words; /* after the action: store name first */
	int n_words;
};

/* The environment opened for writing, its lock held. */
struct sg_store_session {
	struct sg_store *store;
	struct sg_embedder *embedder; /* NULL = none */
	int lock_fd;
};

/* create: makes directory and environment when they are not there. */
int sg_store_session_open(
	struct sg_store_session *s, const char *state_dir, bool create, struct sg_error *err);
/* For reading only, beside whoever owns it. */
int sg_store_session_read(struct sg_store_session *s, const char *state_dir, struct sg_error *err);
/* Loads the model if the store needs one, and compares the tuples. */
int sg_store_session_model(struct sg_store_session *s, const struct sg_store_args *a,
	struct sg_know_info *ret_info, bool always, struct sg_error *err);
int sg_store_session_load(
	struct sg_store_session *s, const struct sg_store_args *a, struct sg_error *err);
void sg_store_session_close(struct sg_store_session *s);

/* The actions; each returns an exit code. */
int sg_store_check(const struct sg_store_args *a);
int sg_store_create(const struct sg_store_args *a);
int sg_store_add(const struct sg_store_args *a);
int sg_store_import(const struct sg_store_args *a);
int sg_store_delete(const struct sg_store_args *a);
int sg_store_search(const struct sg_store_args *a);
int sg_store_stats(const struct sg_store_args *a);
int sg_store_reembed(const struct sg_store_args *a);

#endif
