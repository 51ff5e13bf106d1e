/* The safetensors header on any bytes: what is accepted lies inside the file, in order, end to
 * end. */
#include <assert.h>
#include <stdint.h>

#include "embed/safetensors.h"
#include "embed/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sg_safetensors s;
	struct sg_error err = {0};
	int r = sg_safetensors_parse(&s, data, n, &err);
	if (r < 0) {
		assert(err.text[0] && err.code == -r);
		return 0;
	}
	const uint8_t *at = s.n ? s.tensors[0].data : data + n;
	assert(at >= data + 8);
	for (size_t i = 0; i < s.n; i++) {
		assert(s.tensors[i].data == at);
		at += s.tensors[i].bytes;
	}
	assert(at == data + n);
	sg_safetensors_finish(&s);
	struct sg_weights w = {0};
	assert(sg_weights_bind(&w, data, n, true, &err) < 0); /* far too small for the model */
	return 0;
}
