/* vocab.txt on any bytes, against a vocabulary of three tokens: never the model's, so refused with
 * the line named. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "embed/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct sg_tokenizer t;
	struct sg_error err = {0};
	if (!t.vocab.slots) {
		assert(sg_vocab_init(&t.vocab, 3) == 0);
		assert(sg_vocab_add(&t.vocab, "[PAD]", 5, 0) == 0);
		assert(sg_vocab_add(&t.vocab, "a", 1, 1) == 0);
		assert(sg_vocab_add(&t.vocab, "##a", 3, 2) == 0);
	}
	int r = sg_tokenizer_check_vocab(&t, (const char *)data, n, &err);
	assert(r < 0 && err.code == -r && strstr(err.text, "vocab.txt"));
	return 0;
}
