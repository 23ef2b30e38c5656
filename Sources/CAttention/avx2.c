// For x86-64 with AVX2, FMA and F16C: eight lanes, sixteen registers.
#include "internal.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LANES 8
#define HARDWARE_HALF 1
#define REGISTERS 16
#define ROWS 6
#define COLUMNS 2
#define STEPS 4
#define BRAIN_TILES 0
#define KERNELS attention_kernels_avx2
#include "template/kernels.inc"
#pragma clang attribute pop
#endif
