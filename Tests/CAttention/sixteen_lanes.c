// The template as avx512.c includes it, but for AVX2: so sixteen lanes are tried on processors that have no AVX-512 too.
#include "../../Sources/CAttention/internal.h"

#if defined(__x86_64__)
// How a vector wider than a register is passed matters to nobody: all that pass one are inlined.
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LANES 16
#define HARDWARE_HALF 1
#define REGISTERS 32
#define ROWS 12
#define COLUMNS 2
#define STEPS 4
#define BRAIN_TILES 0
#define KERNELS attention_kernels_sixteen_lanes
#include "../../Sources/CAttention/template/kernels.inc"
#pragma clang attribute pop
#endif
