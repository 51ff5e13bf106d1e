/* [[llm]] tables made into endpoints: addresses checked, keys read. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "llm/internal.h"

#define DEFAULT_TIMEOUT_S 120
#define DEFAULT_RESPONSE_BYTES (1 << 20)
#define DEFAULT_CONCURRENT 4

struct sg_llms {
	struct sg_llm list[SG_LLM_MAX];
	const char *names[SG_LLM_MAX]; /* borrowed from list */
	size_t n;
	bool curl; /* is set up */
};

/* Into a header: one line of printable ASCII. */
static bool good_key(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	return n > 0;
}

static int read_key(struct sg_llm *l, const char *path, struct sg_error *err)
{
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	if (*path != '/')
		return sg_error_set(err, SG_EINVALID, NULL,
			"api_key_file: \"%.200s\" is not an absolute path", path);
	bool there = stat(path, &st) == 0; /* sg_file_read says why not */
	if (there && (st.st_mode & 077))
		return sg_error_set(err, SG_EREFUSED, NULL,
			"api_key_file: %s can be read by others than its owner; chmod 600 it",
			path);
	if (there && st.st_uid != 0 && st.st_uid != geteuid())
		return sg_error_set(err, SG_EREFUSED, NULL,
			"api_key_file: %s belongs to another user than root or the server's", path);
	int r = sg_file_read(path, SG_LLM_KEY_BYTES, &text, &n, err);
	if (r < 0)
		return sg_error_prefix(err, "api_key_file");
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		text[--n] = '\0';
	l->key = text;
	return good_key(text, n) ? 0
				 : sg_error_set(err, SG_EINVALID, NULL,
					   "api_key_file: %s does not hold one line of printable "
					   "ASCII without spaces",
					   path);
}

static bool good_name(const char *name)
{
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(name) && *name;
}

static int make(struct sg_llm *l, const json_t *table, struct sg_error *err)
{
	const char *key = sg_json_text(table, "api_key_file");
	l->name = strdup(sg_json_text(table, "name"));
	l->model = strdup(sg_json_text(table, "model"));
	l->timeout_us = sg_json_int(table, "timeout_seconds", DEFAULT_TIMEOUT_S) * 1000000;
	l->response_bytes = (size_t)sg_json_int(table, "response_bytes", DEFAULT_RESPONSE_BYTES);
	l->concurrent = (size_t)sg_json_int(table, "concurrent", DEFAULT_CONCURRENT);
	if (!l->name || !l->model)
		return sg_error_nomem(err);
	if (!good_name(l->name))
		return sg_error_set(err, SG_EINVALID, NULL, "a name is of a-z, 0-9, _ and -");
	int r = sg_llm_address(l, sg_json_text(table, "url"), err);
	return r == 0 && key ? read_key(l, key, err) : r;
}

static int start_curl(struct sg_llms *l, struct sg_error *err)
{
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
		return sg_error_nomem(err);
	l->curl = true;
	return 0;
}

int sg_llms_create(struct sg_llms **ret, const json_t *list, struct sg_error *err)
{
	size_t n = json_array_size(list);
	struct sg_llms *l = calloc(1, sizeof(*l));
	if (!l)
		return sg_error_nomem(err);
	int r = n > SG_LLM_MAX
			? sg_error_set(err, SG_ELIMIT, NULL, "[[llm]]: more than %d", SG_LLM_MAX)
			: 0;
	if (r == 0 && n)
		r = start_curl(l, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const json_t *table = json_array_get(list, i);
		const char *name = sg_json_text(table, "name");
		if (sg_llms_find(l, name))
			r = sg_error_set(err, SG_EINVALID, NULL, "declared twice");
		l->n = i + 1;
		l->list[i].index = i;
		if (r == 0)
			r = make(&l->list[i], table, err);
		l->names[i] = l->list[i].name;
		if (r < 0)
			(void)sg_error_prefix(err, "[[llm]] %.64s", name);
	}
	if (r < 0) {
		sg_llms_destroy(l);
		return r;
	}
	*ret = l;
	return 0;
}

void sg_llms_destroy(struct sg_llms *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n; i++) {
		struct sg_llm *one = &l->list[i];
		if (one->key)
			explicit_bzero(one->key, strlen(one->key));
		free(one->key);
		free(one->name);
		free(one->model);
		free(one->url);
		free(one->socket);
	}
	if (l->curl)
		curl_global_cleanup();
	free(l);
}

const struct sg_llm *sg_llms_find(const struct sg_llms *l, const char *name)
{
	for (size_t i = 0; l && i < l->n; i++)
		if (l->list[i].name && strcmp(l->list[i].name, name) == 0)
			return &l->list[i];
	return NULL;
}

const char *const *sg_llms_names(const struct sg_llms *l, size_t *ret_n)
{
	*ret_n = l ? l->n : 0;
	return l ? l->names : NULL;
}
