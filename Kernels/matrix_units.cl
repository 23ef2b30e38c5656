// Matrix units: products of small matrices that the 32 work-items of a warp, its lanes, hold between them. OpenCL C has no
// words for them. On NVIDIA GPUs of compute capability 8.0 and later they are PTX, which NVIDIA's compiler takes as it takes
// any other assembly (PTX ISA, "Warp-level matrix instructions"); EMULATED, they are OpenCL C, slow, for any device: so what
// is built on them can be tested where there is no such GPU.
//
// C += A·B of 16 × 16 by 16 × 8 numbers. Lane 4g + t holds, two neighbours of A and B in a word:
//
//          A     0 1 2 3 …  8 9 …            B   0 … g … 7            C    0 1 2 3 …
//       0  ┌──────────────────────┐       0   ┌────────────┐        0  ┌────────────────┐
//       …  │                      │       2t  │  b0  2t    │        …  │                │
//       g  │ a[0] 2t  a[2] 8 + 2t │           │      2t + 1│        g  │ c[0], c[1]  2t │
//          ├──────────────────────┤       8   ├────────────┤           ├────────────────┤
//   8 + g  │ a[1] 2t  a[3] 8 + 2t │  8 + 2t   │  b1        │    8 + g  │ c[2], c[3]  2t │
//          └──────────────────────┘           └────────────┘           └────────────────┘
//
// A and B are numbers of the storage type (STORAGE 1 or 2), C is float32: products are exact, and sums float32.
//
// All lanes of a warp call a function together; EMULATED, all items of a group do.

#ifndef GROUP_ITEMS
#define GROUP_ITEMS 128
#endif

#ifdef EMULATED
#define UNROLLED 1
#else
#define UNROLLED 256
#endif

typedef struct {
  int lane;
#ifdef EMULATED
  __local uint *exchange;  // 6 words of each lane
#endif
} Warp;

// Two numbers of the storage type in a word, the first in its lower half.
SHARED float2 unpack(uint word) {
#if STORAGE == 2
  return (float2)(as_float(word << 16), as_float(word & 0xffff0000u));
#else
  return vload_half2(0, (const half *)&word);
#endif
}

#ifdef EMULATED

#define DECLARE_WARP(name)                          \
  __local uint name##_exchange[6 * GROUP_ITEMS];   \
  const Warp name = {get_local_id(0) % 32, name##_exchange + get_local_id(0) / 32 * 32 * 6}

SHARED uint pack(float x, float y) {
#if STORAGE == 2
  return brain_from_float(x) | (uint)brain_from_float(y) << 16;
#else
  uint word;
  vstore_half2_rte((float2)(x, y), 0, (half *)&word);
  return word;
#endif
}

SHARED float from_lane(const Warp warp, float x, int lane) {
  warp.exchange[warp.lane] = as_uint(x);
  barrier(CLK_LOCAL_MEM_FENCE);
  const float found = as_float(warp.exchange[lane]);
  barrier(CLK_LOCAL_MEM_FENCE);
  return found;
}

SHARED void multiply_add(const Warp warp, float c[4], const uint a[4], uint b0, uint b1) {
  __local uint *mine = warp.exchange + 6 * warp.lane;
  for (int k = 0; k < 4; k++) mine[k] = a[k];
  mine[4] = b0;
  mine[5] = b1;
  barrier(CLK_LOCAL_MEM_FENCE);
  const int g = warp.lane / 4, t = warp.lane % 4;
  for (int k = 0; k < 8; k++) {  // of the inner dimension two at a time, in lane k % 4 of four
    for (int n = 0; n < 4; n++) {
      const float2 left = unpack(warp.exchange[6 * (4 * g + k % 4) + k / 4 * 2 + n / 2]);
      const float2 right = unpack(warp.exchange[6 * (4 * (2 * t + n % 2) + k % 4) + 4 + k / 4]);
      c[n] += left.x * right.x;
      c[n] += left.y * right.y;
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

SHARED void load_blocks(const Warp warp, uint b[4], __local const ushort *tile, int row) {
  warp.exchange[warp.lane] = row;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int k = 0; k < 4; k++) {
    __local const ushort *from = tile + warp.exchange[8 * k + warp.lane / 4] + warp.lane % 4 * 2;
    b[k] = from[0] | (uint)from[1] << 16;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

SHARED void load_transposed_blocks(const Warp warp, uint b[4], __local const ushort *tile, int row) {
  warp.exchange[warp.lane] = row;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int k = 0; k < 4; k++) {
    __local const uint *rows = warp.exchange + 8 * k + warp.lane % 4 * 2;
    b[k] = tile[rows[0] + warp.lane / 4] | (uint)tile[rows[1] + warp.lane / 4] << 16;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

SHARED void copy_16_bytes(__local ushort *to, __global const ushort *from, bool there) {
  for (int n = 0; n < 8; n++) to[n] = there ? from[n] : 0;
}
SHARED void begin_copies(void) {}
SHARED void await_copies(void) {}

#else

#define DECLARE_WARP(name) const Warp name = {get_local_id(0) % 32}

#if STORAGE == 2
#define MATRIX_TYPE "bf16"
#else
#define MATRIX_TYPE "f16"
#endif

SHARED uint pack(float x, float y) {
  uint word;
  __asm__("cvt.rn." MATRIX_TYPE "x2.f32 %0, %1, %2;" : "=r"(word) : "f"(y), "f"(x));
  return word;
}

// The number that another lane passes.
SHARED float from_lane(const Warp warp, float x, int lane) {
  (void)warp;
  uint bits;
  __asm__ volatile("shfl.sync.idx.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(bits) : "r"(as_uint(x)), "r"(lane));
  return as_float(bits);
}

SHARED void multiply_add(const Warp warp, float c[4], const uint a[4], uint b0, uint b1) {
  (void)warp;
  __asm__("mma.sync.aligned.m16n8k16.row.col.f32." MATRIX_TYPE "." MATRIX_TYPE ".f32 "
          "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

SHARED uint local_address(__local const ushort *at) { return (uint)(ulong)at; }

// Four blocks of 8 × 8: lane 8k + n says where in the tile row n of block k begins, at a multiple of 16 bytes, and each lane
// gets two neighbours of row g of each.
SHARED void load_blocks(const Warp warp, uint b[4], __local const ushort *tile, int row) {
  (void)warp;
  __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(local_address(tile + row)) : "memory");
}
// The same, of their transposes.
SHARED void load_transposed_blocks(const Warp warp, uint b[4], __local const ushort *tile, int row) {
  (void)warp;
  __asm__ volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(local_address(tile + row)) : "memory");
}

// 16 bytes to local memory, past the registers; zeros, and nothing is read, where they are not there.
SHARED void copy_16_bytes(__local ushort *to, __global const ushort *from, bool there) {
  __asm__ volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(local_address(to)), "l"((ulong)from),
                   "r"(there ? 16 : 0) : "memory");
}
// What was asked for so far; and all that was, before a barrier.
SHARED void begin_copies(void) { __asm__ volatile("cp.async.commit_group;" ::: "memory"); }
SHARED void await_copies(void) { __asm__ volatile("cp.async.wait_group 0;" ::: "memory"); }

#endif

// The largest, and the sum, of a row of C: of the four lanes that share it, in the same order in each. Maxima pass over NaN.
SHARED float row_maximum(const Warp warp, float x) {
  float other = from_lane(warp, x, warp.lane ^ 1);
  x = other > x ? other : x;
  other = from_lane(warp, x, warp.lane ^ 2);
  return other > x ? other : x;
}
SHARED float row_sum(const Warp warp, float x) {
  x += from_lane(warp, x, warp.lane ^ 1);
  return x + from_lane(warp, x, warp.lane ^ 2);
}
