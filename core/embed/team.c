/* A team: threads that share one text. Members other than the caller sleep on a futex between
 * texts; a text is one round of sg_forward with a barrier between its steps.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/thread.h"
#include "embed/team.h"

struct member {
	struct sg_embed_team *team;
	unsigned me;
	pthread_t thread;
	bool started;
};

struct sg_embed_team {
	const struct sg_plan *plan;
	struct sg_workspace *ws;
	struct sg_barrier barrier;
	_Atomic uint32_t round; /* grows with each text */
	_Atomic uint32_t sleepers;
	struct sg_embed_text text; /* NULL ids: leave */
	struct member members[SG_CREW_MAX];
};

static void *member_main(void *arg)
{
	struct member *m = arg;
	struct sg_embed_team *t = m->team;
	uint32_t seen = 0; /* the round before the first text */
	for (;;) {
		sg_wait_change(&t->round, seen, &t->sleepers);
		seen++;
		if (!t->text.ids)
			return NULL;
		sg_forward(t->plan, t->ws, &t->text, 1, m->me, &t->barrier);
	}
}

static void begin(struct sg_embed_team *t, struct sg_embed_text text)
{
	t->text = text;
	(void)atomic_fetch_add(&t->round, 1);
	sg_wake_all(&t->round, &t->sleepers);
}

static int start_member(struct sg_embed_team *t, unsigned me)
{
	struct member *m = &t->members[me];
	*m = (struct member){.team = t, .me = me};
	int r = sg_thread_start(&m->thread, 0, member_main, m);
	m->started = r == 0;
	return r;
}

int sg_embed_team_create(struct sg_embed_team **ret, const struct sg_embedder *e, unsigned threads,
	struct sg_error *err)
{
	const struct sg_plan *plan = sg_embedder_plan(e);
	if (threads == 0)
		return sg_error_set(err, SG_EINVALID, NULL, "a team of no threads");
	if (plan->kernel->whole_columns)
		threads = 1;
	if (threads > SG_CREW_MAX)
		threads = SG_CREW_MAX;
	struct sg_embed_team *t = calloc(1, sizeof(*t));
	if (!t)
		return sg_error_nomem(err);
	t->plan = plan;
	t->ws = sg_workspace_create(threads);
	if (!t->ws) {
		sg_embed_team_destroy(t);
		return sg_error_nomem(err);
	}
	sg_barrier_init(&t->barrier, threads);
	for (unsigned i = 1; i < threads; i++) {
		int r = start_member(t, i);
		if (r != 0) {
			sg_embed_team_destroy(t);
			return sg_error_errno(err, r, "start an embedding thread");
		}
	}
	*ret = t;
	return 0;
}

void sg_embed_team_destroy(struct sg_embed_team *t)
{
	if (!t)
		return;
	begin(t, (struct sg_embed_text){0});
	for (unsigned i = 1; i < SG_CREW_MAX; i++)
		if (t->members[i].started)
			(void)pthread_join(t->members[i].thread, NULL);
	sg_workspace_destroy(t->ws);
	free(t);
}

int sg_embed_ids_team(struct sg_embed_team *t, const int32_t *ids, size_t n, float *ret_vector,
	struct sg_error *err)
{
	const struct sg_embed_text text = {.ids = ids, .n = n, .ret_vector = ret_vector};
	int r = sg_embed_check_text(&text, err);
	if (r < 0)
		return r;
	begin(t, text);
	sg_forward(t->plan, t->ws, &text, 1, 0, &t->barrier);
	return 0;
}
