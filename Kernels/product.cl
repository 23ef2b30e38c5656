// The tiled matrix product that scores.cl and values.cl are made of: C[TILE_M × TILE_N] += A[TILE_M × TILE_K] ·
// B[TILE_K × TILE_N], A and B staged through local memory, C in registers.
//
//                     n ──────────────► TILE_N
//                   ┌──────────────────────────┐
//                 k │ b[k][n], rows of vectors │ TILE_K
//                   └──────────────────────────┘
//    m   ┌────────┐ ┌──────────────────────────┐
//    │   │a[k][m] │ │ item (x, y) owns the rows │
//    ▼   │        │ │ y·ROWS … +ROWS−1 and the  │   TILE_M = GROUP_Y · ROWS
//        │(kept   │ │ vectors x, x + GROUP_X, … │   TILE_N = GROUP_X · COLUMNS · VECTOR
//        │ k-major│ │ (COLUMNS of them)         │
//        └────────┘ └──────────────────────────┘
//
// Every size is a build option, so that one source serves a GPU (many items, small register tiles) and a CPU (few
// items, wide vectors); these defaults let the file compile alone.

#ifndef GROUP_X
#define GROUP_X 16
#endif
#ifndef GROUP_Y
#define GROUP_Y 16
#endif
#ifndef ROWS
#define ROWS 4
#endif
#ifndef COLUMNS
#define COLUMNS 1
#endif
#ifndef VECTOR
#define VECTOR 4
#endif
#ifndef TILE_K
#define TILE_K 16
#endif

#define GROUP_ITEMS (GROUP_X * GROUP_Y)
#define TILE_M (GROUP_Y * ROWS)
#define TILE_N (GROUP_X * COLUMNS * VECTOR)
// Four floats of padding spread the transposing stores of neighbouring items over the banks, and leave an item's rows at a
// multiple of four.
#define A_STRIDE (TILE_M + 4)
#define B_STRIDE TILE_N

typedef PASTE(float, VECTOR) floatv;
#define STORE_VECTOR PASTE(vstore, VECTOR)

// Loads tile[k][row] = from[row][first_k + k] of rows that follow one another, so that the product runs down k; 0 past the
// rows and columns there are.
// Neighbouring items read neighbouring fours of a row.
static void load_transposed(__local float *tile, int tile_stride, int tile_rows, __global const storage_t *from,
                            int rows, int first_k, int columns, int item) {
  for (int at = item; at < tile_rows * (TILE_K / 4); at += GROUP_ITEMS) {
    const int row = at / (TILE_K / 4);
    const int k = 4 * (at % (TILE_K / 4));
    float4 four = 0.0f;
    if (row < rows) {
      const long here = (long)row * columns + first_k + k;
      const int left = columns - first_k - k;
      if (left >= 4) {
        four = load_four(from, here);
      } else {
        if (left > 0) four.x = load_element(from, here);
        if (left > 1) four.y = load_element(from, here + 1);
        if (left > 2) four.z = load_element(from, here + 2);
      }
    }
    tile[(k + 0) * tile_stride + row] = four.x;
    tile[(k + 1) * tile_stride + row] = four.y;
    tile[(k + 2) * tile_stride + row] = four.z;
    tile[(k + 3) * tile_stride + row] = four.w;
  }
}

// C += A · B over one tile of k.
static void multiply_tiles(floatv c[ROWS][COLUMNS], __local const float *a, __local const floatv *b, int x, int y) {
  floatv sum[ROWS][COLUMNS];
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < COLUMNS; v++) sum[r][v] = c[r][v];
  for (int k = 0; k < TILE_K; k++) {
    floatv row[COLUMNS];
    for (int v = 0; v < COLUMNS; v++) row[v] = b[k * (B_STRIDE / VECTOR) + v * GROUP_X + x];
    float factor[ROWS];
    load_floats(factor, a + k * A_STRIDE + y * ROWS, ROWS);
    for (int r = 0; r < ROWS; r++)
      for (int v = 0; v < COLUMNS; v++) sum[r][v] += factor[r] * row[v];
  }
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < COLUMNS; v++) c[r][v] = sum[r][v];
}
