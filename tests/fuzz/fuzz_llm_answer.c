/* Any bytes as the body of a chat completion: an answer that is UTF-8 text, or an error of a kind.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "llm/llm.h"

static void check_text(const char *s, size_t n)
{
	for (size_t at = 0, k; at < n; at += k)
		if (!(k = sg_utf8_length(s + at, n - at)))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sg_llm_answer a = {0};
	struct sg_error err = {0};
	int r = sg_llm_answer_parse((const char *)data, size, &a, &err);
	if (r < 0 ? a.text || !err.text[0] || !err.kind[0] : !a.text || strlen(a.text) != a.len)
		abort();
	if (r < 0)
		check_text(err.text, strlen(err.text));
	else
		check_text(a.text, a.len);
	check_text(a.model, strlen(a.model));
	check_text(a.finish_reason, strlen(a.finish_reason));
	sg_llm_answer_finish(&a);
	return 0;
}
