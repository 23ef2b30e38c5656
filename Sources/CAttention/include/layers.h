// What models need besides attention: products with weights, normalisations, activations. Part of CAttention.h.
#ifndef ATTENTION_LAYERS_H
#define ATTENTION_LAYERS_H

#include <stddef.h>

/// How weights are stored. The quantised types are those of GGUF: blocks of 32 numbers, each scale · q + shift.
typedef enum {
  ATTENTION_W32 = 0,  // float32
  ATTENTION_W16,      // float16
  ATTENTION_WB16,     // bfloat16
  ATTENTION_Q8_0,     // half scale, 32 int8
  ATTENTION_Q4_0,     // half scale, 32 × 4 bits, shift −8 · scale
  ATTENTION_Q4_1,     // halves scale and shift, 32 × 4 bits
} attention_weights;

/// y[m][n] = Σ_k x[m][k] · weights[n][k] + bias[n]
typedef struct {
  attention_weights type;
  const void *weights;  // [outputs][depth], rows without a gap; depth a multiple of 32 where they are quantised
  const float *bias;    // [outputs], or NULL
  size_t outputs, depth;
  const float *x;       // [rows], each `depth` floats
  size_t x_stride;      // from one row to the next
  const float *sums;    // [rows][depth / 32], by block_sums; read only where there are few rows and weights with a shift
  size_t rows;
  float *y;             // [rows], each `outputs` floats
  size_t y_stride;
} attention_linear;

/// The kernels of one instruction set. No pointer needs to be aligned beyond its element's size.
typedef struct {
  /// Up to this many rows, `linear` wants `sums`, and no scratch memory.
  size_t few_rows;
  /// Outputs first … end − 1 of a product; `first` is a multiple of the panel. `scratch`: depth · (panel + 1) floats, where
  /// there are more rows than few_rows.
  void (*linear)(const attention_linear *l, size_t first, size_t end, float *scratch);
  /// sums[b] = the sum of block b of 32 floats of x, for the whole blocks of `depth`.
  void (*block_sums)(const float *x, size_t depth, float *sums);
  /// `depth` weights as float32.
  void (*widen_weights)(attention_weights type, const void *row, size_t depth, float *to);
  /// y = scale · (s − mean s) / √(variance s + epsilon) + shift of one row s = x + residual. `residual` may be NULL.
  void (*layer_norm)(const float *x, const float *residual, const float *scale, const float *shift, float epsilon,
                     size_t count, float *y);
  /// y = scale · x / √(mean x² + epsilon) of one row.
  void (*rms_norm)(const float *x, const float *scale, float epsilon, size_t count, float *y);
  /// y = x · Φ(x), Φ the normal distribution's, within 2e-7 · max(1, |x|); y may be x.
  void (*gelu)(const float *x, size_t count, float *y);
  /// The same with Φ(x) ≈ ½ (1 + tanh(√(2/π) (x + 0.044715 x³))).
  void (*gelu_tanh)(const float *x, size_t count, float *y);
  /// y = gate / (1 + e^−gate) · up; y may be either.
  void (*silu_gate)(const float *gate, const float *up, size_t count, float *y);
  /// y += x.
  void (*add)(const float *x, size_t count, float *y);
} attention_layer_kernels;

#endif
