// S = modifiers(Q·Kᵀ): the first of the three staged kernels. A work-group makes one TILE_M × TILE_N tile of the score
// matrix of one head:
//
//   S[i][j] = modified(scale · Σ_d Q[i][d] · K[j][d]),   −∞ where key j is hidden from query i
//
// The matrix is [head of the slice][row of the slice][score_stride], score_stride a multiple of TILE_N: a row's tail is
// −∞ as well, so that the softmax needs no bounds. A tile that is hidden by position or by the block mask is written
// without being computed.

__kernel PINNED __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void scores(
    __global const Head *heads, __global const storage_t *query, __global const storage_t *key,
    __global const uchar *mask, __global const uchar *block_mask, __global float *scores,
    int head_dimension, int first_row, int row_tiles, int score_stride,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride,
    int query_block, int key_block, int block_columns) {
  __local float4 tile_a[TILE_K * A_STRIDE / 4];
  __local float *a = (__local float *)tile_a;
  __local floatv b[TILE_K * B_STRIDE / VECTOR];

  const int item = get_local_id(0);
  const int x = item % GROUP_X, y = item / GROUP_X;
  const int column_tiles = score_stride / TILE_N;
  const int group = get_group_id(0);
  const int column_tile = group % column_tiles;
  const int row_tile = group / column_tiles % row_tiles;
  const Head head = heads[group / column_tiles / row_tiles];
  Modifiers modifiers = {scale, softcap, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                         query_block, key_block, block_columns, block_mask};

  const int i0 = first_row + row_tile * TILE_M;
  const int j0 = column_tile * TILE_N;
  const int rows = min(TILE_M, head.query_length - i0);
  if (rows <= 0) return;

  floatv c[ROWS][COLUMNS];
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < COLUMNS; v++) c[r][v] = 0.0f;

  // By position and block: is no pair of the tile visible, or every one?
  const int last = i0 + rows - 1;
  const int blocks = block_visibility(modifiers, head, i0, rows, j0, TILE_N);
  if (blocks == TILE_OPEN) modifiers.query_block = 0;  // then no pair need ask again
  const bool hidden = blocks == TILE_HIDDEN || j0 >= end_visible(head, last) || j0 + TILE_N <= first_visible(head, i0);
  const bool open = j0 >= first_visible(head, last) && j0 + TILE_N <= end_visible(head, i0);
  const bool only_scaled = open && blocks == TILE_OPEN && mask_kind == MASK_NONE && only_scales(modifiers.softcap, head.slope);

  if (!hidden) {
    for (int d = 0; d < head_dimension; d += TILE_K) {
      barrier(CLK_LOCAL_MEM_FENCE);
      load_transposed(a, A_STRIDE, TILE_M, query + head.query + (long)i0 * head_dimension, rows, d, head_dimension,
                      item);
      load_transposed((__local float *)b, B_STRIDE, TILE_N, key + head.key + (long)j0 * head_dimension,
                      head.key_length - j0, d, head_dimension, item);
      barrier(CLK_LOCAL_MEM_FENCE);
      multiply_tiles(c, a, b, x, y);
    }
  }

  __global float *to = scores + head.score + (long)(row_tile * TILE_M) * score_stride + j0;
  for (int r = 0; r < ROWS; r++) {
    const int row = y * ROWS + r;
    if (row >= rows) break;
    for (int v = 0; v < COLUMNS; v++) {
      const int column = (v * GROUP_X + x) * VECTOR;
      __global floatv *here = (__global floatv *)(to + (long)row * score_stride + column);
      if (hidden) {
        *here = -INFINITY;
      } else if (only_scaled) {
        *here = c[r][v] * scale;
      } else {
        WIDE(int) visible;
        *here = modified_scores(modifiers, head, i0 + row, j0 + column, c[r][v], &visible);
      }
    }
  }
}
