// The softmax of a row whose scores come a tile at a time (Milakov and Gimelshein 2018; Dao et al. 2022). A row keeps its
// maximum m, its sum l and its output o so far; a tile of scores s updates them:
//
//   m' = max(m, max s)          o' = o · exp(m − m') + exp(s − m') · V
//   l' = l · exp(m − m') + Σ exp(s − m')
//
// and at the end the row is o / l, with log-sum-exp m + ln l. Maxima pass over NaN: a NaN score reaches the sum, and
// through it the whole row. Where m is infinite nothing is subtracted, for ∞ − ∞ would be NaN where 0 (of −∞) or ∞ is
// meant.

SHARED float shift_of(float m) { return isinf(m) ? 0.0f : m; }

// e^x: the device's own with NATIVE_EXP2, otherwise within 2 units in the last place; 0 below −87.68, ∞ above 88.37, NaN of
// NaN.
//
// x = (k + f) · ln 2 with k an integer and |f| ≤ ½: 2^f by a polynomial (minimax, relative error 2^−29), 2^k by building
// its exponent. Adding 1.5 · 2²³ + 127 rounds to an integer and leaves k + 127, a float's exponent, in the low bits. The
// bounds keep k within −127 … 128, whose exponents are those of 0 and ∞. log₂ e is in two parts, for f is what is left of a
// difference.
SHARED WIDE(float) exponential(WIDE(float) x) {
#ifdef NATIVE_EXP2
  return native_exp2(x * 1.44269504f);
#else
  const WIDE(float) low = -88.0296919f, high = 88.7228391f;
  x = x > high ? high : x;
  x = x < low ? low : x;
  const WIDE(float) rounded = fma(x, (WIDE(float))1.44269504f, (WIDE(float))12583039.0f);
  const WIDE(float) k = rounded - 12583039.0f;
  const WIDE(float) f = fma(x, (WIDE(float))1.92596299e-8f, fma(x, (WIDE(float))1.44269502f, -k));
  WIDE(float) p = 1.53458124e-4f;
  p = fma(p, f, (WIDE(float))1.33999309e-3f);
  p = fma(p, f, (WIDE(float))9.61848907e-3f);
  p = fma(p, f, (WIDE(float))5.55032864e-2f);
  p = fma(p, f, (WIDE(float))2.40226462e-1f);
  p = fma(p, f, (WIDE(float))6.93147182e-1f);
  p = fma(p, f, (WIDE(float))1.0f);
  return p * WIDE(as_float)(WIDE(as_int)(rounded) << 23);
#endif
}

// One number of a vector's: its halves, their halves, and so on. (Of the vectors' width, `REDUCE`, in kernels that have a
// VECTOR.)
#define REDUCE_4(v, f) f(f((v).x, (v).z), f((v).y, (v).w))
#define REDUCE_8(v, f) REDUCE_4(f((v).lo, (v).hi), f)
#define REDUCE_16(v, f) REDUCE_8(f((v).lo, (v).hi), f)
#define REDUCE PASTE(REDUCE_, VECTOR)
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define SUM(a, b) ((a) + (b))

// The factor by which what a row has gathered under the maximum `before` counts under `after`.
SHARED float rescaling(float before, float after) { return exp(before - shift_of(after)); }

// What ends a row: the output is o · factor, the log-sum-exp maximum + ln sum.
typedef struct {
  float factor, maximum, sum;
} RowEnd;

SHARED float log_sum_exp_of(const RowEnd end) { return end.maximum + log(end.sum); }

// `seen`: whether any key was visible. A row that saw none is 0 with log-sum-exp −∞, sink or not; one whose scores are
// all −∞ is NaN, as 0/0 is, unless a finite sink shares its denominator.
SHARED RowEnd end_of_row(float m, float l, bool seen, bool has_sink, float sink) {
  RowEnd end = {0.0f, -INFINITY, 1.0f};
  if (!seen) return end;
  float kept = 1.0f;
  if (has_sink) {
    const float before = m;
    m = (m > sink || isnan(m)) ? m : sink;
    kept = rescaling(before, m);
    l = l * kept + exp(sink - shift_of(m));
  }
  // Not every compiler keeps the NaN of a division by 0. (No branch: PoCL 6 on LLVM 18 ends the process where a pass of its
  // own finds more to do the second time, as it does where a value that two branches made is used in only one more.)
  const float factor = kept / l;
  const bool has_none = (l == 0.0f) | (isinf(l) != 0);
  end.factor = has_none ? NAN : factor;
  end.maximum = m;
  end.sum = l;
  return end;
}
