/* What a step asks instead of the world: the record, when its run has one. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "run/internal.h"

int64_t sg_run_step_us(const struct run *r)
{
	return r->source ? r->source->step_us(r) : sg_clock_utc_us();
}

int64_t sg_run_wall_us(const struct run *r)
{
	return r->source ? r->source->wall_us(r) : sg_clock_utc_us();
}

int sg_step_mutate(struct step *s, struct sg_error *err)
{
	const struct source *source = s->run->source;
	return source && source->mutate ? source->mutate(s, err) : 0;
}

static int put_kept(struct step *s, const struct sg_buf *text)
{
	struct run *r = s->run;
	struct slot *slot = sg_batch_slot(r);
	sg_autobuf key = SG_BUF_INIT(SG_STORE_KEY_MAX), value = SG_BUF_INIT(32U << 20);
	struct sg_span sealed;
	char hash[SG_SHA256_HEX];
	struct sg_buf *b = &r->engine->scratch;
	if (!slot || sg_run_text_pack(r->row.run_id, SG_RUN_TEXT_LAST,
			     SG_SPAN(text->data, text->len), &key, &value, &sealed, NULL) < 0)
		return -SG_ENOMEM;
	sg_sha256_hex(text->data, text->len, hash);
	sg_buf_reset(b);
	sg_buf_addf(b, "{\"sha256\":\"%s\"}", hash);
	if (b->failed || !sg_batch_event(r->engine, r, s->ts_us, r->row.actor, "step_recorded",
				 r->step, b->data, b->len, NULL, NULL))
		return -SG_ENOMEM;
	return sg_batch_put(
		r->engine, slot, SG_TABLE_RUN_INPUT, SG_SPAN(key.data, key.len), sealed);
}

void sg_step_keep(struct step *s)
{
	sg_autobuf text = SG_BUF_INIT(16U << 20);
	char ts[SG_TIME_TEXT];
	if (!json_array_size(s->recorded) || s->kept)
		return;
	s->kept = true;
	sg_time_format(s->ts_us, ts);
	json_t *j = json_pack("{s:I, s:O, s:s}", "step", (json_int_t)s->run->step, "recorded",
		s->recorded, "timestamp", ts);
	/* Out of memory: the run fails all the same, but a replay will miss what it had. */
	if (j && sg_json_canonical(j, &text, NULL) == 0)
		(void)put_kept(s, &text);
	json_decref(j);
}
