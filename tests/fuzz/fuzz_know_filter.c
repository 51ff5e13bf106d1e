/* Filters and import lines: whatever JSON comes, it is refused or means something; texts are cut
 * into words; a row of a segment parses or is refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "knowledge/fact.h"
#include "knowledge/internal.h"
#include "knowledge/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void each_term(void *ctx, const char *term, size_t n)
{
	(void)ctx;
	if (!n || n > SG_KNOW_TERM_MAX || term[n] != '\0')
		abort();
}

static void as_json(const uint8_t *data, size_t size)
{
	json_auto_t *j = NULL;
	struct sg_error err;
	uint8_t hash[SG_SHA256_BYTES];
	if (sg_json_parse((const char *)data, size, &j, &err) < 0)
		return;
	(void)sg_know_check_filter(j, &err);
	(void)sg_know_check_delta(j, &err);
	const json_t *text = json_object_get(j, "text");
	const struct sg_know_doc d = {.id = json_string_value(json_object_get(j, "id")),
		.text = json_string_value(text) ? json_string_value(text) : "",
		.text_len = json_string_length(text),
		.metadata = json_object_get(j, "metadata")};
	if (sg_know_check_doc(&d, &err) == 0)
		(void)sg_know_doc_hash(&d, hash, &err);
}

static void as_row(const uint8_t *data, size_t size)
{
	struct sg_span rows[SG_KNOW_SEGMENT_ROWS];
	struct sg_know_row row;
	struct sg_error err;
	unsigned sum = 0;
	(void)sg_know_side_split(SG_SPAN(data, size), rows, "fuzz", &err);
	if (sg_know_row_parse(SG_SPAN(data, size), &row, "fuzz", &err) < 0)
		return;
	const uint8_t *p = row.terms;
	for (unsigned i = 0; i < row.n_terms; i++, p += 3U + p[0])
		sum += p[1 + p[0]]; /* inside, or the sanitizer says so */
	if (p != row.terms + row.terms_len || sum == UINT32_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_json(data, size);
	as_row(data, size);
	sg_know_terms((const char *)data, size, each_term, NULL);
	return 0;
}
