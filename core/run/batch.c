/* The gathering batch: everything one dispatch wants to be durable, in order. The texts live in the
 * batch's arena, so that the writer reads nothing that the loop may still change. */
#include <stdlib.h>
#include <string.h>

#include "run/internal.h"

struct text *sg_text_make(const char *data, size_t n)
{
	struct text *t = malloc(sizeof(*t) + n + 1);
	if (!t)
		return NULL;
	t->refs = 1;
	t->len = n;
	memcpy(t->data, data, n);
	t->data[n] = '\0';
	return t;
}

struct text *sg_text_ref(struct text *t)
{
	t->refs++;
	return t;
}

void sg_text_unref(struct text *t)
{
	if (t && --t->refs == 0)
		free(t);
}

struct batch *sg_batch_make(struct sg_engine *e)
{
	struct batch *b = e->spare;
	if (b) {
		e->spare = b->next;
		e->n_spare--;
		b->next = NULL;
		return b;
	}
	return calloc(1, sizeof(*b));
}

void sg_batch_free(struct batch *b)
{
	if (!b)
		return;
	while (b->held) {
		sg_text_unref(b->held->text);
		b->held = b->held->next;
	}
	sg_arena_finish(&b->arena);
	free(b->items);
	free(b);
}

void sg_batch_recycle(struct sg_engine *e, struct batch *b)
{
	if (e->n_spare >= SG_RUN_SPARE_BATCHES || b->cap > 4096) {
		sg_batch_free(b);
		return;
	}
	while (b->held) {
		sg_text_unref(b->held->text);
		b->held = b->held->next;
	}
	sg_arena_reset(&b->arena);
	b->n = 0;
	b->slots = NULL;
	b->acks = NULL;
	b->n_steps = b->n_events = b->n_facts = b->bytes = 0;
	b->status = 0;
	b->next = e->spare;
	e->spare = b;
	e->n_spare++;
}

struct slot *sg_batch_slot(struct run *r)
{
	struct sg_engine *e = r->engine;
	if (r->slot)
		return r->slot;
	if (!e->gather && !(e->gather = sg_batch_make(e)))
		return NULL;
	struct slot *s = sg_arena_alloc(&e->gather->arena, sizeof(*s));
	if (!s)
		return NULL;
	*s = (struct slot){.run = r, .next = e->gather->slots};
	e->gather->slots = s;
	r->slot = s;
	r->inflight++;
	return s;
}

struct item *sg_batch_item(struct sg_engine *e, struct slot *s, enum item_kind kind)
{
	if (!e->gather && !(e->gather = sg_batch_make(e)))
		return NULL;
	struct batch *b = e->gather;
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 64;
		struct item *p = realloc(b->items, cap * sizeof(*p));
		if (!p)
			return NULL;
		b->items = p;
		b->cap = cap;
	}
	struct item *i = &b->items[b->n++];
	memset(i, 0, sizeof(*i));
	i->kind = kind;
	i->slot = s;
	e->queued++;
	return i;
}

struct item *sg_batch_event(struct sg_engine *e, struct run *r, int64_t ts_us, const char *actor,
	const char *type, int64_t step, const char *payload, size_t len, const char *origin,
	const char *source)
{
	struct slot *s = r ? sg_batch_slot(r) : NULL;
	if (r && !s)
		return NULL;
	struct item *i = sg_batch_item(e, s, ITEM_EVENT);
	if (!i)
		return NULL;
	struct sg_arena *a = &e->gather->arena;
	i->event = (struct sg_audit_event){
		.ts_us = ts_us,
		.actor = r && actor == r->row.actor ? actor : sg_arena_strdup(a, actor),
		.type = type,
		.run_id = r ? r->row.run_id : NULL,
		.step = step,
		.payload = sg_arena_strndup(a, payload, len),
		.origin = origin,
		.source = sg_arena_strdup(a, source),
		.confidence = 1.0,
	};
	e->gather->n_events++;
	if (s)
		s->n_events++;
	return i->event.payload && i->event.actor ? i : NULL;
}

/* What the writer will take its time over. */
static void count_bytes(struct sg_engine *e, size_t n)
{
	e->gather->bytes += n;
	e->queued_bytes += n;
}

static int hold(struct batch *b, struct text *t)
{
	struct held *h = sg_arena_alloc(&b->arena, sizeof(*h));
	if (!h)
		return -SG_ENOMEM;
	*h = (struct held){.next = b->held, .text = sg_text_ref(t)};
	b->held = h;
	return 0;
}

int sg_batch_checkpoint(struct run *r, const struct sg_checkpoint *c, struct text *state)
{
	struct sg_engine *e = r->engine;
	struct slot *s = sg_batch_slot(r);
	struct item *i = s ? sg_batch_item(e, s, ITEM_CHECKPOINT) : NULL;
	if (!i)
		return -SG_ENOMEM;
	struct batch *b = e->gather;
	struct sg_arena *a = &b->arena;
	if (s->state != state) {
		if (hold(b, state) < 0)
			return -SG_ENOMEM;
		s->state = state;
	}
	i->checkpoint.c = *c;
	struct sg_checkpoint *k = &i->checkpoint.c;
	k->state = state->data;
	k->branch_id = sg_arena_strdup(a, c->branch_id);
	k->clips_facts = sg_arena_strdup(a, c->clips_facts);
	k->next_action = sg_arena_strdup(a, c->next_action);
	k->recorded = sg_arena_strdup(a, c->recorded);
	b->n_steps++;
	count_bytes(e, state->len + (c->clips_facts ? strlen(c->clips_facts) : 0) +
			       (c->recorded ? strlen(c->recorded) : 0));
	sg_text_unref(r->told);
	r->told = sg_text_ref(state);
	s->n_path = r->n_path;
	return k->clips_facts ? 0 : -SG_ENOMEM;
}

int sg_batch_put(struct sg_engine *e, struct slot *s, enum sg_table table, struct sg_span k,
	struct sg_span v)
{
	struct item *i = sg_batch_item(e, s, ITEM_PUT);
	if (!i)
		return -SG_ENOMEM;
	struct sg_arena *a = &e->gather->arena;
	i->put.table = table;
	i->put.key = (struct sg_span){sg_arena_strndup(a, k.data, k.len), k.len};
	i->put.val = (struct sg_span){sg_arena_strndup(a, v.data ? v.data : "", v.len), v.len};
	count_bytes(e, v.len);
	return i->put.key.data && i->put.val.data ? 0 : -SG_ENOMEM;
}

int sg_batch_call(struct sg_engine *e, struct slot *s,
	int (*fn)(void *arg, struct sg_txn *t, struct sg_error *err), void *arg,
	struct sg_write_result *result)
{
	struct item *i = sg_batch_item(e, s, ITEM_CALL);
	if (!i)
		return -SG_ENOMEM;
	i->call.fn = fn;
	i->call.arg = arg;
	i->call.result = result;
	return 0;
}

int sg_batch_row(struct sg_engine *e, const struct sg_run_row *row)
{
	struct item *i = sg_batch_item(e, NULL, ITEM_ROW);
	if (!i)
		return -SG_ENOMEM;
	struct sg_arena *a = &e->gather->arena;
	i->row = *row;
	i->row.graph_id = sg_arena_strdup(a, row->graph_id);
	i->row.actor = sg_arena_strdup(a, row->actor);
	i->row.trigger_source = sg_arena_strdup(a, row->trigger_source);
	i->row.parent_run_id = sg_arena_strdup(a, row->parent_run_id);
	i->row.reason = sg_arena_strdup(a, row->reason);
	i->row.error_class = sg_arena_strdup(a, row->error_class);
	i->row.error_cause = sg_arena_strdup(a, row->error_cause);
	i->row.waiting = sg_arena_strdup(a, row->waiting);
	i->row.params = sg_arena_strdup(a, row->params);
	return 0;
}

/* What may change before the batch is written is copied; the other texts live as long as the run,
 * which outlives the batch. */
static void snapshot(struct batch *b, struct slot *s)
{
	struct run *r = s->run;
	struct sg_arena *a = &b->arena;
	s->row = r->row;
	s->row.reason = sg_arena_strdup(a, r->row.reason);
	s->row.error_class = sg_arena_strdup(a, r->row.error_class);
	s->row.error_cause = sg_arena_strdup(a, r->row.error_cause);
	s->row.waiting = sg_arena_strdup(a, r->row.waiting);
	if (!s->n_path)
		s->n_path = r->n_path;
	struct text *state = r->told ? r->told : r->f.state_text;
	if (!s->state && state && hold(b, state) == 0)
		s->state = state;
	bool ended = r->row.status >= SG_RUN_DONE;
	s->live_put = !ended && !r->live_stored;
	s->live_del = ended && r->live_stored;
	r->live_stored = !ended;
	r->slot = NULL;
}

void sg_batch_publish(struct sg_engine *e)
{
	struct batch *b = e->gather;
	if (!b || (!b->n && !b->slots && !b->acks))
		return;
	for (struct slot *s = b->slots; s; s = s->next)
		snapshot(b, s);
	e->gather = NULL;
	sg_writer_push(&e->writer, b);
}
