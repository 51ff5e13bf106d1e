/* stargraph store check: walks everything in the store and tells what does not check out. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/reader.h"
#include "checkpoint/checkpoint.h"
#include "cli/store_verbs.h"
#include "knowledge/knowledge.h"

static void report(void *ctx, const char *what)
{
	(void)ctx;
	(void)printf("damaged: %s\n", what);
}

struct know_counts {
	uint64_t stores, items, bad;
};

static int check_all(
	struct sg_store *s, struct sg_check_counts *n, struct know_counts *k, struct sg_error *err)
{
	struct sg_txn *t = NULL;
	uint64_t seq = 0;
	char text[96];
	int r = sg_txn_begin(s, false, &t, err);
	if (r == 0)
		r = sg_checkpoint_check(t, report, NULL, n, err);
	if (r == 0)
		r = sg_know_check(t, report, NULL, &k->stores, &k->items, &k->bad, err);
	if (r == 0)
		r = sg_audit_check_store(t, &seq, err);
	sg_txn_abort(t);
	if (r > 0) {
		(void)snprintf(text, sizeof(text),
			"audit record %" PRIu64 ": the chain breaks there", seq);
		report(NULL, text);
		n->bad++;
	}
	return r < 0 ? r : 0;
}

int sg_store_check(const struct sg_store_args *a)
{
	struct sg_store *s = NULL;
	struct sg_check_counts n = {0};
	struct know_counts k = {0};
	struct sg_error err = {0};
	int r = sg_store_open(&s, a->state_dir, 0, false, true, &err);
	if (r == 0)
		r = check_all(s, &n, &k, &err);
	sg_store_close(s);
	if (r < 0)
		return sg_cli_fail(&err);
	(void)printf("%" PRIu64 " runs, %" PRIu64 " checkpoints, %" PRIu64 " blobs: %" PRIu64
		     " damaged\n",
		n.runs, n.checkpoints, n.blobs, n.bad);
	if (k.stores)
		(void)printf("%" PRIu64 " knowledge stores, %" PRIu64 " items: %" PRIu64
			     " damaged\n",
			k.stores, k.items, k.bad);
	return n.bad || k.bad ? SG_EXIT_UNVERIFIED : SG_EXIT_DONE;
}
