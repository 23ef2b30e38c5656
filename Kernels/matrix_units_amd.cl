// Matrix units of AMD's GPUs, in the words of its compiler (clang): UNITS_MFMA, those of CDNA 2 and 3, whose warps are of 64
// lanes, and of RDNA, of 32 (UNITS_WMMA 3, UNITS_WMMA12 4). (AMD's ISA guides, "Matrix Arithmetic Instructions", "Wave Matrix
// Multiply Accumulate".)
//
// C += A·B of 16 × 16 by 16 × 16 numbers. Lane 16h + i holds of row i of A and of column i of B, and of column i of C
//
//                   of A and B                             of C
//   UNITS_MFMA      4h … 4h + 3                            4h … 4h + 3
//   UNITS_WMMA12    8h … 8h + 7                            8h … 8h + 7
//   UNITS_WMMA      all 16, whatever h                     h, 2 + h, … 14 + h
//
// A column of C is in few lanes, a row in 16: so it is K and V that stand on the left, and each lane has queries of its own,
//
//                 i                                                 i
//                ┌──────┐                                          ┌──────┐
//                │  Qᵀ  │                                          │  Pᵀ  │
//                └──────┘                                          └──────┘
//        ┌─────┐ ┌──────┐                                 ┌──────┐ ┌──────┐
//        │  K  │ │  Sᵀ  │ PART keys a lane and block      │  Vᵀ  │ │  Oᵀ  │ PART columns a lane and block
//        └─────┘ └──────┘                                 └──────┘ └──────┘
//
// and a product of scores is, lane for lane, the right factor of the next (of UNITS_WMMA with the other half's lane's). Keys
// and columns of a block may stand in any order on the left: UNITS_WMMA's are such that a lane has neighbours of C too.
//
// Operands are read from local memory 16 bytes at a time. K is rows; V is stood on its side, eight keys of a column together:
//
//   key_tile     [key][KEY_STRIDE]
//   value_tile   [octet of keys][column, see value_place][8 keys]

#if UNITS == UNITS_MFMA
#define WARP_LANES 64
#define SHARERS 4
#define KEY_STEP 32   // two products
#define INSTRUCTION_WORDS 2
#else
#define WARP_LANES 32
#define SHARERS 2
#define KEY_STEP 16
#define INSTRUCTION_WORDS (UNITS == UNITS_WMMA ? 8 : 4)
#endif
#define LANE_ROWS (WARP_ROWS / 16)
#define SHARER_STRIDE 16
#define BLOCK 16
#define EXCHANGED (2 * INSTRUCTION_WORDS)
#if UNITS == UNITS_MFMA
typedef float4 Sums;
#else
typedef float8 Sums;
#endif

#define KEY_WIDTH ROUNDED_UP(HEAD_DIMENSION, KEY_STEP)
#define VALUE_WIDTH ROUNDED_UP(VALUE_DIMENSION, BLOCK)
// (Eight more, so that neighbouring rows are in different banks.)
#define KEY_STRIDE (KEY_WIDTH + 8)
#define KEY_TILE_SIZE (TILE_KEYS * KEY_STRIDE)
#define VALUE_TILE_SIZE (TILE_KEYS / 8 * VALUE_CHUNKS * CHUNK_COLUMNS * 8)

static int row_of_lane(const Warp warp, int r) { return warp.lane % 16 + 16 * r; }
static int sharer_of(const Warp warp) { return warp.lane / 16; }

// The row of a block on the left that this lane has.
static int left_row(const Warp warp) {
  const int i = warp.lane % 16;
  return UNITS == UNITS_WMMA ? i % 2 * 8 + i / 2 : i;
}

// MARK: Instructions

// A lane's part of a step of a factor, two numbers a word.
typedef struct {
  uint words[UNITS == UNITS_WMMA ? 8 : 4];
} Operand;

// Two numbers, rounded or cut off, whichever is fewer instructions: what is left of them is another part.
static uint pack(float x, float y) {
#if STORAGE == 2
  return (as_uint(x) + 0x8000u) >> 16 | ((as_uint(y) + 0x8000u) & 0xffff0000u);
#elif defined(EMULATED)
  uint word;
  vstore_half2_rtz((float2)(x, y), 0, (half *)&word);
  return word;
#else
  return __builtin_astype(__builtin_amdgcn_cvt_pkrtz(x, y), uint);
#endif
}

#ifdef EMULATED

// Word `word` of row i of A, or of column i of B that many words further on. (Of UNITS_WMMA, where two lanes have it, now one
// and now the other is asked.)
static float2 emulated_pair(const Warp warp, int i, int word, int further) {
  const int h = UNITS == UNITS_WMMA ? word % 2 : word / INSTRUCTION_WORDS;
  return unpack(warp.exchange[EXCHANGED * (i + 16 * h) + word % INSTRUCTION_WORDS + further]);
}

INLINED void multiply_add(const Warp warp, Sums *c, const uint a[INSTRUCTION_WORDS], const uint b[INSTRUCTION_WORDS]) {
  __local uint *mine = warp.exchange + EXCHANGED * warp.lane;
  for (int k = 0; k < INSTRUCTION_WORDS; k++) mine[k] = a[k], mine[INSTRUCTION_WORDS + k] = b[k];
  barrier(CLK_LOCAL_MEM_FENCE);
  const int h = warp.lane / 16;
  for (int e = 0; e < PART; e++)
    for (int word = 0; word < 8; word++) {
      const float2 left = emulated_pair(warp, UNITS == UNITS_WMMA ? 2 * e + h : PART * h + e, word, 0);
      const float2 right = emulated_pair(warp, warp.lane % 16, word, INSTRUCTION_WORDS);
      (*c)[e] += left.x * right.x;
      (*c)[e] += left.y * right.y;
    }
  barrier(CLK_LOCAL_MEM_FENCE);
}

static void settle(Sums *sums) { (void)sums; }
static uint from_other_half(const Warp warp, uint x) { return as_uint(from_lane(warp, as_float(x), warp.lane ^ 16)); }

#else

static float from_lane(const Warp warp, float x, int lane) {
  (void)warp;
  return as_float(__builtin_amdgcn_ds_bpermute(lane * 4, as_int(x)));
}

#if UNITS != UNITS_MFMA
// The word of the lane 16 away.
static uint from_other_half(const Warp warp, uint x) {
  (void)warp;
  return __builtin_amdgcn_permlanex16(x, x, 0x76543210u, 0xfedcba98u, false, false);
}
#endif

// These sums are done here, and what is loaded for later ones is not loaded before: all at once, it would take more registers
// than there are.
static void settle(Sums *sums) { __asm__ volatile("" : "+v"(*sums)); }

#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#if STORAGE == 2
typedef short number_t;
#else
typedef half number_t;
#endif
typedef number_t factor_t __attribute__((ext_vector_type(2 * INSTRUCTION_WORDS)));

#if UNITS == UNITS_MFMA && STORAGE == 2
#define PRODUCT(a, b, c) __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(a, b, c, 0, 0, 0)
#elif UNITS == UNITS_MFMA
#define PRODUCT(a, b, c) __builtin_amdgcn_mfma_f32_16x16x16f16(a, b, c, 0, 0, 0)
#elif UNITS == UNITS_WMMA && STORAGE == 2
#define PRODUCT(a, b, c) __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(a, b, c)
#elif UNITS == UNITS_WMMA
#define PRODUCT(a, b, c) __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(a, b, c)
#elif STORAGE == 2
#define PRODUCT(a, b, c) __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(a, b, c)
#else
#define PRODUCT(a, b, c) __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(a, b, c)
#endif

INLINED void multiply_add(const Warp warp, Sums *c, const uint a[INSTRUCTION_WORDS], const uint b[INSTRUCTION_WORDS]) {
  (void)warp;
  union {
    uint words[INSTRUCTION_WORDS];
    factor_t factor;
  } left, right;
#pragma unroll UNROLLED
  for (int k = 0; k < INSTRUCTION_WORDS; k++) left.words[k] = a[k], right.words[k] = b[k];
  *c = PRODUCT(left.factor, right.factor, *c);
}

#endif

// A step of it.
INLINED void multiply_add_step(const Warp warp, Sums *c, const Operand a, const Operand b) {
#pragma unroll UNROLLED
  for (int word = 0; word < (int)(sizeof(Operand) / sizeof(uint)); word += INSTRUCTION_WORDS)
    multiply_add(warp, c, a.words + word, b.words + word);
}

// MARK: Tiles

#define KEY_CHUNKS (KEY_WIDTH / 8)
#define VALUE_CHUNKS (VALUE_WIDTH / 8)

// What an item copies, in registers on its way: chunks of 16 bytes of K, and of V four by four, of neighbouring keys.
typedef struct {
  uint4 chunk[(TILE_KEYS * KEY_CHUNKS + GROUP_ITEMS - 1) / GROUP_ITEMS];
} KeyCopy;
typedef struct {
  uint4 row[(TILE_KEYS / 4 * VALUE_CHUNKS + GROUP_ITEMS - 1) / GROUP_ITEMS][4];
} ValueCopy;

static uint4 chunk_of(__global const ushort *rows, int width, int row, int end, int column) {
  return row < end && column < width ? *(__global const uint4 *)(rows + (long)row * width + column) : (uint4)0u;
}

INLINED KeyCopy begin_keys(__local ushort *tile, __global const ushort *key, int j, int end, int item) {
  (void)tile;
  KeyCopy copy;
#pragma unroll UNROLLED
  for (int n = 0; n * GROUP_ITEMS < TILE_KEYS * KEY_CHUNKS; n++) {
    const int at = n * GROUP_ITEMS + item;
    copy.chunk[n] = chunk_of(key, HEAD_DIMENSION, j + at / KEY_CHUNKS, end, at % KEY_CHUNKS * 8);
  }
  return copy;
}

INLINED void end_keys(__local ushort *tile, const KeyCopy copy, int item) {
#pragma unroll UNROLLED
  for (int n = 0; n * GROUP_ITEMS < TILE_KEYS * KEY_CHUNKS; n++) {
    const int at = n * GROUP_ITEMS + item;
    if (at < TILE_KEYS * KEY_CHUNKS)
      *(__local uint4 *)(tile + at / KEY_CHUNKS * KEY_STRIDE + at % KEY_CHUNKS * 8) = copy.chunk[n];
  }
}

// The first of the four keys in the first or second half of an octet: those that a lane has scores of, PART together.
static int first_key(int octet, int half_of_it) {
  return UNITS == UNITS_MFMA ? octet / 4 * 32 + octet % 4 * 4 + half_of_it * 16 : octet * 8 + half_of_it * 4;
}

// Where in the tile column `column` of a block is, of an octet: a gap of a column after each eight, so that neighbouring chunks
// are in different banks.
#define CHUNK_COLUMNS 9
static int value_place(int octet, int block, int column) {
  return ((octet * VALUE_CHUNKS + block * 2) * CHUNK_COLUMNS + column + column / 8) * 8;
}

INLINED ValueCopy begin_values(__local ushort *tile, __global const ushort *value, int j, int end, int item) {
  (void)tile;
  ValueCopy copy;
#pragma unroll UNROLLED
  for (int n = 0; n * GROUP_ITEMS < TILE_KEYS / 4 * VALUE_CHUNKS; n++) {
    const int at = n * GROUP_ITEMS + item;
    const int key = j + first_key(at / 2 / VALUE_CHUNKS, at % 2), column = at / 2 % VALUE_CHUNKS * 8;
#pragma unroll UNROLLED
    for (int k = 0; k < 4; k++) copy.row[n][k] = chunk_of(value, VALUE_DIMENSION, key + k, end, column);
  }
  return copy;
}

INLINED void end_values(__local ushort *tile, const ValueCopy copy, int item) {
#pragma unroll UNROLLED
  for (int n = 0; n * GROUP_ITEMS < TILE_KEYS / 4 * VALUE_CHUNKS; n++) {
    const int at = n * GROUP_ITEMS + item;
    if (at >= TILE_KEYS / 4 * VALUE_CHUNKS) break;
    uint words[4][4];
#pragma unroll UNROLLED
    for (int k = 0; k < 4; k++) {
      const uint4 row = copy.row[n][k];
      words[k][0] = row.x, words[k][1] = row.y, words[k][2] = row.z, words[k][3] = row.w;
    }
    const int octet = at / 2 / VALUE_CHUNKS, column = at / 2 % VALUE_CHUNKS * 8;
#pragma unroll UNROLLED
    for (int pair = 0; pair < 4; pair++) {
      const uint a = words[0][pair], b = words[1][pair], c = words[2][pair], d = words[3][pair];
      const uint2 first = {(a & 0xffffu) | b << 16, (c & 0xffffu) | d << 16};
      const uint2 second = {a >> 16 | (b & 0xffff0000u), c >> 16 | (d & 0xffff0000u)};
      __local ushort *to = tile + value_place(octet, 0, column) + pair * 16 + at % 2 * 4;
      *(__local uint2 *)to = first;
      *(__local uint2 *)(to + 8) = second;
    }
  }
}

// Copies do that.
static void clear_padding(__local ushort *key_tile, __local ushort *value_tile, int item) {
  (void)key_tile, (void)value_tile, (void)item;
}

static float value_at(__local const ushort *tile, int key, int column) {
  const int octet = UNITS == UNITS_MFMA ? key / 32 * 4 + key / 4 % 4 : key / 8;
  const int place = UNITS == UNITS_MFMA ? key / 16 % 2 * 4 + key % 4 : key % 8;
  return unpack(tile[value_place(octet, 0, column) + place]).x;
}

// MARK: Products

INLINED void put_unit(Operand *operand, int unit, uint4 words) {
  operand->words[4 * unit] = words.x;
  operand->words[4 * unit + 1] = words.y;
  operand->words[4 * unit + 2] = words.z;
  operand->words[4 * unit + 3] = words.w;
}

// Units of 16 bytes of an operand, and which of a step's this lane's is: all of them where a lane has all.
#define OPERAND_UNITS (UNITS == UNITS_WMMA ? 2 : 1)
static int unit_of(const Warp warp, int unit) { return UNITS == UNITS_WMMA ? unit : sharer_of(warp); }

#define KEY_STEPS (KEY_WIDTH / KEY_STEP)

typedef struct {
  Operand step[LANE_ROWS][KEY_STEPS];
} Queries;

INLINED void load_queries(const Warp warp, Queries *q, __global const ushort *const rows[LANE_ROWS]) {
#pragma unroll UNROLLED
  for (int r = 0; r < LANE_ROWS; r++)
#pragma unroll UNROLLED
    for (int step = 0; step < KEY_STEPS; step++)
#pragma unroll UNROLLED
      for (int unit = 0; unit < OPERAND_UNITS; unit++)
        put_unit(&q->step[r][step], unit,
                 chunk_of(rows[r], HEAD_DIMENSION, 0, 1, step * KEY_STEP + unit_of(warp, unit) * 8));
}

// S = Q·Kᵀ.
INLINED void multiply_keys(const Warp warp, Sums s[LANE_ROWS][KEY_BLOCKS], const Queries *q,
                           __local const ushort *key) {
#pragma unroll UNROLLED
  for (int n = 0; n < KEY_BLOCKS; n++)
    for (int r = 0; r < LANE_ROWS; r++) s[r][n] = 0.0f;
#pragma unroll UNROLLED
  for (int step = 0; step < KEY_STEPS; step++) {
#pragma unroll UNROLLED
    for (int n = 0; n < KEY_BLOCKS; n++) {
      __local const ushort *row = key + (n * BLOCK + left_row(warp)) * KEY_STRIDE + step * KEY_STEP;
      Operand k;
#pragma unroll UNROLLED
      for (int unit = 0; unit < OPERAND_UNITS; unit++)
        put_unit(&k, unit, *(__local const uint4 *)(row + unit_of(warp, unit) * 8));
#pragma unroll UNROLLED
      for (int r = 0; r < LANE_ROWS; r++) multiply_add_step(warp, &s[r][n], k, q->step[r][step]);
    }
#pragma unroll UNROLLED
    for (int n = 0; n < KEY_BLOCKS; n++)
      for (int r = 0; r < LANE_ROWS; r++) settle(&s[r][n]);
  }
}

// The weights of a step's keys in two parts of the storage type.
INLINED void split_weights(const Warp warp, const Sums *p, Operand *high, Operand *low) {
#pragma unroll UNROLLED
  for (int k = 0; k < 4; k++) {
    const float x = ELEMENT(p, 2 * k), y = ELEMENT(p, 2 * k + 1);
    high->words[k] = pack(x, y);
    const float2 rounded = unpack(high->words[k]);
    low->words[k] = pack(x - rounded.x, y - rounded.y);
  }
#if UNITS == UNITS_WMMA
#pragma unroll UNROLLED
  for (int k = 0; k < 4; k++) {
    const uint mine[2] = {high->words[k], low->words[k]};
    const uint other[2] = {from_other_half(warp, mine[0]), from_other_half(warp, mine[1])};
    const bool upper = sharer_of(warp) == 1;
    high->words[k] = upper ? other[0] : mine[0], high->words[4 + k] = upper ? mine[0] : other[0];
    low->words[k] = upper ? other[1] : mine[1], low->words[4 + k] = upper ? mine[1] : other[1];
  }
#else
  (void)warp;
#endif
}

// O += P·V, the weights in two parts.
INLINED void add_values(const Warp warp, Sums o[LANE_ROWS][VALUE_BLOCKS], Sums p[LANE_ROWS][KEY_BLOCKS],
                        __local const ushort *value) {
#pragma unroll UNROLLED
  for (int step = 0; step < TILE_KEYS / KEY_STEP; step++) {
    Operand high[LANE_ROWS], low[LANE_ROWS];
#pragma unroll UNROLLED
    for (int r = 0; r < LANE_ROWS; r++) split_weights(warp, p[r] + 8 / PART * step, &high[r], &low[r]);
#pragma unroll UNROLLED
    for (int n = 0; n < VALUE_BLOCKS; n++) {
      Operand v;
#pragma unroll UNROLLED
      for (int unit = 0; unit < OPERAND_UNITS; unit++) {
        const int octet = step * (KEY_STEP / 8) + unit_of(warp, unit);
        put_unit(&v, unit, *(__local const uint4 *)(value + value_place(octet, n, left_row(warp))));
      }
#pragma unroll UNROLLED
      for (int r = 0; r < LANE_ROWS; r++) {
        multiply_add_step(warp, &o[r][n], v, high[r]);
        multiply_add_step(warp, &o[r][n], v, low[r]);
        if (n % 2 == 1) settle(&o[r][n]);
      }
    }
  }
}
