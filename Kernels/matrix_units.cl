// Matrix units: products of small matrices that the work-items of a warp, its lanes, hold between them. OpenCL C has no
// words for them. Each vendor's are in a file of their own (matrix_units_nvidia.cl, matrix_units_amd.cl), in the words that its
// compiler has; EMULATED, they are OpenCL C, slow, for any device: so what is built on them can be tested where there is no
// such GPU. Numbers are of the storage type (STORAGE 1 or 2), and sums float32: products are exact.
//
// What a vendor's file says of the rows of S = Q·Kᵀ and O = P·V that a warp has:
//
//   WARP_LANES       lanes of a warp
//   LANE_ROWS        rows, of the WARP_ROWS of a warp, that a lane has part in: row_of_lane(warp, 0), …
//   SHARERS          lanes that share a row, SHARER_STRIDE apart: sharer_of(warp) of them is this one
//   BLOCK            columns of a product. Of each block a lane has PART neighbours of each of its rows:
//
//                      BLOCK                  BLOCK
//         ┌──────────────────────┬──────────────────────┬ ┄    element k of a lane's row is column
//     row │ sharer 0 │ sharer 1  │ sharer 0 │ sharer 1  │        k / PART · BLOCK + sharer · PART + k % PART
//         └──────────────────────┴──────────────────────┴ ┄
//           PART each
//
//   Sums             PART of them; ELEMENT(x, k) of a lane's row, which is several
//   Queries, load_queries     a lane's part of Q
//   KeyCopy, ValueCopy, begin_keys, end_keys, begin_values, end_values, value_at
//                             tiles of K and V on their way to local memory, and there, laid out as the products read them
//   multiply_keys, add_values S = Q·Kᵀ, O += P·V
//
// All lanes of a warp call a function together; EMULATED, all items of a group do.

#ifndef GROUP_ITEMS
#define GROUP_ITEMS 128
#endif

// Whose matrix units.
#define UNITS_MMA 1     // NVIDIA, compute capability 8.0 and later
#define UNITS_MFMA 2    // AMD's CDNA
#define UNITS_WMMA 3    // AMD's RDNA 3
#define UNITS_WMMA12 4  // AMD's RDNA 4

#define PART (BLOCK / SHARERS)
#define ELEMENT(x, k) (x)[(k) / PART][(k) % PART]
// Blocks and elements of a row of S and of O.
#define KEY_BLOCKS (TILE_KEYS / BLOCK)
#define VALUE_BLOCKS (VALUE_WIDTH / BLOCK)
#define LANE_KEYS (TILE_KEYS / SHARERS)
#define LANE_COLUMNS (VALUE_WIDTH / SHARERS)

// Rows of a warp: a multiple of 16.
#define WARP_ROWS (TILE_ROWS * WARP_LANES / GROUP_ITEMS)

// What has a lane's numbers in arrays: they are registers only in one function, and if its loops are unrolled.
#ifdef EMULATED
#define UNROLLED 1
#define INLINED static
#else
#define UNROLLED 256
#define INLINED static __attribute__((always_inline))
#endif

typedef struct {
  int lane;
#ifdef EMULATED
  __local uint *exchange;  // EXCHANGED words of each lane
#endif
} Warp;

#ifdef EMULATED
#define DECLARE_WARP(name)                                 \
  __local uint name##_exchange[EXCHANGED * GROUP_ITEMS];  \
  const Warp name = {get_local_id(0) % WARP_LANES,        \
                     name##_exchange + get_local_id(0) / WARP_LANES * WARP_LANES * EXCHANGED}
#else
#define DECLARE_WARP(name) const Warp name = {get_local_id(0) % WARP_LANES}
#endif

// Two numbers of the storage type in a word, the first in its lower half.
SHARED float2 unpack(uint word) {
#if STORAGE == 2
  return (float2)(as_float(word << 16), as_float(word & 0xffff0000u));
#else
  return vload_half2(0, (const half *)&word);
#endif
}

// Two numbers rounded to the storage type, in a word.
SHARED uint rounded_pair(float x, float y) {
#if STORAGE == 2
  return brain_from_float(x) | (uint)brain_from_float(y) << 16;
#else
  uint word;
  vstore_half2_rte((float2)(x, y), 0, (half *)&word);
  return word;
#endif
}

#ifdef EMULATED
// The number that another lane passes.
SHARED float from_lane(const Warp warp, float x, int lane) {
  warp.exchange[warp.lane] = as_uint(x);
  barrier(CLK_LOCAL_MEM_FENCE);
  const float found = as_float(warp.exchange[lane]);
  barrier(CLK_LOCAL_MEM_FENCE);
  return found;
}
#endif

#if defined(EMULATED) || UNITS != UNITS_MMA
// 2^x, by the device's own instruction.
SHARED float power_of_two(float x) { return native_exp2(x); }
#endif
