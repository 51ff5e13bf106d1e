/* See kernel_wide.c. */
#ifndef SG_TEST_KERNEL_WIDE_H
#define SG_TEST_KERNEL_WIDE_H

#include "embed/kernels.h"

extern const struct sg_kernel test_kernel_wide;

#endif
