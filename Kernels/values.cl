// O = P·V, the third staged kernel: a work-group makes TILE_M rows × TILE_N columns of the output of one head.
//
//   O[i][n] = Σ_j P[i][j] · V[j][n],  over the keys j that some query of the tile sees by position and block
//
// A hidden key has P = 0, and 0 · V adds nothing, unless V is NaN or infinite there: that value may be seen by one row
// of the tile and hidden from the next. So a tile of V is checked as it is loaded, and once one holds such a value, the
// visibility of each pair decides and not the product.

// Loads tile[k][m] = P[m][first_k + k]; 0 past the rows.
static void load_weights(__local float *tile, __global const float *from, int row_stride, int rows, int item) {
  for (int at = item; at < TILE_M * (TILE_K / 4); at += GROUP_ITEMS) {
    const int row = at / (TILE_K / 4);
    const int k = 4 * (at % (TILE_K / 4));
    const float4 four = row < rows ? *(__global const float4 *)(from + (long)row * row_stride + k) : (float4)0.0f;
    tile[(k + 0) * A_STRIDE + row] = four.x;
    tile[(k + 1) * A_STRIDE + row] = four.y;
    tile[(k + 2) * A_STRIDE + row] = four.z;
    tile[(k + 3) * A_STRIDE + row] = four.w;
  }
}

// Loads tile[k][n] = V[k][n], 0 past the rows and columns there are; whether all of it is finite.
static bool load_values(__local float *tile, __global const storage_t *from, int row_stride, int rows, int columns,
                        int item) {
  bool finite = true;
  for (int at = item; at < TILE_K * (TILE_N / 4); at += GROUP_ITEMS) {
    const int row = at / (TILE_N / 4);
    const int n = 4 * (at % (TILE_N / 4));
    float4 four = 0.0f;
    if (row < rows) {
      const long here = (long)row * row_stride + n;
      const int left = columns - n;
      if (left >= 4) {
        four = load_four(from, here);
      } else {
        if (left > 0) four.x = load_element(from, here);
        if (left > 1) four.y = load_element(from, here + 1);
        if (left > 2) four.z = load_element(from, here + 2);
      }
    }
    finite = finite && all(isfinite(four));
    *(__local float4 *)(tile + row * B_STRIDE + n) = four;
  }
  return finite;
}

__kernel PINNED __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void weighted_values(
    __global const Head *heads, __global const float *weights, __global const storage_t *value,
    __global const uchar *mask, __global const uchar *block_mask, __global storage_t *output,
    int value_dimension, int first_row, int row_tiles, int score_stride,
    int mask_kind, long mask_query_stride, long mask_key_stride,
    int query_block, int key_block, int block_columns) {
  __local float4 tile_a[TILE_K * A_STRIDE / 4];
  __local float *a = (__local float *)tile_a;
  __local floatv b[TILE_K * B_STRIDE / VECTOR];
  __local uchar visible[TILE_M * TILE_K];
  __local int not_finite;

  const int item = get_local_id(0);
  const int x = item % GROUP_X, y = item / GROUP_X;
  const int column_tiles = (value_dimension + TILE_N - 1) / TILE_N;
  const int group = get_group_id(0);
  const int n0 = group % column_tiles * TILE_N;
  const int row_tile = group / column_tiles % row_tiles;
  const Head head = heads[group / column_tiles / row_tiles];
  const Modifiers modifiers = {0.0f, 0.0f, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                               query_block, key_block, block_columns, block_mask};

  const int i0 = first_row + row_tile * TILE_M;
  const int rows = min(TILE_M, head.query_length - i0);
  if (rows <= 0) return;
  if (item == 0) not_finite = 0;

  floatv c[ROWS][COLUMNS];
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < COLUMNS; v++) c[r][v] = 0.0f;

  const int begin = first_visible(head, i0) / TILE_K * TILE_K;
  const int end = end_visible(head, i0 + rows - 1);
  for (int j = begin; j < end; j += TILE_K) {
    if (block_visibility(modifiers, head, i0, rows, j, TILE_K) == TILE_HIDDEN) continue;
    barrier(CLK_LOCAL_MEM_FENCE);
    load_weights(a, weights + head.score + (long)(row_tile * TILE_M) * score_stride + j, score_stride, rows, item);
    if (!load_values((__local float *)b, value + head.value + (long)j * value_dimension + n0, value_dimension,
                     head.key_length - j, value_dimension - n0, item))
      atomic_or(&not_finite, 1);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (!not_finite) {
      multiply_tiles(c, a, b, x, y);
    } else {
      for (int at = item; at < TILE_M * TILE_K; at += GROUP_ITEMS)
        visible[at] = at / TILE_K < rows && is_visible(modifiers, head, i0 + at / TILE_K, j + at % TILE_K);
      barrier(CLK_LOCAL_MEM_FENCE);
// Rare, so small rather than fast: unrolled, it would take more registers than the product itself.
#pragma unroll 1
      for (int k = 0; k < TILE_K; k++)
        for (int r = 0; r < ROWS; r++)
          if (visible[(y * ROWS + r) * TILE_K + k])
            for (int v = 0; v < COLUMNS; v++)
              c[r][v] += a[k * A_STRIDE + y * ROWS + r] * b[k * (B_STRIDE / VECTOR) + v * GROUP_X + x];
    }
  }

#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = y * ROWS + r;
    if (row >= rows) break;
    for (int v = 0; v < COLUMNS; v++) {
      const int column = n0 + (v * GROUP_X + x) * VECTOR;
      float o[VECTOR];
      STORE_VECTOR(c[r][v], 0, o);
      for (int e = 0; e < VECTOR; e += 4)
        if (column + e < value_dimension)
          store_four(output, head.output + (long)(i0 + row) * value_dimension + column + e,
                     (float4)(o[e], o[e + 1], o[e + 2], o[e + 3]), value_dimension - column - e);
    }
  }
}
