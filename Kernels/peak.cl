// The most multiply-adds a device does: on registers, enough of them independent to fill the pipelines, with no memory to
// wait for. Measured, not computed: no driver tells how many multiply-adds a compute unit does in a cycle.
//
// Each number x becomes x · factor + term, `rounds` times. A work-item owns CHAINS vectors that follow one another:
//
//          vector 0   vector 1        CHAINS − 1
//        ┌──────────┬──────────┬─────┬──────────┐
// item 0 │ WIDTH x  │          │  …  │          │   a vector waits for its own last round, and for no other vector
//        └──────────┴──────────┴─────┴──────────┘
//
// Numbers, factor and term come from the host, so that nothing can be worked out in advance; with factor and term 1 the
// result is x + rounds, exact below 2²⁴, and the host checks it.

#ifndef WIDTH
#define WIDTH 4
#endif
#ifndef CHAINS
#define CHAINS 12
#endif

#define VECTOR_OF(width) float##width
#define EXPANDED(width) VECTOR_OF(width)
typedef EXPANDED(WIDTH) peak_t;

// fma where the device has it as an instruction, mad where fma would be a function.
#ifdef FP_FAST_FMAF
#define MULTIPLY_ADD(x) fma(x, factors, terms)
#else
#define MULTIPLY_ADD(x) mad(x, factors, terms)
#endif

__kernel void multiply_adds(__global peak_t *numbers, float factor, float term, int rounds) {
  __global peak_t *own = numbers + get_global_id(0) * CHAINS;
  const peak_t factors = (peak_t)(factor), terms = (peak_t)(term);
  peak_t x[CHAINS];
#pragma unroll
  for (int c = 0; c < CHAINS; c++) x[c] = own[c];
  for (int round = 0; round < rounds; round++) {
#pragma unroll
    for (int c = 0; c < CHAINS; c++) x[c] = MULTIPLY_ADD(x[c]);
  }
#pragma unroll
  for (int c = 0; c < CHAINS; c++) own[c] = x[c];
}
