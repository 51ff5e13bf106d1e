/* [[serve.cleared.grant]]: who may do what. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/schema.h"
#include "config/keys.h"

static const char grant_schema[] =
	"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"capabilities\"],"
	"\"properties\":{"
	"\"subject\":{\"type\":\"string\",\"minLength\":1},"
	"\"san\":{\"type\":\"string\",\"minLength\":5},"
	"\"fingerprint\":{\"type\":\"string\"},"
	"\"capabilities\":{\"type\":\"array\",\"minItems\":1,"
	"\"items\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}}}}";

bool sg_capability_covers(const char *granted, const char *need)
{
	if (strcmp(granted, need) == 0)
		return true;
	const char *what = strrchr(need, ':');
	return what && strncmp(need, "db.", 3) == 0 && strncmp(granted, "db.*", 4) == 0 &&
	       strcmp(granted + 4, what) == 0;
}

static bool capability_form(const char *text)
{
	return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_:.*-")] == '\0';
}

static int check_names(const json_t *grant, struct sg_error *err)
{
	const char *san = json_string_value(json_object_get(grant, "san"));
	const char *fp = json_string_value(json_object_get(grant, "fingerprint"));
	char hex[65];
	if (san && strncmp(san, "URI:", 4) != 0 && strncmp(san, "DNS:", 4) != 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"san must start with URI: or DNS:, not \"%.64s\"", san);
	if (fp && sg_fingerprint_normalize(fp, hex) < 0)
		return sg_error_set(err, SG_EINVALID, NULL,
			"fingerprint \"%.80s\" is not a SHA-256 fingerprint (64 hex digits)", fp);
	const json_t *list = json_object_get(grant, "capabilities");
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!capability_form(json_string_value(json_array_get(list, i))))
			return sg_error_set(err, SG_EINVALID, NULL,
				"capability \"%.64s\" is not of the form runs:read",
				json_string_value(json_array_get(list, i)));
	return 0;
}

int sg_config_check_grant(const json_t *grant, struct sg_error *err)
{
	json_auto_t *schema = NULL;
	int r = sg_json_parse(grant_schema, sizeof(grant_schema) - 1, &schema, err);
	if (r == 0)
		r = sg_schema_validate(schema, grant, err);
	if (r < 0)
		return sg_error_prefix(err, "grant");
	int names = !!json_object_get(grant, "subject") + !!json_object_get(grant, "san") +
		    !!json_object_get(grant, "fingerprint");
	if (names != 1)
		return sg_error_set(err, SG_EINVALID, NULL,
			"a grant names exactly one of subject, san, fingerprint");
	return check_names(grant, err);
}

/* NULL text stays NULL; false when out of memory. */
static bool copy(const json_t *grant, const char *name, char **ret)
{
	const char *text = json_string_value(json_object_get(grant, name));
	*ret = text ? strdup(text) : NULL;
	return !text || *ret;
}

static int load_grant(const json_t *grant, struct sg_grant *g, struct sg_error *err)
{
	const json_t *list = json_object_get(grant, "capabilities");
	size_t n = json_array_size(list);
	g->capabilities = calloc(n + 1, sizeof(*g->capabilities));
	bool ok = g->capabilities && copy(grant, "subject", &g->subject) &&
		  copy(grant, "san", &g->san) && copy(grant, "fingerprint", &g->fingerprint);
	char hex[65];
	if (ok && g->fingerprint && sg_fingerprint_normalize(g->fingerprint, hex) == 0) {
		free(g->fingerprint);
		g->fingerprint = strdup(hex);
		ok = g->fingerprint != NULL;
	}
	for (size_t i = 0; ok && i < n; i++) {
		g->capabilities[i] = strdup(json_string_value(json_array_get(list, i)));
		ok = g->capabilities[i] != NULL;
		g->n_capabilities = i + 1;
	}
	return ok ? 0 : sg_error_nomem(err);
}

int sg_config_load_grants(struct sg_config *c, struct sg_error *err)
{
	const json_t *list = sg_json_pointer(c->file, "/serve/cleared/grant");
	size_t n = json_array_size(list);
	if (c->profile != SG_PROFILE_CLEARED || n == 0)
		return 0;
	c->grants = calloc(n, sizeof(*c->grants));
	if (!c->grants)
		return sg_error_nomem(err);
	c->n_grants = n;
	for (size_t i = 0; i < n; i++) {
		int r = load_grant(json_array_get(list, i), &c->grants[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

void sg_config_release_grants(struct sg_config *c)
{
	for (size_t i = 0; i < c->n_grants; i++) {
		struct sg_grant *g = &c->grants[i];
		free(g->subject);
		free(g->san);
		free(g->fingerprint);
		for (size_t k = 0; k < g->n_capabilities; k++)
			free(g->capabilities[k]);
		free(g->capabilities);
	}
	free(c->grants);
	c->grants = NULL;
	c->n_grants = 0;
}
