// For arm64: four lanes, thirty-two registers.
#include "internal.h"

#if defined(__aarch64__)
#define LANES 4
#define HARDWARE_HALF 1
#define REGISTERS 32
#define ROWS 6
#define COLUMNS 4
#define STEPS 4
#define BRAIN_TILES 0
#define KERNELS attention_kernels_neon
#include "template/kernels.inc"
#endif
