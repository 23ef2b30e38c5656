// The instructions of AMX, or, EMULATED, the same in OpenCL C. Its tiles: 0 and 1 are sums, 2 to 4 the parts of a left side, 5
// and 6 a part of a right side. (They are named by constants, which functions cannot be given.)

// Of the function that all inline assembly is in. PoCL 5 and 6, which have LLVM 16 to 18 at most, look through a kernel's own
// instructions for calls of a function that most programs lack, take inline assembly for such a call, and end the process for
// want of its arguments; functions that stay out of line they leave alone. (PoCL 3.1, of LLVM 15, puts all in line, unharmed.)
#if __clang_major__ >= 16
#define APART __attribute__((noinline))
#else
#define APART
#endif

#ifdef EMULATED
typedef struct {
  uint word[7][16][16];
} Registers;

static void load_tile(Registers *r, int tile, __global const uint *global_from, __local const uint *local_from, int stride) {
  for (int row = 0; row < 16; row++)
    for (int n = 0; n < 16; n++)
      r->word[tile][row][n] = global_from ? global_from[row * stride + n] : local_from[row * stride + n];
}
static void store_tile(const Registers *r, int tile, __local float *to, int stride) {
  for (int row = 0; row < 16; row++)
    for (int n = 0; n < 16; n++) to[row * stride + n] = as_float(r->word[tile][row][n]);
}
static void multiply_tiles(Registers *r, int sum, int left, int right) {
  for (int row = 0; row < 16; row++)
    for (int n = 0; n < 16; n++) {
      float s = as_float(r->word[sum][row][n]);
      for (int k = 0; k < 16; k++) {
        const uint a = r->word[left][row][k], b = r->word[right][k][n];
        s += as_float(a << 16) * as_float(b << 16);
        s += as_float(a & 0xffff0000u) * as_float(b & 0xffff0000u);
      }
      r->word[sum][row][n] = as_uint(s);
    }
}

#define BEGIN_TILES(registers) (void)(registers)
#define END_TILES() (void)0
#define ZERO_TILE(registers, tile)                                        \
  for (int n = 0; n < TILE_WORDS; n++) (registers)->word[tile][n / 16][n % 16] = 0
#define LOAD_GLOBAL_TILE(registers, tile, from, stride) load_tile(registers, tile, from, 0, stride)
#define LOAD_LOCAL_TILE(registers, tile, from, stride) load_tile(registers, tile, 0, (__local const uint *)(from), stride)
#define STORE_TILE(registers, tile, to, stride) store_tile(registers, tile, to, stride)
#define MULTIPLY_TILES(registers, sum, left, right) multiply_tiles(registers, sum, left, right)
#else
typedef struct {
  uchar palette, start_row, reserved[14];
  ushort bytes[16];
  uchar rows[16];
} Registers;

#define BEGIN_TILES(registers)                                                          \
  do {                                                                                  \
    for (int n = 0; n < 64; n++) ((uchar *)(registers))[n] = 0;                         \
    (registers)->palette = 1;                                                           \
    for (int n = 0; n < 7; n++) (registers)->bytes[n] = 64, (registers)->rows[n] = 16;  \
    __asm__ volatile("ldtilecfg (%0)" ::"r"((ulong)(registers)) : "memory");            \
  } while (0)
#define END_TILES() __asm__ volatile("tilerelease" ::: "memory")
#define ZERO_TILE(registers, tile) __asm__ volatile("tilezero %%tmm" #tile ::: "memory")
#define LOAD_TILE(tile, from, stride) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"((ulong)(from)), "r"((ulong)(4 * (stride))) : "memory")
#define LOAD_GLOBAL_TILE(registers, tile, from, stride) LOAD_TILE(tile, from, stride)
#define LOAD_LOCAL_TILE(registers, tile, from, stride) LOAD_TILE(tile, from, stride)
#define STORE_TILE(registers, tile, to, stride) \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"((ulong)(to)), "r"((ulong)(4 * (stride))) : "memory")
#define MULTIPLY_TILES(registers, sum, left, right) \
  __asm__ volatile("tdpbf16ps %%tmm" #right ", %%tmm" #left ", %%tmm" #sum ::: "memory")
#endif
