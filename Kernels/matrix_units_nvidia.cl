// Matrix units of NVIDIA GPUs of compute capability 8.0 and later, in PTX, which NVIDIA's compiler takes as it takes any other
// assembly (PTX ISA, "Warp-level matrix instructions").
//
// C += A·B of 16 × 16 by 16 × 8 numbers. Lane 4g + t holds, two neighbours of A and B in a word:
//
//          A     0 1 2 3 …  8 9 …            B   0 … g … 7            C    0 1 2 3 …
//       0  ┌──────────────────────┐       0   ┌────────────┐        0  ┌────────────────┐
//       …  │                      │       2t  │  b0  2t    │        …  │                │
//       g  │ a[0] 2t  a[2] 8 + 2t │           │      2t + 1│        g  │ upper       2t │
//          ├──────────────────────┤       8   ├────────────┤           ├────────────────┤
//   8 + g  │ a[1] 2t  a[3] 8 + 2t │  8 + 2t   │  b1        │    8 + g  │ lower       2t │
//          └──────────────────────┘           └────────────┘           └────────────────┘
//
// Two products of scores side by side are, lane for lane, the left factor of P·V. Tiles of K and V are rows as in memory.

#define WARP_LANES 32
#define ROW_BLOCKS (WARP_ROWS / 16)
#define LANE_ROWS (2 * ROW_BLOCKS)
#define SHARERS 4
#define SHARER_STRIDE 1
#define BLOCK 8
#define EXCHANGED 6
typedef float Sums[2];

// Rows are multiples of 16 bytes in memory. In local memory their width is a multiple of 16, with zeros in between, and eight
// more, so that eight neighbouring rows of 16 bytes, which are read together, are in different banks.
#define KEY_WIDTH ROUNDED_UP(HEAD_DIMENSION, 16)
#define VALUE_WIDTH ROUNDED_UP(VALUE_DIMENSION, 16)
#define KEY_STRIDE (KEY_WIDTH + 8)
#define VALUE_STRIDE (VALUE_WIDTH + 8)
#define KEY_TILE_SIZE (TILE_KEYS * KEY_STRIDE)
#define VALUE_TILE_SIZE (TILE_KEYS * VALUE_STRIDE)

static int row_of_lane(const Warp warp, int r) { return warp.lane / 4 + 8 * r; }
static int sharer_of(const Warp warp) { return warp.lane % 4; }

// MARK: Instructions

#ifdef EMULATED

static uint pack(float x, float y) { return rounded_pair(x, y); }

INLINED void multiply_add(const Warp warp, Sums upper, Sums lower, const uint a[4], uint b0, uint b1) {
  __local uint *mine = warp.exchange + EXCHANGED * warp.lane;
  for (int k = 0; k < 4; k++) mine[k] = a[k];
  mine[4] = b0;
  mine[5] = b1;
  barrier(CLK_LOCAL_MEM_FENCE);
  const int g = warp.lane / 4, t = warp.lane % 4;
  for (int k = 0; k < 8; k++) {  // of the inner dimension two at a time, in lane k % 4 of four
    for (int n = 0; n < 4; n++) {
      float *c = n < 2 ? upper + n : lower + (n - 2);
      const float2 left = unpack(warp.exchange[EXCHANGED * (4 * g + k % 4) + k / 4 * 2 + n / 2]);
      const float2 right = unpack(warp.exchange[EXCHANGED * (4 * (2 * t + n % 2) + k % 4) + 4 + k / 4]);
      *c += left.x * right.x;
      *c += left.y * right.y;
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

static void load_blocks(const Warp warp, uint b[4], __local const ushort *tile, int row) {
  warp.exchange[warp.lane] = row;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int k = 0; k < 4; k++) {
    __local const ushort *from = tile + warp.exchange[8 * k + warp.lane / 4] + warp.lane % 4 * 2;
    b[k] = from[0] | (uint)from[1] << 16;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

static void load_transposed_blocks(const Warp warp, uint b[4], __local const ushort *tile, int row) {
  warp.exchange[warp.lane] = row;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int k = 0; k < 4; k++) {
    __local const uint *rows = warp.exchange + 8 * k + warp.lane % 4 * 2;
    b[k] = tile[rows[0] + warp.lane / 4] | (uint)tile[rows[1] + warp.lane / 4] << 16;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

static void copy_16_bytes(__local ushort *to, __global const ushort *from, bool there) {
  for (int n = 0; n < 8; n++) to[n] = there ? from[n] : 0;
}
static void begin_copies(void) {}
static void await_copies(void) {}

#else

#if STORAGE == 2
#define MATRIX_TYPE "bf16"
#else
#define MATRIX_TYPE "f16"
#endif

static uint pack(float x, float y) {
  uint word;
  __asm__("cvt.rn." MATRIX_TYPE "x2.f32 %0, %1, %2;" : "=r"(word) : "f"(y), "f"(x));
  return word;
}

// 2^x, 0 where it is below the least normal number: else its compiler takes care of those, at four times the instructions.
static float power_of_two(float x) {
  float power;
  __asm__("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

// The number that another lane passes.
static float from_lane(const Warp warp, float x, int lane) {
  (void)warp;
  uint bits;
  __asm__ volatile("shfl.sync.idx.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(bits) : "r"(as_uint(x)), "r"(lane));
  return as_float(bits);
}

INLINED void multiply_add(const Warp warp, Sums upper, Sums lower, const uint a[4], uint b0, uint b1) {
  (void)warp;
  __asm__("mma.sync.aligned.m16n8k16.row.col.f32." MATRIX_TYPE "." MATRIX_TYPE ".f32 "
          "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(upper[0]), "+f"(upper[1]), "+f"(lower[0]), "+f"(lower[1])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static uint local_address(__local const ushort *at) { return (uint)(ulong)at; }

// Four blocks of 8 × 8: lane 8k + n says where in the tile row n of block k begins, at a multiple of 16 bytes, and each lane
// gets two neighbours of row g of each.
static void load_blocks(const Warp warp, uint b[4], __local const ushort *tile, int row) {
  (void)warp;
  __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(local_address(tile + row)) : "memory");
}
// The same, of their transposes.
static void load_transposed_blocks(const Warp warp, uint b[4], __local const ushort *tile, int row) {
  (void)warp;
  __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(local_address(tile + row)) : "memory");
}

// 16 bytes to local memory, past the registers; zeros, and nothing is read, where they are not there.
static void copy_16_bytes(__local ushort *to, __global const ushort *from, bool there) {
  __asm__ volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(local_address(to)), "l"((ulong)from),
                   "r"(there ? 16 : 0) : "memory");
}
// What was asked for so far; and all that was, before a barrier.
static void begin_copies(void) { __asm__ volatile("cp.async.commit_group;" ::: "memory"); }
static void await_copies(void) { __asm__ volatile("cp.async.wait_group 0;" ::: "memory"); }

#endif

// MARK: Tiles

// Nothing: copies go to local memory by themselves.
typedef struct {
  int nothing;
} KeyCopy;
typedef KeyCopy ValueCopy;

// Starts copying TILE_KEYS rows from key j on to local memory; zeros past `end`. As many items as a whole number of rows has
// chunks of 16 bytes take part.
static void copy_rows(__local ushort *tile, int stride, __global const ushort *rows, int width, int j, int end, int item) {
  const int chunks = width / 8, rows_at_once = GROUP_ITEMS / chunks;
  const int row = item / chunks, column = item % chunks * 8;
  __local ushort *to = tile + row * stride + column;
  __global const ushort *from = rows + (long)(j + row) * width + column;
  const int left = end - j - row;
  if (row < rows_at_once) {
#pragma unroll UNROLLED
    for (int n = 0; n < TILE_KEYS; n += rows_at_once)
      if (TILE_KEYS % rows_at_once == 0 || n + row < TILE_KEYS) copy_16_bytes(to + n * stride, from + n * width, n < left);
  }
  begin_copies();
}

INLINED KeyCopy begin_keys(__local ushort *tile, __global const ushort *key, int j, int end, int item) {
  copy_rows(tile, KEY_STRIDE, key, HEAD_DIMENSION, j, end, item);
  const KeyCopy copy = {0};
  return copy;
}
INLINED void end_keys(__local ushort *tile, const KeyCopy copy, int item) {
  (void)tile, (void)copy, (void)item;
  await_copies();
}

INLINED ValueCopy begin_values(__local ushort *tile, __global const ushort *value, int j, int end, int item) {
  copy_rows(tile, VALUE_STRIDE, value, VALUE_DIMENSION, j, end, item);
  const ValueCopy copy = {0};
  return copy;
}
INLINED void end_values(__local ushort *tile, const ValueCopy copy, int item) {
  (void)tile, (void)copy, (void)item;
  await_copies();
}

// The columns between the operands' width and that of the tiles, which no copy touches.
static void clear_padding(__local ushort *key_tile, __local ushort *value_tile, int item) {
  for (int at = item; at < TILE_KEYS; at += GROUP_ITEMS) {
    for (int column = HEAD_DIMENSION; column < KEY_WIDTH; column++) key_tile[at * KEY_STRIDE + column] = 0;
    for (int column = VALUE_DIMENSION; column < VALUE_WIDTH; column++) value_tile[at * VALUE_STRIDE + column] = 0;
  }
}

static float value_at(__local const ushort *tile, int key, int column) {
  return unpack(tile[key * VALUE_STRIDE + column]).x;
}

// MARK: Products

#define KEY_STEPS (KEY_WIDTH / 16)

typedef struct {
  uint words[ROW_BLOCKS][KEY_STEPS][4];
} Queries;

// Two neighbouring elements of a query; 0 past its end.
static uint query_pair(__global const ushort *query, int column) {
  return column < HEAD_DIMENSION ? *(__global const uint *)(query + column) : 0;
}

INLINED void load_queries(const Warp warp, Queries *q, __global const ushort *const rows[LANE_ROWS]) {
#pragma unroll UNROLLED
  for (int m = 0; m < ROW_BLOCKS; m++)
#pragma unroll UNROLLED
    for (int step = 0; step < KEY_STEPS; step++)
#pragma unroll UNROLLED
      for (int k = 0; k < 4; k++)
        q->words[m][step][k] = query_pair(rows[2 * m + k % 2], 16 * step + warp.lane % 4 * 2 + k / 2 * 8);
}

// S = Q·Kᵀ.
INLINED void multiply_keys(const Warp warp, Sums s[LANE_ROWS][KEY_BLOCKS], const Queries *q,
                           __local const ushort *key) {
  const int row = (warp.lane / 16 * 8 + warp.lane % 8) * KEY_STRIDE + warp.lane / 8 % 2 * 8;
#pragma unroll UNROLLED
  for (int r = 0; r < LANE_ROWS; r++)
#pragma unroll UNROLLED
    for (int k = 0; k < LANE_KEYS; k++) ELEMENT(s[r], k) = 0.0f;
#pragma unroll UNROLLED
  for (int step = 0; step < KEY_STEPS; step++)
#pragma unroll UNROLLED
    for (int n = 0; n < KEY_BLOCKS; n += 2) {
      uint b[4];
      load_blocks(warp, b, key, row + n * 8 * KEY_STRIDE + step * 16);
#pragma unroll UNROLLED
      for (int m = 0; m < ROW_BLOCKS; m++) {
        multiply_add(warp, s[2 * m][n], s[2 * m + 1][n], q->words[m][step], b[0], b[1]);
        multiply_add(warp, s[2 * m][n + 1], s[2 * m + 1][n + 1], q->words[m][step], b[2], b[3]);
      }
    }
}

// O += P·V, the weights in two parts.
INLINED void add_values(const Warp warp, Sums o[LANE_ROWS][VALUE_BLOCKS], Sums p[LANE_ROWS][KEY_BLOCKS],
                        __local const ushort *value) {
  const int row = warp.lane % 16 * VALUE_STRIDE + warp.lane / 16 * 8;
#pragma unroll UNROLLED
  for (int n = 0; n < KEY_BLOCKS; n += 2) {
    uint high[ROW_BLOCKS][4], low[ROW_BLOCKS][4];
#pragma unroll UNROLLED
    for (int m = 0; m < ROW_BLOCKS; m++)
#pragma unroll UNROLLED
      for (int k = 0; k < 4; k++) {
        const float *pair = p[2 * m + k % 2][n + k / 2];
        high[m][k] = pack(pair[0], pair[1]);
        const float2 rounded = unpack(high[m][k]);
        low[m][k] = pack(pair[0] - rounded.x, pair[1] - rounded.y);
      }
#pragma unroll UNROLLED
    for (int v = 0; v < VALUE_BLOCKS; v += 2) {
      uint b[4];
      load_transposed_blocks(warp, b, value, row + n * 8 * VALUE_STRIDE + v * 8);
#pragma unroll UNROLLED
      for (int m = 0; m < ROW_BLOCKS; m++) {
        multiply_add(warp, o[2 * m][v], o[2 * m + 1][v], high[m], b[0], b[1]);
        multiply_add(warp, o[2 * m][v + 1], o[2 * m + 1][v + 1], high[m], b[2], b[3]);
      }
#pragma unroll UNROLLED
      for (int m = 0; m < ROW_BLOCKS; m++) {
        multiply_add(warp, o[2 * m][v], o[2 * m + 1][v], low[m], b[0], b[1]);
        multiply_add(warp, o[2 * m][v + 1], o[2 * m + 1][v + 1], low[m], b[2], b[3]);
      }
    }
  }
}
