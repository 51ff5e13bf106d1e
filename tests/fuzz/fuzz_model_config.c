/* The model's four configuration files on any bytes (the first byte chooses): an error says why,
 * and names the file. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "embed/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sg_error err = {0};
	if (n == 0)
		return 0;
	int r = sg_model_check_config(
		data[0] % SG_MODEL_CONFIGS, (const char *)data + 1, n - 1, &err);
	assert(r == 0 || (err.code == -r && strstr(err.text, ".json")));
	return 0;
}
