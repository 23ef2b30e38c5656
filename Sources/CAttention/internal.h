// What the C files of this target share. Include it before anything else: it asks the C library for GNU names.
#ifndef ATTENTION_INTERNAL_H
#define ATTENTION_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "CAttention.h"

#include <math.h>
#include <string.h>

// One a file that includes the template.
extern const attention_kernels attention_kernels_baseline;
#if defined(__x86_64__)
extern const attention_kernels attention_kernels_avx2, attention_kernels_avx512, attention_kernels_amx;
#elif defined(__aarch64__)
extern const attention_kernels attention_kernels_neon;
#endif

#endif
