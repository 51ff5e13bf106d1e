/* Dot products of stored rows with queries: one portable form and one for each instruction set.
 *
 * Contract: an element of the output depends only on its row, its query and the kernel, never on
 * how many rows or queries came along, so that one query gives the same bits alone and in a batch.
 * Rows and queries are padded with zeros to a multiple of SG_SCAN_PAD elements.
 */
#ifndef SG_KNOWLEDGE_SCAN_H
#define SG_KNOWLEDGE_SCAN_H

#include <stddef.h>
#include <stdint.h>

#define SG_SCAN_PAD 32 /* elements */

struct sg_scan_ops {
	const char *name;
	/* out[q * ldo + r] = sum over i of rows[r][i] * queries[q * dims + i]. */
	void (*dots)(const float *const *rows, size_t n_rows, size_t dims, const float *queries,
		size_t n_queries, float *out, size_t ldo);
	/* out[r] = sum over i of rows[r][i] * query[i]; no element is -128. */
	void (*dots_int8)(const int8_t *const *rows, size_t n_rows, size_t dims,
		const int8_t *query, int32_t *out);
};

extern const struct sg_scan_ops sg_scan_portable, sg_scan_avx2, sg_scan_avx512;

/* The fastest that this CPU runs for NULL; else "portable", "avx2" or "avx512", NULL when there is
 * no such or the CPU lacks it. */
const struct sg_scan_ops *sg_scan_select(const char *name);

/* Symmetric 8-bit copy of a row: code = round(x / scale), scale = max|x| / 127 (0 for zeros). */
void sg_scan_quantize(const float *row, size_t dims, int8_t *ret_codes, float *ret_scale);

/* In double and a fixed order: the same bits on every CPU. What scores are told with. */
double sg_scan_exact_dot(const float *a, const float *b, size_t dims);
double sg_scan_exact_l2(const float *a, const float *b, size_t dims); /* squared distance */

#endif
