// 2^x for weights in parts (brain_parts.cl), with what else every weight needs.

// 2^f for |f| ≤ ½: from f⁴ or f⁶ down to 1.
#if WEIGHT_PARTS < 3
#define TERMS 5
#define POLYNOMIAL {9.58285294e-3f, 5.59064262e-2f, 2.40240991e-1f, 6.93124175e-1f, 1.0f}
#else
#define TERMS 7
#define POLYNOMIAL \
  {1.53458124e-4f, 1.33999309e-3f, 9.61848907e-3f, 5.55032864e-2f, 2.40226462e-1f, 6.93147182e-1f, 1.0f}
#endif

// What every weight needs, in registers: a compiler that knew these numbers would rather read them from memory each time.
typedef struct {
  float16 least, magic, polynomial[TERMS];
  uint16 upper, rounding;
} Constants;

#ifdef EMULATED
#define IN_REGISTER(x) (void)0
#else
#define IN_REGISTER(x) __asm__("" : "+v"(x))
#endif

static Constants constants_in_registers(void) {
  const float polynomial[TERMS] = POLYNOMIAL;
  Constants c;
  c.least = -127.0f;
  c.magic = 12583039.0f;
  c.upper = 0xffff0000u;
  c.rounding = 0x8000u;
  IN_REGISTER(c.least);
  IN_REGISTER(c.magic);
  IN_REGISTER(c.upper);
  IN_REGISTER(c.rounding);
#pragma unroll
  for (int n = 0; n < TERMS; n++) {
    c.polynomial[n] = polynomial[n];
    IN_REGISTER(c.polynomial[n]);
  }
  return c;
}

// 2^x of x at most 128, within 3e-6 of it for two parts, or within 1 unit in the last place; 0 up to −126.5, NaN of NaN. (While
// tiles are at work one unit alone multiplies vectors: so there are few multiplications here, and sums where those would do.)
static float16 power_of_two(float16 x, const Constants *c) {
  x = c->least > x ? c->least : x;
  const float16 rounded = x + c->magic;
  const float16 f = x - (rounded - c->magic);
  float16 p = c->polynomial[0];
#pragma unroll
  for (int n = 1; n < TERMS; n++) p = fma(p, f, c->polynomial[n]);
  return p * as_float16(as_int16(rounded) << 23);
}
