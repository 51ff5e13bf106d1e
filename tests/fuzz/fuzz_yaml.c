/* YAML: whatever is read can be printed as JSON, and every mark lies inside the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "config/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sg_error err;
	struct sg_yaml y = {0};
	if (size > 65536 || sg_yaml_read_text("f", (const char *)data, size, &y, &err) < 0)
		return 0;
	sg_autobuf out = SG_BUF_INIT(64U << 20);
	must(sg_json_print(y.root, &out, &err) == 0);
	json_t *again = NULL;
	must(sg_json_parse(out.data, out.len, &again, &err) == 0);
	json_decref(again);
	const char *key;
	json_t *v;
	json_object_foreach (y.root, key, v) {
		char pointer[64] = "/";
		int line, column;
		strncat(pointer, key, sizeof(pointer) - 2);
		sg_yaml_mark(&y, pointer, 1, &line, &column);
		must(line >= 0 && (size_t)line <= size + 1);
	}
	sg_yaml_finish(&y);
	return 0;
}
