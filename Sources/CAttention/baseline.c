// For any processor: four lanes, SSE2 on x86-64. 16-bit elements are converted by integer operations.
#include "internal.h"

#define LANES 4
#define HARDWARE_HALF 0
#define REGISTERS 16
#define ROWS 6
#define COLUMNS 2
#define STEPS 4
#define BRAIN_TILES 0
#define KERNELS attention_kernels_baseline
#include "template/kernels.inc"
