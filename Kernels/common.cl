// What every kernel shares: the storage types, the description of a head, and reductions over a work-group.
//
// Storage is a build option, STORAGE: 0 float32, 1 float16, 2 bfloat16. Arithmetic is float32 whatever the storage, and
// neither 16-bit type needs cl_khr_fp16: halves are read and written by vload_half and vstore_half, which OpenCL C has
// had since 1.0, and bfloat16 is the upper half of a float32.

#ifndef STORAGE
#define STORAGE 0
#endif

#ifdef __clang__
// (NVIDIA's does not know the next one.)
#pragma clang diagnostic ignored "-Wunknown-warning-option"
// How a vector wider than a register would be passed to a function matters to nobody: all of them are inlined. PoCL would
// tell a user of it at every build.
#pragma clang diagnostic ignored "-Wpsabi"
// Nor that a loop was not unrolled where its count turned out not to be constant.
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

// A function that not every program calls.
#define SHARED static __attribute__((unused))

// PASTE(float, VECTOR) is float4 where VECTOR is 4.
#define PASTE_AGAIN(a, b) a##b
#define PASTE(a, b) PASTE_AGAIN(a, b)

#define ROUNDED_UP(n, multiple) (((n) + (multiple) - 1) / (multiple) * (multiple))

#if STORAGE == 0
typedef float storage_t;
typedef float4 storage4_t;
#else
typedef ushort storage_t;
typedef ushort4 storage4_t;
#endif

SHARED float float_from_brain(ushort bits) { return as_float((uint)bits << 16); }

// Rounds to nearest, ties to even; a NaN stays one (rounding it up could carry it to infinity).
SHARED ushort brain_from_float(float x) {
  const uint bits = as_uint(x);
  return isnan(x) ? (ushort)((bits >> 16) | 0x40u) : (ushort)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

SHARED float load_element(__global const storage_t *from, long at) {
#if STORAGE == 0
  return from[at];
#elif STORAGE == 1
  return vload_half(at, (__global const half *)from);
#else
  return float_from_brain(from[at]);
#endif
}

// Four elements of memory as floats.
SHARED float4 four_from_storage(storage4_t four) {
#if STORAGE == 0
  return four;
#elif STORAGE == 1
  return vload_half4(0, (const half *)&four);
#else
  return as_float4(convert_uint4(four) << 16);
#endif
}

SHARED storage4_t storage_from_four(float4 four) {
#if STORAGE == 0
  return four;
#elif STORAGE == 1
  ushort4 bits;
  vstore_half4_rte(four, 0, (half *)&bits);
  return bits;
#else
  return (ushort4)(brain_from_float(four.x), brain_from_float(four.y), brain_from_float(four.z),
                   brain_from_float(four.w));
#endif
}

// Four elements that follow one another. ALIGNED says that every row begins at a multiple of four elements: then one
// load fetches them on every vendor (NVIDIA's compiler makes four of a vload4).
SHARED float4 load_four(__global const storage_t *from, long at) {
#ifdef ALIGNED
  return four_from_storage(*(__global const storage4_t *)(from + at));
#elif STORAGE == 1
  return vload_half4(0, (__global const half *)from + at);
#else
  return four_from_storage(vload4(0, from + at));
#endif
}

// Floats of local memory, by fours where there are fours; `from` is then at a multiple of four.
SHARED void load_floats(float *to, __local const float *from, int count) {
  if (count % 4 == 0) {
    for (int n = 0; n < count; n += 4) {
      const float4 four = *(__local const float4 *)(from + n);
      to[n] = four.x, to[n + 1] = four.y, to[n + 2] = four.z, to[n + 3] = four.w;
    }
  } else {
    for (int n = 0; n < count; n++) to[n] = from[n];
  }
}

SHARED void store_element(__global storage_t *to, long at, float x) {
#if STORAGE == 0
  to[at] = x;
#elif STORAGE == 1
  vstore_half_rte(x, at, (__global half *)to);
#else
  to[at] = brain_from_float(x);
#endif
}

// Stores the first `left` of four elements that follow one another, all of them where left is 4 or more.
SHARED void store_four(__global storage_t *to, long at, float4 four, int left) {
#ifdef ALIGNED
  (void)left;
  *(__global storage4_t *)(to + at) = storage_from_four(four);
#else
  store_element(to, at, four.x);
  if (left > 1) store_element(to, at + 1, four.y);
  if (left > 2) store_element(to, at + 2, four.z);
  if (left > 3) store_element(to, at + 3, four.w);
#endif
}

// SUBGROUP pins the size of a sub-group, where the device lets a kernel do that: Intel's compiler otherwise picks a size
// at which the tiled kernels spill registers, and a kernel that merely assumed a size has been seen to go wrong.
#ifdef SUBGROUP
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#define PINNED __attribute__((intel_reqd_sub_group_size(SUBGROUP)))
#else
#define PINNED
#endif

// One (batch entry, query head) of a slice; the host fills one for each. Offsets are in elements, from the start of the
// slice's buffers. By position, query i sees the keys max(0, i + first_shift) … min(key_length, i + end_shift) − 1:
// causal masks, windows, offsets and key lengths are all in these three numbers.
typedef struct {
  long query, key, value, output;  // row 0 of each operand
  long score;                      // the first row of the slice in the score matrix; a fused kernel's key/value head
  long mask;                       // the slice's first query, key 0
  long mask_tiles;                 // the class of the mask's first tile of the slice, by classify_mask
  long key_tiles;                  // the head's first tile of keys, among all packed ones
  long block_mask;                 // the block of query 0 and key 0
  long log_sum_exp;                // query 0
  int query_length, key_length;
  int first_shift, end_shift;
  int offset;  // the position of query 0 among the keys, for ALiBi
  float slope, sink;
  int rotary;  // the cosines and sines of query 0, among those of the call
} Head;

SHARED int first_visible(const Head head, int i) { return max(0, i + head.first_shift); }
SHARED int end_visible(const Head head, int i) { return min(head.key_length, i + head.end_shift); }

// The larger of two, NaN if either is: fmax would lose a NaN, and with it the row that must show it.
SHARED float max_or_nan(float a, float b) { return (a > b || isnan(a)) ? a : b; }
