/* What became durable is told: acknowledgements, settled runs, event feeds. */
#include <stdlib.h>
#include <string.h>

#include "run/internal.h"

static json_t *path_json(const char *const *path, size_t n)
{
	json_t *a = json_array();
	for (size_t i = 0; a && i < n; i++)
		(void)json_array_append_new(a, json_string(path[i]));
	return a;
}

static void tell_one(struct watcher *w, const struct sg_run_view *view, const struct sg_error *err)
{
	sg_run_callback cb = w->run_cb;
	void (*wait)(void *, const struct sg_error *) = w->wait_cb;
	void *ctx = w->ctx;
	sg_watcher_free(w); /* first: the callback may forget ctx or start anew */
	if (cb)
		cb(ctx, err ? NULL : view, err);
	else if (wait)
		wait(ctx, err);
}

static void tell(struct watcher **list, const struct sg_run_view *view, const struct sg_error *err)
{
	while (*list) {
		struct watcher *w = *list;
		*list = w->next;
		tell_one(w, view, err);
	}
}

static void complete_slot(struct sg_engine *e, struct slot *s, const struct sg_error *err)
{
	struct run *r = s->run;
	sg_idem_forget(r);
	if (s->acks) {
		struct sg_run_view view = {.row = s->row,
			.state = s->state ? s->state->data : NULL,
			.path = path_json(r->path, s->n_path)};
		tell(&s->acks, &view, err);
		json_decref(view.path);
	}
	r->inflight--;
	if (r->phase == PHASE_DURABLE && !r->inflight && !e->failed) {
		r->phase = PHASE_READY;
		sg_run_ready(r);
	}
	sg_run_maybe_release(r);
}

static void complete_batch(struct sg_engine *e, struct batch *b)
{
	const struct sg_error *err = b->status < 0 ? &b->err : NULL;
	if (err && !e->failed) {
		e->failed = true;
		e->failure = *err;
	}
	e->queued -= b->n;
	e->queued_bytes -= b->bytes;
	e->facts_durable += b->n_facts;
	if (!err) {
		e->stats.batches++;
		e->stats.audit_records += b->n_events;
		sg_events_deliver(e, b);
	}
	tell(&b->acks, NULL, err);
	for (struct slot *s = b->slots, *next; s; s = next) {
		next = s->next;
		complete_slot(e, s, err);
	}
	sg_batch_recycle(e, b);
}

void sg_engine_complete(struct sg_engine *e, struct batch *list)
{
	while (list) {
		struct batch *b = list;
		list = b->next;
		b->next = NULL;
		complete_batch(e, b);
	}
}
