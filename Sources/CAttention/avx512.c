// For x86-64 with AVX-512: sixteen lanes, thirty-two registers. One step at a time: of several the compiler brings the
// broadcasts forward, and accumulators have to leave their registers for them.
#include "internal.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#define LANES 16
#define HARDWARE_HALF 1
#define REGISTERS 32
#define ROWS 12
#define COLUMNS 2
#define STEPS 1
#define BRAIN_TILES 0
#define KERNELS attention_kernels_avx512
#include "template/kernels.inc"
#pragma clang attribute pop
#endif
