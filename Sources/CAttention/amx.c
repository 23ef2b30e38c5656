// For x86-64 with AMX beside AVX-512: its kernels, and products of bfloat16 and float16 by tiles.
#include "internal.h"

#if defined(__x86_64__)
#pragma clang attribute push( \
    __attribute__((target("amx-tile,amx-bf16,avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#define LANES 16
#define HARDWARE_HALF 1
#define REGISTERS 32
#define ROWS 12
#define COLUMNS 2
#define STEPS 1
#define BRAIN_TILES 1
#define KERNELS attention_kernels_amx
#include "template/kernels.inc"
#pragma clang attribute pop
#endif
