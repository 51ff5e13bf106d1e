/* GET /openapi.json: OpenAPI 3.1, printed from the table of routes: what exists, nothing else. */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define MAX_DOCUMENT (1U << 20)

static void put_string(struct sg_buf *b, const char *key, const char *value)
{
	sg_buf_addf(b, "\"%s\":", key);
	sg_buf_add_json_string(b, value, strlen(value));
}

static void put_type(struct sg_buf *b, const struct sg_query *q)
{
	switch (q->type) {
	case SG_QUERY_INTEGER:
		sg_buf_addf(b,
			"{\"type\":\"integer\",\"minimum\":%lld,\"maximum\":%lld,\"default\":%lld}",
			(long long)q->min, (long long)q->max, (long long)q->initial);
		break;
	case SG_QUERY_TIME: sg_buf_adds(b, "{\"type\":\"string\",\"format\":\"date-time\"}"); break;
	case SG_QUERY_STATUS:
		sg_buf_adds(b, "{\"$ref\":\"#/components/schemas/RunStatus\"}");
		break;
	case SG_QUERY_TEXT:
		sg_buf_addf(b, "{\"type\":\"string\",\"maxLength\":%d}", SG_API_MAX_VALUE);
		break;
	}
}

static void put_parameter(struct sg_buf *b, bool *any, const char *name, const char *in)
{
	sg_buf_addf(b, "%s{\"name\":\"%s\",\"in\":\"%s\",", *any ? "," : "", name, in);
	*any = true;
}

static void put_header(
	struct sg_buf *b, bool *any, const char *name, const char *description, const char *schema)
{
	put_parameter(b, any, name, "header");
	put_string(b, "description", description);
	sg_buf_addf(b, ",\"schema\":%s}", schema);
}

static void put_headers(struct sg_buf *b, const struct sg_route *r, bool *any)
{
	if (r->waits)
		put_header(b, any, "Prefer",
			"wait=N: answer when the run settles, within N seconds",
			"{\"type\":\"string\",\"examples\":[\"wait=10\"]}");
	if (r->keyed)
		put_header(b, any, "Idempotency-Key", "the same request again gives the same run",
			"{\"type\":\"string\",\"minLength\":1,\"maxLength\":128,"
			"\"pattern\":\"^[!-~]+$\"}");
	if (!r->raw)
		return;
	put_header(b, any, "X-Stargraph-Timestamp", "of a webhook: Unix seconds",
		"{\"type\":\"string\"}");
	put_header(b, any, "X-Stargraph-Signature",
		"of a webhook: hex HMAC-SHA256 of timestamp, dot, body", "{\"type\":\"string\"}");
}

static void put_parameters(struct sg_buf *b, const struct sg_route *r)
{
	bool any = false;
	sg_buf_adds(b, ",\"parameters\":[");
	for (const char *open = strchr(r->path, '{'); open; open = strchr(open + 1, '{')) {
		char name[32];
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
		put_parameter(b, &any, name, "path");
		sg_buf_adds(b, "\"required\":true,\"schema\":{\"type\":\"string\","
			       "\"pattern\":\"^[A-Za-z0-9_.-]{1,63}$\"}}");
	}
	for (size_t i = 0; i < r->n_query; i++) {
		put_parameter(b, &any, r->query[i].name, "query");
		put_string(b, "description", r->query[i].description);
		sg_buf_adds(b, ",\"schema\":");
		put_type(b, &r->query[i]);
		sg_buf_addc(b, '}');
	}
	put_headers(b, r, &any);
	sg_buf_addc(b, ']');
}

static void put_problem(struct sg_buf *b, int status, const char *what)
{
	sg_buf_addf(b,
		",\"%d\":{\"description\":\"%s\",\"content\":{\"application/problem+json\":{"
		"\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}}}",
		status, what);
}

static const char *what_of(int status)
{
	return status == 404 ? "Not found" : "In another state";
}

static void put_success(
	struct sg_buf *b, int status, const char *what, const char *type, const char *component)
{
	sg_buf_addf(b, "\"%d\":{\"description\":\"%s\",\"content\":{\"%s\":{\"schema\":", status,
		what, type);
	if (component)
		sg_buf_addf(b, "{\"$ref\":\"#/components/schemas/%s\"}}}}", component);
	else
		sg_buf_addf(b, "{\"type\":\"%s\"}}}}",
			strcmp(type, "application/json") == 0 ? "object" : "string");
}

static void put_responses(struct sg_buf *b, const struct sg_route *r)
{
	sg_buf_adds(b, ",\"responses\":{");
	put_success(b, r->success, "Success", r->success_type, r->success_schema);
	if (r->waits && r->success != 200) {
		sg_buf_addc(b, ',');
		put_success(b, 200, "With Prefer: wait=N, the run as it settled",
			"application/json", "Run");
	}
	put_problem(b, 400, "Malformed request");
	if (r->capability) {
		put_problem(b, 401, "No usable client certificate");
		put_problem(b, 403, "Not granted");
		put_problem(
			b, 429, "Too many of this subject's requests, or a full queue; try again");
	}
	for (const char *e = r->errors; e && *e; e += strcspn(e, " "), e += *e == ' ')
		put_problem(b, (int)strtol(e, NULL, 10), what_of((int)strtol(e, NULL, 10)));
	if (strcmp(r->method, "POST") == 0) {
		put_problem(b, 413, "Too large");
		put_problem(b, 415, "Not application/json");
	}
	put_problem(b, 422, "Does not fit the schema");
	put_problem(b, 500, "A fault of the server's");
	put_problem(b, 503, "Busy; try again");
	if (strcmp(r->method, "POST") == 0)
		put_problem(b, 507, "The disk is full; try again");
	sg_buf_addc(b, '}');
}

static void put_operation(struct sg_buf *b, const struct sg_route *r)
{
	sg_buf_addf(b, "\"%s\":{", strcmp(r->method, "GET") == 0 ? "get" : "post");
	put_string(b, "operationId", r->id);
	sg_buf_addc(b, ',');
	put_string(b, "summary", r->summary);
	if (r->capability && *r->capability) {
		sg_buf_addc(b, ',');
		put_string(b, "x-capability", r->capability);
	}
	sg_buf_adds(b, r->capability ? ",\"security\":[{\"mtls\":[]}]" : ",\"security\":[]");
	put_parameters(b, r);
	if (r->body_schema)
		sg_buf_addf(b,
			",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{"
			"\"schema\":%s}}}",
			r->body_schema);
	put_responses(b, r);
	sg_buf_addc(b, '}');
}

/* Rows of one path stand together only by chance: each path is printed at its first row. */
static bool seen_before(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(sg_routes[k].path, sg_routes[i].path) == 0)
			return true;
	return false;
}

static void put_path(struct sg_buf *b, size_t first)
{
	bool any = false;
	sg_buf_addf(b, "%s\"%s\":{", first ? "," : "", sg_routes[first].path);
	for (size_t i = first; i < sg_n_routes; i++) {
		if (strcmp(sg_routes[i].path, sg_routes[first].path) != 0)
			continue;
		sg_buf_adds(b, any ? "," : "");
		put_operation(b, &sg_routes[i]);
		any = true;
	}
	sg_buf_addc(b, '}');
}

static void put_components(struct sg_buf *b)
{
	sg_buf_adds(b, "\"RunStatus\":{\"type\":\"string\",\"enum\":[");
	for (int s = SG_RUN_PENDING; s <= SG_RUN_CANCELLED; s++)
		sg_buf_addf(b, "%s\"%s\"", s ? "," : "", sg_run_status_name((enum sg_run_status)s));
	sg_buf_adds(b, "]}");
	for (size_t i = 0; i < sg_n_components; i++)
		sg_buf_addf(b, ",\"%s\":%s", sg_components[i].name, sg_components[i].schema);
}

char *sg_openapi(void)
{
	sg_autobuf b = SG_BUF_INIT(MAX_DOCUMENT);
	sg_buf_addf(&b,
		"{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Stargraph\",\"version\":\"%s\","
		"\"license\":{\"name\":\"Apache-2.0\",\"identifier\":\"Apache-2.0\"}},\"paths\":{",
		SG_VERSION);
	for (size_t i = 0; i < sg_n_routes; i++)
		if (!seen_before(i))
			put_path(&b, i);
	sg_buf_adds(&b, "},\"components\":{\"securitySchemes\":{\"mtls\":{\"type\":\"mutualTLS\"}},"
			"\"schemas\":{");
	put_components(&b);
	sg_buf_adds(&b, "}}}");
	return sg_buf_take(&b);
}

void sg_route_openapi(struct sg_call *c)
{
	sg_call_reply(
		c, 200, "application/json", c->api->openapi, strlen(c->api->openapi), NULL, 0);
}
