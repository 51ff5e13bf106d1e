/* tokenizer.json on any bytes: nothing this small has the model's vocabulary, so all of it must be
 * refused with a reason. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "embed/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sg_tokenizer *t;
	struct sg_error err = {0};
	int r = sg_tokenizer_parse(&t, (const char *)data, n, &err);
	assert(r < 0 && err.code == -r && err.text[0]);
	return 0;
}
