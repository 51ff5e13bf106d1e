/* CLIPS hashes the text of every slot of a fact, three times in its life (looking for a duplicate,
 * storing, retracting): 40 µs a step where a state field holds 8 KB. But a text is in the symbol
 * table already, and its bucket there is a hash of it. So the linker puts this in the place of
 * CLIPS's own HashMultifield (--wrap, see meson.build): equal values hash equally, in this process
 * and any other; without it all works the same, slower. */
#include "rules/internal.h"

unsigned long __wrap_HashMultifield(struct multifield *m, unsigned long range);

static unsigned long hash_field(const struct field *f)
{
	switch (f->type) {
	case SYMBOL:
	case STRING:
	case INSTANCE_NAME: return ((const struct symbolHashNode *)f->value)->bucket + 1UL;
	case INTEGER: return (unsigned long)ValueToLong(f->value);
	case FLOAT: return ((const struct floatHashNode *)f->value)->bucket + 1UL;
	case MULTIFIELD: return __wrap_HashMultifield(f->value, 0);
	default: return f->type; /* equal values are of one type */
	}
}

unsigned long __wrap_HashMultifield(struct multifield *m, unsigned long range)
{
	unsigned long sum = 0;
	for (long i = 0; i < m->multifieldLength; i++)
		sum = sum * 31 + hash_field(&m->theFields[i]);
	return range ? sum % range : sum;
}
