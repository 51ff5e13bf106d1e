/* What of a request goes into the audit log besides refusals: one record with its answer. Nobody
 * waits for it, until so many records wait for the disk that a client must be slowed down: then its
 * answer is held until the record is durable. */
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "base/cleanup.h"

#define CLIENT_LEFT 499 /* in the record of a request whose client did not wait for the answer */

/* W3C Trace Context: "00-<32 hex>-<16 hex>-<2 hex>", neither id all zeros. NULL = none, or not one:
 * what cannot be read is as if it were not there. */
const char *sg_request_trace(const struct sg_request *r)
{
	static const char shape[] = "vv-tttttttttttttttttttttttttttttttt-pppppppppppppppp-ff";
	const char *t = sg_request_header(r, "traceparent");
	if (!t || strlen(t) != sizeof(shape) - 1 || memcmp(t, "00-", 3) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == '-' ? t[i] != '-' : !strchr("0123456789abcdef", t[i]))
			return NULL;
	return strspn(t + 3, "0") == 32 || strspn(t + 36, "0") == 16 ? NULL : t;
}

void sg_put_trace(json_t *payload, const char *trace)
{
	if (trace)
		(void)json_object_set_new(payload, "traceparent", json_string(trace));
}

/* An answer that waits for its record; all texts its own. */
struct sg_held {
	struct sg_response r;
	char *texts[2 * SG_API_HELD_HEADERS + 2];
	size_t n_texts;
	struct sg_header headers[SG_API_HELD_HEADERS];
};

static void held_free(struct sg_held *h)
{
	for (size_t i = 0; h && i < h->n_texts; i++)
		free(h->texts[i]);
	free(h);
}

void sg_call_unhold(struct sg_call *c)
{
	held_free(c->held);
	c->held = NULL;
}

static const char *keep(struct sg_held *h, const char *data, size_t n)
{
	char *copy = malloc(n + 1);
	if (!copy)
		return NULL;
	memcpy(copy, data, n);
	copy[n] = '\0';
	h->texts[h->n_texts++] = copy;
	return copy;
}

static int hold(struct sg_call *c, const struct sg_response *r)
{
	struct sg_held *h = c->held = calloc(1, sizeof(*h));
	bool ok = h && r->n_headers <= SG_API_HELD_HEADERS;
	if (!ok)
		return -SG_ENOMEM;
	h->r = *r;
	h->r.headers = h->headers;
	ok = (h->r.body = keep(h, r->body ? r->body : "", r->body_len)) != NULL;
	if (r->content_type)
		ok = ok && (h->r.content_type = keep(h, r->content_type, strlen(r->content_type)));
	for (size_t i = 0; ok && i < r->n_headers; i++) {
		const struct sg_header *from = &r->headers[i];
		struct sg_header *to = &h->headers[i];
		ok = (to->name = keep(h, from->name, strlen(from->name))) &&
		     (to->value = keep(h, from->value, strlen(from->value)));
	}
	return ok ? 0 : -SG_ENOMEM;
}

static void durable(void *ctx, const struct sg_error *err)
{
	struct sg_call *c = ctx;
	struct sg_held *h = c->held;
	c->held = NULL;
	c->engine_waits = false;
	sg_call_recorded(c, err ? NULL : &h->r);
	held_free(h);
}

/* status 0: not known yet. */
static int note(struct sg_call *c, const char *type, int status, bool wait)
{
	json_auto_t *p = json_pack(
		"{s:s, s:s, s:s}", "method", c->method, "route", c->path, "door", c->id->door);
	if (!p) /* a path that is no UTF-8 is recorded without it */
		p = json_pack("{s:s, s:s}", "method", c->method, "door", c->id->door);
	if (!p)
		return -SG_ENOMEM;
	if (status)
		(void)json_object_set_new(p, "status", json_integer(status));
	sg_put_trace(p, c->trace);
	c->engine_waits = wait;
	int r = sg_engine_audit(c->api->engine, c->id->actor, type, *c->run_id ? c->run_id : NULL,
		p, wait ? durable : NULL, c, NULL);
	c->recorded = r == 0;
	c->engine_waits = wait && r == 0;
	return r;
}

static bool needs_record(const struct sg_call *c, bool well)
{
	if (c->recorded || !c->id || !c->id->authenticated)
		return false;
	if (c->route && !c->route->capability)
		return false;
	return !(well && c->route && c->route->effect && !c->again);
}

int sg_call_account(struct sg_call *c, const struct sg_response *r)
{
	bool well = r->status < 400;
	const char *type = well && !c->again ? "read" : "request";
	if (!needs_record(c, well))
		return 0;
	bool wait = c->reply && sg_engine_behind(c->api->engine);
	int rc = wait ? hold(c, r) : 0;
	if (rc == 0)
		rc = note(c, type, well ? 0 : r->status, wait);
	if (rc < 0) {
		c->recorded = true;
		sg_call_unhold(c);
	}
	return rc < 0 ? rc : wait;
}

void sg_call_account_left(struct sg_call *c)
{
	if (needs_record(c, false))
		(void)note(c, "request", CLIENT_LEFT, false);
}

int sg_call_note_read(struct sg_call *c)
{
	return note(c, "read", 0, false);
}

void sg_call_note_trace(struct sg_call *c)
{
	if (c->trace)
		(void)note(c, "request", 0, false);
}
