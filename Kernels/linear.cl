// y = x·Wᵀ + bias, the projections of a model. With several rows of x it is the product that Q·Kᵀ is (product.cl): a
// work-group makes one TILE_M × TILE_N tile of y; x is float32, that is, STORAGE is 0. With few rows it is bound by reading
// W, and layers.cl has it.

// As load_transposed, of weights.
static void load_weights_transposed(__local float *tile, __global const uchar *weights, long row_bytes, int rows,
                                    int first_k, int depth, int item) {
  for (int at = item; at < TILE_N * (TILE_K / 4); at += GROUP_ITEMS) {
    const int row = at / (TILE_K / 4);
    const int k = 4 * (at % (TILE_K / 4));
    float4 four = 0.0f;
    if (row < rows && first_k + k < depth) four = load_weights(weights + row * row_bytes, first_k + k);
    tile[(k + 0) * B_STRIDE + row] = four.x;
    tile[(k + 1) * B_STRIDE + row] = four.y;
    tile[(k + 2) * B_STRIDE + row] = four.z;
    tile[(k + 3) * B_STRIDE + row] = four.w;
  }
}

__kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void linear(
    __global const storage_t *x, __global const uchar *weights, __global const float *bias, __global float *y, int rows,
    int depth, int outputs, int row_bytes, int has_bias) {
  // (Read by fours: an array of floats need not begin at a multiple of 16 bytes, and NVIDIA GPUs stop where it does not.)
  __local float4 tile_a[TILE_K * A_STRIDE / 4];
  __local float *a = (__local float *)tile_a;
  __local floatv b[TILE_K * B_STRIDE / VECTOR];

  const int item = get_local_id(0);
  const int column_tiles = (outputs + TILE_N - 1) / TILE_N;
  const int group = get_group_id(0);
  const int m0 = group / column_tiles * TILE_M, n0 = group % column_tiles * TILE_N;
  const int group_x = item % GROUP_X, group_y = item / GROUP_X;

  floatv c[ROWS][COLUMNS];
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < COLUMNS; v++) c[r][v] = 0.0f;
  for (int k = 0; k < depth; k += TILE_K) {
    barrier(CLK_LOCAL_MEM_FENCE);
    load_transposed(a, A_STRIDE, TILE_M, x + (long)m0 * depth, rows - m0, k, depth, item);
    load_weights_transposed((__local float *)b, weights + (long)n0 * row_bytes, row_bytes, outputs - n0, k, depth, item);
    barrier(CLK_LOCAL_MEM_FENCE);
    multiply_tiles(c, a, b, group_x, group_y);
  }

  for (int r = 0; r < ROWS; r++) {
    const int m = m0 + group_y * ROWS + r;
    if (m >= rows) break;
    for (int v = 0; v < COLUMNS; v++) {
      float lanes[VECTOR];
      STORE_VECTOR(c[r][v], 0, lanes);
      const int n = n0 + (v * GROUP_X + group_x) * VECTOR;
      for (int l = 0; l < VECTOR && n + l < outputs; l++)
        y[(long)m * outputs + n + l] = lanes[l] + (has_bias ? bias[n + l] : 0.0f);
    }
  }
}
