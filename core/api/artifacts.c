/* What runs have kept: /v1/runs/{run_id}/artifacts and /v1/artifacts/{artifact_id}.
 *
 * Who may see one of the runs that wrote an artifact may read it. Its name and content type are
 * texts of a graph's author: they become headers only when they cannot be anything else, and a
 * browser is told to save the bytes, never to guess or show what they are. */
#include "api/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

#define UNKNOWN_TYPE "application/octet-stream"
#define MAX_NAME 128 /* bytes of a file name that is told */
#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define TOKEN ALNUM "!#$%&'*+-.^_`|~" /* RFC 9110 */

void sg_route_run_artifacts(struct sg_call *c)
{
	struct sg_error err;
	struct sg_run_view v;
	json_auto_t *refs = NULL;
	sg_autobuf b = SG_BUF_INIT(SG_API_MAX_REPLY);
	if (sg_call_find_run(c, &v) < 0)
		return;
	sg_run_view_finish(&v);
	if (sg_engine_artifacts(c->api->engine, c->run_id, &refs, &err) < 0 ||
		sg_json_canonical(refs, &b, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	sg_call_json(c, 200, &b);
}

/* type/subtype, perhaps with parameters, in printable ASCII; anything else is unknown. */
static const char *media_type(const json_t *ref)
{
	const char *s = sg_json_text_or_empty(ref, "content_type");
	size_t type = strspn(s, TOKEN);
	size_t subtype = type && s[type] == '/' ? strspn(s + type + 1, TOKEN) : 0;
	if (!subtype)
		return UNKNOWN_TYPE;
	const char *rest = s + type + 1 + subtype;
	return (!*rest || *rest == ';') && !rest[strspn(rest, TOKEN " ;=\"/:,")] ? s : UNKNOWN_TYPE;
}

static const char *file_name(const json_t *ref)
{
	const char *s = sg_json_text_or_empty(ref, "name");
	size_t n = strspn(s, ALNUM "._-");
	return n && n <= MAX_NAME && !s[n] && *s != '.' ? s
							: sg_json_text_or_empty(ref, "artifact_id");
}

/* The first of refs whose run this identity may see: borrowed; NULL = none. */
static const json_t *visible(struct sg_call *c, const json_t *refs)
{
	size_t i;
	const json_t *ref;
	json_array_foreach (refs, i, ref) {
		struct sg_run_view v;
		struct sg_error err;
		if (sg_engine_get(c->api->engine, sg_json_text_or_empty(ref, "run_id"), &v, &err) <
			0)
			continue;
		bool seen = sg_run_visible(c->id, &v.row);
		sg_run_view_finish(&v);
		if (seen)
			return ref;
	}
	return NULL;
}

static void reply_bytes(struct sg_call *c, const json_t *ref, const char *data, size_t n)
{
	char disposition[MAX_NAME + 32];
	(void)snprintf(
		disposition, sizeof(disposition), "attachment; filename=\"%s\"", file_name(ref));
	const struct sg_header headers[] = {
		{"content-disposition", disposition}, {"x-content-type-options", "nosniff"}};
	sg_call_reply(c, 200, media_type(ref), data, n, headers, SG_ARRAY_LEN(headers));
}

void sg_route_artifact(struct sg_call *c)
{
	struct sg_error err;
	json_auto_t *refs = NULL;
	sg_autofree char *data = NULL;
	char detail[128];
	size_t n = 0;
	if (sg_engine_artifact(c->api->engine, c->path_id, &refs, &data, &n, &err) < 0) {
		sg_call_error(c, &err);
		return;
	}
	const json_t *ref = visible(c, refs);
	if (!ref) {
		(void)snprintf(detail, sizeof(detail), "artifact '%s' not found", c->path_id);
		sg_call_refuse(c, 404, "denied", "artifact_not_visible", detail);
		return;
	}
	(void)snprintf(c->run_id, sizeof(c->run_id), "%s", sg_json_text_or_empty(ref, "run_id"));
	reply_bytes(c, ref, data, n);
}
