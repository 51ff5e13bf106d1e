/* JSON: whatever parses can be printed, reads back equal, and keeps its canonical form. What the
 * fast reader is sure of is what Jansson reads. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		abort();
}

static void compare_readers(const char *text, size_t n)
{
	json_auto_t *fast = sg_json_read(text, n);
	if (!fast)
		return;
	json_auto_t *slow = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	must(slow && json_equal(fast, slow));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	compare_readers((const char *)data, size);
	struct sg_error err;
	json_t *v = NULL;
	if (sg_json_parse((const char *)data, size, &v, &err) < 0)
		return 0;
	sg_autobuf text = SG_BUF_INIT(16U << 20);
	must(sg_json_print(v, &text, &err) == 0);
	json_t *again = NULL;
	must(sg_json_parse(text.data, text.len, &again, &err) == 0);
	must(json_equal(v, again));
	sg_autobuf first = SG_BUF_INIT(16U << 20), second = SG_BUF_INIT(16U << 20);
	must(sg_json_canonical(v, &first, &err) == 0);
	must(sg_json_canonical(again, &second, &err) == 0);
	must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	json_decref(v);
	json_decref(again);
	return 0;
}
