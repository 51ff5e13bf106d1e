/* What the kinds that use knowledge stores share. */
#ifndef SG_RUN_STORE_NODES_H
#define SG_RUN_STORE_NODES_H

#include "knowledge/knowledge.h"
#include "run/kinds.h"

/* The store of config[key], of one of these providers (bits 1 << provider), listed in the graph's
 * `stores` where it has that section. NULL with *err; borrowed from the configuration. */
const char *sg_kind_need_store(
	const struct sg_kind_load *l, const char *name, unsigned providers, struct sg_error *err);

/* config[key] with its {field} placeholders filled from the state; "" when it is not there. New
 * reference to a string; NULL with *err. */
json_t *sg_kind_text(const struct sg_exec *x, const char *key, struct sg_error *err);

/* The record becomes what a replay will read: numbers as the canonical form in the checkpoint has
 * them (a score of 1.0 reads back as 1), so that apply makes the same state from both. Takes
 * record, NULL = out of memory. */
int sg_exec_set_record(struct sg_exec *x, json_t *record, struct sg_error *err);

/* Runs read on the knowledge thread, in a transaction of its own; args are taken. done, on the loop
 * thread, gets what it made (owned, NULL with err) and ends with sg_exec_complete. Returns
 * SG_EXEC_PENDING. */
typedef int (*sg_store_read)(json_t *args, struct sg_txn *t, json_t **ret, struct sg_error *err);
int sg_exec_read(struct sg_exec *x, json_t *args, sg_store_read read,
	void (*done)(struct sg_exec *x, json_t *result, const struct sg_error *err),
	struct sg_error *err);

/* Has the writer call fn with the object (taken) in the batch under way. It cannot be told of a
 * failure other than of the whole batch: what can be wrong has been checked before. */
int sg_exec_write(struct sg_exec *x, json_t *object,
	int (*fn)(const json_t *object, struct sg_txn *t, struct sg_error *err),
	struct sg_error *err);

/* One query against the stores of config.stores, with the node's k, mode, filter and int8, the
 * lists made one by reciprocal rank fusion. done, on the loop thread, gets {"stores": [{store,
 * index_sha256, hits}], "hits": […]} (owned, NULL with err) and sees to sg_exec_complete; ctx is
 * its own. Each store is searched at the state that is durable when its turn comes: that of the
 * run's last checkpoint, or later. Returns SG_EXEC_PENDING, or an error and done is not called. */
typedef void (*sg_gather_done)(
	struct sg_exec *x, void *ctx, json_t *found, const struct sg_error *err);
int sg_exec_gather(struct sg_exec *x, const char *text, size_t n, sg_gather_done done, void *ctx,
	struct sg_error *err);
/* Checks config.query, stores and filter of such a node. */
int sg_kind_check_gather(const struct sg_kind_load *l, struct sg_error *err);

#endif
