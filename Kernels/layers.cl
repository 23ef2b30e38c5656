// What a model does to rows of float32 beside products: a work-group of ITEMS items has a row, or a number, to itself.

#ifndef ITEMS
#define ITEMS 1
#endif
// Numbers of a product that a group makes one after the other.
#ifndef NUMBERS
#define NUMBERS 1
#endif
#define ROW_GROUP __attribute__((reqd_work_group_size(ITEMS, 1, 1)))

// The sum of what every item has, for all of them.
static float sum_of_group(float own, __local float *scratch, int item) {
#if ITEMS == 1
  (void)scratch, (void)item;
  return own;
#else
  barrier(CLK_LOCAL_MEM_FENCE);
  scratch[item] = own;
  for (int half_items = ITEMS / 2; half_items > 0; half_items /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item < half_items) scratch[item] += scratch[item + half_items];
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  return scratch[0];
#endif
}

// What an item has of x · w: blocks of 32 in turn where the row is whole ones, so that a block's scale is read once; else
// fours.
static float dot_of_item(__global const float *x, __global const uchar *w, uint depth, uint item) {
  __global const float4 *fours = (__global const float4 *)x;
  float4 sum = 0.0f;
  const uint blocks = depth % 32 == 0 ? depth / 32 : 0;
  for (uint b = item; b < blocks; b += ITEMS) {
    float4 block[8];
    load_weight_block(block, w, b);
#pragma unroll
    for (uint n = 0; n < 8; n++) sum += fours[b * 8 + n] * block[n];
  }
  for (uint k = blocks * 8 + item; k < depth / 4; k += ITEMS) sum += fours[k] * load_weights(w, 4 * k);
  return (sum.x + sum.y) + (sum.z + sum.w);
}

// Some numbers of a row of y = x·Wᵀ + bias: group (row, NUMBERS outputs).
__kernel ROW_GROUP void linear_number(__global const float *x, __global const uchar *weights, __global const float *bias,
                                      __global float *y, int depth, int outputs, int row_bytes, int has_bias) {
  __local float scratch[ITEMS];
  const int item = get_local_id(0), groups = (outputs + NUMBERS - 1) / NUMBERS;
  const int row = get_group_id(0) / groups, first = get_group_id(0) % groups * NUMBERS;
  for (int n = first; n < min(first + NUMBERS, outputs); n++) {
    const float own = dot_of_item(x + (long)row * depth, weights + (long)n * row_bytes, depth, item);
    const float total = sum_of_group(own, scratch, item);
    if (item == 0) y[(long)row * outputs + n] = total + (has_bias ? bias[n] : 0.0f);
  }
}

// y[i] = the table's row ids[i], or zeros where the number is below 0: one group a row.
__kernel ROW_GROUP void take_rows(__global const uchar *table, __global const int *ids, __global float *y, int width,
                                  int row_bytes) {
  const int id = ids[get_group_id(0)];
  __global float *to = y + (long)get_group_id(0) * width;
  for (int k = 4 * get_local_id(0); k < width; k += 4 * ITEMS)
    vstore4(id < 0 ? (float4)0.0f : load_weights(table + (long)id * row_bytes, k), 0, to + k);
}

// y = scale · (s − mean s) / √(variance s + epsilon) + shift, s = x + residual.
__kernel ROW_GROUP void layer_norm(__global const float *x, __global const float *residual, __global const float *scale,
                                   __global const float *shift, __global float *y, int width, int has_residual,
                                   float epsilon) {
  __local float scratch[ITEMS];
  const int item = get_local_id(0);
  const long start = (long)get_group_id(0) * width;
  float sum = 0.0f;
  for (int k = item; k < width; k += ITEMS) {
    const float s = x[start + k] + (has_residual ? residual[start + k] : 0.0f);
    y[start + k] = s;
    sum += s;
  }
  const float mean = sum_of_group(sum, scratch, item) / (float)width;
  // An item reads what it has written itself.
  float squares = 0.0f;
  for (int k = item; k < width; k += ITEMS) squares += (y[start + k] - mean) * (y[start + k] - mean);
  const float factor = 1.0f / sqrt(sum_of_group(squares, scratch, item) / (float)width + epsilon);
  for (int k = item; k < width; k += ITEMS) y[start + k] = (y[start + k] - mean) * factor * scale[k] + shift[k];
}

// y = scale · x / √(mean x² + epsilon)
__kernel ROW_GROUP void rms_norm(__global const float *x, __global const float *scale, __global float *y, int width,
                                 float epsilon) {
  __local float scratch[ITEMS];
  const int item = get_local_id(0);
  const long start = (long)get_group_id(0) * width;
  float squares = 0.0f;
  for (int k = item; k < width; k += ITEMS) squares += x[start + k] * x[start + k];
  const float factor = 1.0f / sqrt(sum_of_group(squares, scratch, item) / (float)width + epsilon);
  for (int k = item; k < width; k += ITEMS) y[start + k] = x[start + k] * factor * scale[k];
}

// One item a number.
__kernel void add(__global const float *x, __global float *y) { y[get_global_id(0)] += x[get_global_id(0)]; }

__kernel void gelu(__global float *x) {
  const float v = x[get_global_id(0)];
  x[get_global_id(0)] = 0.5f * v * (1.0f + erf(v * 0.70710678f));
}

__kernel void gelu_tanh(__global float *x) {
  const float v = x[get_global_id(0)];
  x[get_global_id(0)] = 0.5f * v * (1.0f + tanh(0.79788456f * (v + 0.044715f * v * v * v)));
}

__kernel void silu_gate(__global float *gate, __global const float *up) {
  const float v = gate[get_global_id(0)];
  gate[get_global_id(0)] = v / (1.0f + exp(-v)) * up[get_global_id(0)];
}
