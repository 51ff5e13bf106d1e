/* The query string against a route's parameters: percent-decoding, types, ranges, unknown names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/suggest.h"

/* application/x-www-form-urlencoded, one component. */
static int decode(const char *s, size_t n, char ret[SG_API_MAX_VALUE + 1], struct sg_error *err)
{
	size_t len = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];
		if (c == '+')
			c = ' ';
		if (c == '%') {
			if (n - i < 3)
				return sg_error_set(
					err, SG_EINVALID, NULL, "query: an escape is cut short");
			if (sg_hex_decode(s + i + 1, 2, &c, 1) < 0)
				return sg_error_set(err, SG_EINVALID, NULL,
					"query: %%XX expects two hex digits");
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return sg_error_set(err, SG_EINVALID, NULL, "query: a control character");
		if (len == SG_API_MAX_VALUE)
			return sg_error_set(err, SG_EINVALID, NULL,
				"query: a value longer than %d bytes", SG_API_MAX_VALUE);
		ret[len++] = (char)c;
	}
	ret[len] = '\0';
	return 0;
}

static int read_integer(const struct sg_query *q, struct sg_query_value *v, struct sg_error *err)
{
	char *end;
	errno = 0;
	long long n = strtoll(v->text, &end, 10);
	if (errno || end == v->text || *end || v->text[0] == ' ' || v->text[0] == '+' ||
		n < q->min || n > q->max)
		return sg_error_set(err, SG_EINVALID, NULL,
			"query: %s must be an integer from %lld to %lld", q->name,
			(long long)q->min, (long long)q->max);
	v->number = n;
	return 0;
}

static int read_status(const struct sg_query *q, struct sg_query_value *v, struct sg_error *err)
{
	enum sg_run_status s;
	if (sg_run_status_parse(v->text, &s) < 0)
		return sg_error_set(err, SG_EINVALID, NULL, "query: %s \"%s\" is no run status",
			q->name, v->text);
	v->number = s;
	return 0;
}

static int read_time(const struct sg_query *q, struct sg_query_value *v, struct sg_error *err)
{
	/* a '+' of "+00:00" that was not escaped arrives as a space */
	for (char *p = v->text; *p; p++)
		if (*p == ' ')
			*p = '+';
	if (sg_time_parse(v->text, strlen(v->text), &v->number) < 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"query: %s must be an RFC 3339 time such as 2026-11-24T06:00:00Z", q->name);
	return 0;
}

static int read_value(const struct sg_query *q, struct sg_query_value *v, struct sg_error *err)
{
	v->given = true;
	switch (q->type) {
	case SG_QUERY_INTEGER: return read_integer(q, v, err);
	case SG_QUERY_STATUS: return read_status(q, v, err);
	case SG_QUERY_TIME: return read_time(q, v, err);
	case SG_QUERY_TEXT: break;
	}
	return 0;
}

static int unknown(const struct sg_call *c, const char *name, struct sg_error *err)
{
	const char *names[SG_API_MAX_QUERY];
	for (size_t i = 0; i < c->route->n_query; i++)
		names[i] = c->route->query[i].name;
	const char *near = sg_suggest(name, names, c->route->n_query);
	return sg_error_set(err, SG_EINVALID, NULL, "query: unknown parameter%s%s%s",
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int read_pair(struct sg_call *c, const char *s, size_t n, struct sg_error *err)
{
	char name[SG_API_MAX_VALUE + 1];
	const char *eq = memchr(s, '=', n);
	size_t name_len = eq ? (size_t)(eq - s) : n;
	int r = decode(s, name_len, name, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->route->n_query; i++) {
		struct sg_query_value *v = &c->query[i];
		if (strcmp(c->route->query[i].name, name) != 0)
			continue;
		if (v->given)
			return sg_error_set(err, SG_EINVALID, NULL, "query: %s given twice", name);
		r = decode(eq ? eq + 1 : s + n, eq ? n - name_len - 1 : 0, v->text, err);
		return r < 0 ? r : read_value(&c->route->query[i], v, err);
	}
	return unknown(c, name, err);
}

int sg_query_parse(struct sg_call *c, const char *text, struct sg_error *err)
{
	if (c->route->n_query) {
		c->query = calloc(c->route->n_query, sizeof(*c->query));
		if (!c->query)
			return sg_error_nomem(err);
	}
	for (size_t i = 0; i < c->route->n_query; i++)
		c->query[i].number = c->route->query[i].initial;
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "&");
		int r = n ? read_pair(c, p, n, err) : 0;
		if (r < 0)
			return r;
		p += n + (p[n] == '&');
	}
	return 0;
}
