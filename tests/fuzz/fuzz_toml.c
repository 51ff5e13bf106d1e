/* TOML: the reader alone, then the whole check of stargraph.toml with its places. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json.h"
#include "config/keys.h"
#include "config/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sg_error err;
	json_t *root = NULL;
	struct sg_mark *marks = NULL;
	if (size > 65536 || sg_toml_read("f", (const char *)data, size, &root, &marks, &err) < 0)
		return 0;
	sg_autobuf out = SG_BUF_INIT(16U << 20);
	if (sg_json_canonical(root, &out, &err) < 0)
		abort();
	(void)sg_config_check_file("f", root, marks, &err);
	json_decref(root);
	sg_mark_destroy(marks);
	return 0;
}
