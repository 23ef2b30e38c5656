// Holds the C kernels to float64 on random calls, on every instruction set of this processor, with every array as large as it
// has to be and no larger: made to be compiled with sanitizers. Usage: check [calls] [seed]. `Scripts/check-cpu-kernels`
// compiles and runs it.
#include "CAttention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;

static uint32_t next(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}
static int pick(int low, int high) { return low + (int)(next() % (uint32_t)(high - low + 1)); }
static int one_of(const int *list, int count) { return list[next() % (uint32_t)count]; }
static float normal(void) {
  float sum = -6;
  for (int n = 0; n < 12; n++) sum += (float)next() / 2147483648.0f;
  return sum;
}

static void *array(size_t bytes) {
  void *memory = malloc(bytes ? bytes : 1);
  if (!memory) exit(2);
  return memory;
}

typedef struct {
  attention_call call;
  int Lq, Lk, group, D, Dv;
  float *query, *key, *value;  // as float32, exactly what is stored
  float *mask;                 // [group][Lq][Lk]: what is added; −∞ hides
  attention_key_value_head keys;
  attention_head *heads;
} problem;

static bool sees(const problem *p, int h, int i, int j) {
  const attention_head *head = p->heads + h;
  if (j < i + head->first_shift || j >= i + head->end_shift) return false;
  if (head->blocks && !head->blocks[i / p->call.query_block * p->call.block_query_stride + j / p->call.key_block]) return false;
  return !p->mask || p->mask[((size_t)h * (size_t)p->Lq + (size_t)i) * (size_t)p->Lk + (size_t)j] != -INFINITY;
}

static double score(const problem *p, int h, int i, int j) {
  const attention_head *head = p->heads + h;
  double s = 0;
  for (int d = 0; d < p->D; d++) s += (double)p->query[(h * p->Lq + i) * p->D + d] * (double)p->key[j * p->D + d];
  s *= (double)p->call.scale;
  if (p->call.softcap > 0) s = (double)p->call.softcap * tanh(s / (double)p->call.softcap);
  s -= (double)head->slope * abs(i + head->offset - j);
  if (p->mask) s += (double)p->mask[((size_t)h * (size_t)p->Lq + (size_t)i) * (size_t)p->Lk + (size_t)j];
  return s;
}

static int failures = 0;

static void hold(const char *what, double found, double expected, double bound, const char *title) {
  if (isnan(expected) ? isnan(found) : found == expected || fabs(found - expected) <= bound) return;
  if (failures++ < 20) printf("%s: %s is %.9g, expected %.9g ± %.2g\n", title, what, found, expected, bound);
}

// Rows as `storage` in an array of their own; the floats become what is stored.
static char *stored(const attention_kernels *k, attention_storage storage, float *rows, size_t count) {
  char *bytes = array(count * (storage == ATTENTION_FLOAT32 ? 4 : 2));
  k->narrow(storage, rows, count, bytes);
  k->widen(storage, bytes, count, rows);
  return bytes;
}

static size_t row_bytes(attention_storage storage, int width) {
  switch (storage) {
    case ATTENTION_FLOAT32: return (size_t)width * 4;
    case ATTENTION_ROWS_Q8_0: return (size_t)width / 32 * 34;
    case ATTENTION_ROWS_Q4_0: return (size_t)width / 32 * 18;
    default: return (size_t)width * 2;
  }
}

// The same for rows of `width`, which may be quantised: the floats become scale · q of each block of 32.
static char *stored_rows(const attention_kernels *k, attention_storage storage, float *rows, int count, int width) {
  if (storage < ATTENTION_ROWS_Q8_0) return stored(k, storage, rows, (size_t)(count * width));
  const bool bytes = storage == ATTENTION_ROWS_Q8_0;
  char *to = array((size_t)count * row_bytes(storage, width));
  for (int r = 0; r < count; r++) {
    uint8_t *row = (uint8_t *)to + (size_t)r * row_bytes(storage, width);
    uint8_t *scales = row + (bytes ? width : width / 2);
    if (!bytes) memset(row, 0, (size_t)width / 2);
    for (int block = 0; block < width / 32; block++) {
      float *x = rows + (size_t)r * (size_t)width + block * 32, scale = 0;
      for (int n = 0; n < 32; n++) scale = fabsf(x[n]) > scale || isnan(x[n]) ? fabsf(x[n]) : scale;
      scale /= bytes ? 127 : 7;
      k->narrow(ATTENTION_FLOAT16, &scale, 1, scales + 2 * block);
      k->widen(ATTENTION_FLOAT16, scales + 2 * block, 1, &scale);
      for (int n = 0; n < 32; n++) {
        const int q = isfinite(scale) && scale > 0 ? (int)fmaxf(bytes ? -127 : -8, fminf(bytes ? 127 : 7, rintf(x[n] / scale))) : 1;
        if (bytes) row[block * 32 + n] = (uint8_t)(int8_t)q;
        else row[block * 16 + n % 16] |= (uint8_t)((q + 8) << (n < 16 ? 0 : 4));
        x[n] = scale * (float)q;
      }
    }
  }
  return to;
}

static float *normals(size_t count) {
  float *numbers = array(count * sizeof(float));
  for (size_t n = 0; n < count; n++) numbers[n] = normal();
  return numbers;
}

static void check(const attention_kernels *k, const char *set) {
  problem p = {0};
  const int dimensions[] = {1, 7, 16, 32, 64, 64, 80, 96, 128, 33};
  p.D = one_of(dimensions, 10);
  p.Dv = pick(0, 2) ? p.D : one_of(dimensions, 10);
  p.Lq = pick(0, 2) ? pick(1, 20) : pick(1, 200);
  p.Lk = pick(0, 1) ? pick(1, 40) : pick(1, 700);
  p.group = pick(1, 5);
  const attention_storage storage = (attention_storage)pick(0, 2);
  const bool can_quantize = p.D % 32 == 0 && p.Dv % 32 == 0;
  const attention_storage row_storage = pick(0, 2) ? storage : (attention_storage)pick(0, can_quantize ? 4 : 2);
  const bool values_are_keys = p.Dv <= p.D && !pick(0, 4);
  const size_t size = storage == ATTENTION_FLOAT32 ? 4 : 2, Lq = (size_t)p.Lq, Lk = (size_t)p.Lk, G = (size_t)p.group;
  p.call = (attention_call){.storage = storage, .row_storage = row_storage, .head_dimension = p.D,
                            .value_dimension = p.Dv, .key_width = p.D, .value_width = values_are_keys ? p.D : p.Dv,
                            .scale = (pick(0, 5) ? 1 : -1) / sqrtf((float)p.D), .top_key_count = pick(1, 9)};
  if (!pick(0, 3)) p.call.softcap = 3;
  p.call.has_sinks = !pick(0, 3);
  p.query = normals(G * Lq * (size_t)p.D);
  p.key = normals(Lk * (size_t)p.D);
  p.value = normals(Lk * (size_t)p.Dv);
  // Numbers so small or large that their parts (brain_parts.inc) would not be them.
  const int exponents[] = {-125, -100, -70, -30, 30, 70, 100};
  const bool is_long = storage == ATTENTION_FLOAT32 && row_storage == ATTENTION_FLOAT32;
  const int key_exponent = is_long && !pick(0, 4) ? one_of(exponents, 7) : 0;
  const int value_exponent = values_are_keys ? key_exponent : is_long && !pick(0, 4) ? one_of(exponents, 7) : 0;
  for (size_t n = 0; n < G * Lq * (size_t)p.D; n++) p.query[n] = ldexpf(p.query[n], -key_exponent);
  for (size_t n = 0; n < Lk * (size_t)p.D; n++) p.key[n] = ldexpf(p.key[n], key_exponent);
  for (size_t n = 0; n < Lk * (size_t)p.Dv; n++) p.value[n] = ldexpf(p.value[n], value_exponent);
  const bool poisoned = !pick(0, 4);
  // (A key that nobody may see, unless all see it.)
  const int poison = pick(0, p.Lk - 1);
  if (poisoned && !values_are_keys) p.value[poison * p.Dv + p.Dv / 2] = pick(0, 1) ? NAN : INFINITY;
  if (!pick(0, 9) && !values_are_keys) p.key[poison * p.D + p.D / 2] = pick(0, 1) ? NAN : INFINITY;
  if (!pick(0, 9)) p.query[pick(0, (int)(G * Lq) - 1) * p.D + p.D / 2] = pick(0, 1) ? NAN : -INFINITY;
  char *query = stored(k, storage, p.query, G * Lq * (size_t)p.D);

  // Stretches of equal length but for the last, each in an array of its own.
  const int length = pick(0, 1) ? p.Lk : pick(1, 40), stretches = (p.Lk + length - 1) / length;
  attention_rows *rows = array((size_t)stretches * sizeof *rows);
  for (int n = 0; n < stretches; n++) {
    const int first = n * length, count = first + length > p.Lk ? p.Lk - first : length;
    char *key = stored_rows(k, row_storage, p.key + first * p.D, count, p.D);
    char *value = values_are_keys ? key : stored_rows(k, row_storage, p.value + first * p.Dv, count, p.Dv);
    rows[n] = (attention_rows){key, value, (ptrdiff_t)row_bytes(row_storage, p.call.key_width),
                               (ptrdiff_t)row_bytes(row_storage, p.call.value_width), first, count};
  }
  for (int j = 0; values_are_keys && j < p.Lk; j++)
    memcpy(p.value + j * p.Dv, p.key + j * p.D, (size_t)p.Dv * sizeof(float));
  p.keys = (attention_key_value_head){.rows = rows, .row_count = stretches, .key_length = p.Lk};

  // Positions: open, causal, a window.
  const int offset = pick(0, 1) ? p.Lk - p.Lq : pick(-5, 5), kind = pick(0, 3);
  const int first_shift = kind == 3 ? offset - pick(0, 300) : -(1 << 30), end_shift = kind ? offset + 1 : 1 << 30;

  uint8_t *mask = NULL, *blocks = NULL;
  if (!pick(0, 2)) {
    p.call.mask_kind = (attention_mask_kind)pick(1, 4);
    const bool by_query = pick(0, 3), by_key = pick(0, 5);
    const size_t m_rows = by_query ? Lq : 1, m_keys = by_key ? Lk : 1, plane = m_rows * m_keys;
    p.call.mask_query_stride = by_query ? (ptrdiff_t)m_keys : 0;
    p.call.mask_key_stride = by_key;
    float *numbers = array(plane * sizeof(float));
    const int style = pick(0, 2);
    for (size_t n = 0; n < plane; n++)
      numbers[n] = style == 0 ? (pick(0, 3) ? 0 : -INFINITY) : style == 1 ? normal() : n / 64 % 3 == 0 ? -INFINITY : 0;
    if (p.call.mask_kind == ATTENTION_MASK_BOOL) {
      mask = array(plane);
      for (size_t n = 0; n < plane; n++) mask[n] = numbers[n] != -INFINITY;
      for (size_t n = 0; n < plane; n++) numbers[n] = mask[n] ? 0 : -INFINITY;
    } else {
      const attention_storage as = (attention_storage)(p.call.mask_kind - ATTENTION_MASK_FLOAT32);
      mask = (uint8_t *)stored(k, as, numbers, plane);
    }
    p.mask = array(G * Lq * Lk * sizeof(float));
    for (size_t n = 0; n < G * Lq * Lk; n++)
      p.mask[n] = numbers[(by_query ? n / Lk % Lq : 0) * m_keys + (by_key ? n % Lk : 0)];
    free(numbers);
  }
  if (!pick(0, 3)) {
    p.call.query_block = pick(1, 40);
    p.call.key_block = pick(1, 70);
    const int columns = (p.Lk + p.call.key_block - 1) / p.call.key_block;
    const int count = columns * ((p.Lq + p.call.query_block - 1) / p.call.query_block);
    blocks = array((size_t)count);
    for (int n = 0; n < count; n++) blocks[n] = (uint8_t)(pick(0, 2) != 0);
    p.call.block_query_stride = columns;
    p.call.block_key_stride = 1;
  }

  p.heads = array(G * sizeof *p.heads);
  const size_t K = (size_t)p.call.top_key_count;
  for (int h = 0; h < p.group; h++) {
    p.heads[h] = (attention_head){
        .keys = &p.keys, .query = query + (size_t)h * Lq * (size_t)p.D * size, .query_stride = (ptrdiff_t)size * p.D,
        .query_length = p.Lq, .first_shift = first_shift, .end_shift = end_shift, .offset = offset, .sink = normal(),
        .mask = mask, .blocks = blocks, .output = array(Lq * (size_t)p.Dv * size),
        .output_stride = (ptrdiff_t)size * p.Dv, .log_sum_exp = array(Lq * 4), .shift = array(Lq * 4),
        .factor = array(Lq * 4), .scores = array(Lq * Lk * 4), .weights = calloc(Lq * Lk, 4),
        .score_stride = (ptrdiff_t)Lk, .top_keys = array(Lq * K * 4), .top_weights = array(Lq * K * 4),
        .received = calloc(Lk, 4)};
    for (size_t n = 0; n < Lq * Lk; n++) p.heads[h].scores[n] = -INFINITY;
  }
  if (!pick(0, 3))
    for (int h = 0; h < p.group; h++) p.heads[h].slope = 0.1f * (float)(h + 1);

  // The keys that some query sees.
  int first = first_shift > 0 ? first_shift : 0, end = p.Lq - 1 + end_shift;
  end = end < p.Lk ? end : p.Lk;
  if (end < first) first = end = 0;
  p.keys.first_key = first / k->tile_keys * k->tile_keys;
  p.keys.end_key = end;
  if (end <= p.keys.first_key) p.keys.first_key = p.keys.end_key = 0;
  const int packed = p.keys.end_key - p.keys.first_key, tiles = (packed + k->tile_keys - 1) / k->tile_keys;
  p.keys.packed_keys = array(k->packed_key_floats(&p.call, packed) * 4);
  p.keys.packed_values = array(k->packed_value_floats(&p.call, packed) * 4);
  p.keys.fit = array((size_t)tiles);
  void *scratch = aligned_alloc(64, (k->scratch_bytes(&p.call) + 63) / 64 * 64);
  for (int tile = 0; tile < tiles; tile++) k->pack_tile(&p.call, &p.keys, tile);

  float *both[2] = {0};  // the output and log-sum-exp of both ways
  for (int way = 0; way < 2; way++) {
    char title[240];
    snprintf(title, sizeof title, "%s %s: %d queries %d keys %d heads D %d Dv %d storage %d rows %d mask %d blocks %d positions %d", set,
             way ? "decode" : "attend", p.Lq, p.Lk, p.group, p.D, p.Dv, storage, row_storage, p.call.mask_kind, p.call.query_block, kind);
    if (way == 0) {
      for (int h = 0; h < p.group; h++) {
        for (int tile = 0; tile * k->tile_rows < p.Lq; tile++) k->attend_tile(&p.call, p.heads + h, tile, scratch);
        for (int tile = 0; tile * k->tile_rows < p.Lq; tile++) k->row_results(&p.call, p.heads + h, tile, scratch);
        for (int tile = 0; tile < tiles; tile++) k->key_results(&p.call, p.heads + h, tile, scratch);
      }
    } else {
      const int first_split = p.keys.first_key / k->tile_keys;
      const size_t each = G * Lq * k->partial_floats(&p.call);
      float *partial = array((size_t)tiles * each * 4);
      for (int s = 0; s < tiles; s++)
        k->decode_split(&p.call, p.heads, p.group, first_split + s, partial + (size_t)s * each, scratch);
      for (int h = 0; h < p.group; h++)
        k->decode_merge(&p.call, p.heads + h, tiles, partial + (size_t)h * Lq * k->partial_floats(&p.call), each, scratch);
      free(partial);
    }
    float *output = array(G * Lq * (size_t)p.Dv * 4);
    both[way] = output;
    for (int h = 0; h < p.group; h++) k->widen(storage, p.heads[h].output, Lq * (size_t)p.Dv, output + (size_t)h * Lq * (size_t)p.Dv);

    double *received = array(Lk * 8), *s = array(Lk * 8), *o = array((size_t)p.Dv * 8);
    for (int h = 0; h < p.group; h++) {
      for (int j = 0; j < p.Lk; j++) received[j] = 0;
      for (int i = 0; i < p.Lq; i++) {
        double m = -INFINITY, l = 0;
        int seen = 0;
        for (int j = 0; j < p.Lk; j++) {
          s[j] = sees(&p, h, i, j) ? score(&p, h, i, j) : -INFINITY;
          if (s[j] > m) m = s[j];
          seen += sees(&p, h, i, j);
        }
        // Nothing is subtracted from infinite scores, and a row of them has no weights.
        const double sink = p.call.has_sinks ? (double)p.heads[h].sink : -INFINITY, most = m > sink ? m : sink;
        const double shift = isinf(most) ? 0 : most;
        for (int n = 0; n < p.Dv; n++) o[n] = 0;
        for (int j = 0; j < p.Lk; j++) l += sees(&p, h, i, j) ? exp(s[j] - shift) : 0;
        l += p.call.has_sinks ? exp(sink - shift) : 0;
        const double factor = isfinite(l) && l > 0 ? 1 / l : NAN;
        for (int j = 0; j < p.Lk; j++) {
          const double w = sees(&p, h, i, j) ? exp(s[j] - shift) * factor : 0;
          received[j] += w;
          for (int n = 0; n < p.Dv && sees(&p, h, i, j); n++) o[n] += w * (double)p.value[j * p.Dv + n];
          if (way == 0) {
            hold("score", (double)p.heads[h].scores[(size_t)i * Lk + (size_t)j], s[j], 1e-5 * fmax(1, fabs(s[j])), title);
            hold("weight", (double)p.heads[h].weights[(size_t)i * Lk + (size_t)j], w, 1e-5, title);
          }
        }
        hold("log-sum-exp", (double)p.heads[h].log_sum_exp[i], seen ? shift + log(l) : -INFINITY,
             1e-5 * fmax(1, fabs(shift)), title);
        for (int n = 0; n < p.Dv; n++) {
          // (A weight that is small in float64 may be 0 in float32, and 0 · ∞ is NaN.)
          if (isinf(o[n]) && isnan(output[(h * p.Lq + i) * p.Dv + n])) continue;
          const double rounding = storage == ATTENTION_FLOAT32 ? 0 : storage == ATTENTION_FLOAT16 ? 0x1p-11 : 0x1p-8;
          hold("output", (double)output[(h * p.Lq + i) * p.Dv + n], o[n], ldexp(1e-5, value_exponent) + rounding * fabs(o[n]), title);
        }
        if (way == 0)
          for (size_t n = 0; n < K; n++) {
            const int32_t key = p.heads[h].top_keys[(size_t)i * K + n];
            const float weight = p.heads[h].top_weights[(size_t)i * K + n];
            hold("whether a key is listed", key >= 0, (int)n < seen, 0, title);
            if (key < 0) continue;
            hold("top weight", (double)weight, exp(s[key] - shift) * factor, 1e-5, title);
            int heavier = 0;
            for (int j = 0; j < p.Lk; j++) heavier += exp(s[j] - shift) * factor > (double)weight + 2e-5;
            hold("its place", heavier <= (int)n, 1, 0, title);
          }
      }
      for (int j = 0; way == 0 && j < p.Lk; j++)
        hold("received", (double)p.heads[h].received[j], received[j], 1e-5 * fmax(1, received[j]), title);
    }
    free(received);
    free(s);
    free(o);
  }
  for (int way = 0; way < 2; way++) free(both[way]);
  for (int n = 0; n < stretches; n++) {
    free((void *)rows[n].key);
    if (!values_are_keys) free((void *)rows[n].value);
  }
  for (int h = 0; h < p.group; h++) {
    attention_head *head = p.heads + h;
    void *arrays[] = {head->output, head->log_sum_exp, head->shift, head->factor, head->scores,
                      head->weights, head->top_keys, head->top_weights, head->received};
    for (size_t n = 0; n < sizeof arrays / sizeof *arrays; n++) free(arrays[n]);
  }
  void *arrays[] = {p.query, p.key, p.value, p.mask, p.heads, rows, query, mask, blocks,
                    p.keys.packed_keys, p.keys.packed_values, p.keys.fit, scratch};
  for (size_t n = 0; n < sizeof arrays / sizeof *arrays; n++) free(arrays[n]);
}

#if defined(__x86_64__)
extern const attention_kernels attention_kernels_sixteen_lanes;
#endif

static const attention_kernels *kernels_of(int set) {
  if (set <= ATTENTION_AMX) return attention_kernels_of((attention_instruction_set)set);
#if defined(__x86_64__)
  if (attention_kernels_of(ATTENTION_AVX2)) return &attention_kernels_sixteen_lanes;
#endif
  return NULL;
}

int main(int count, char **arguments) {
  const int calls = count > 1 ? atoi(arguments[1]) : 200;
  const char *names[] = {"baseline", "neon", "avx2", "avx512", "amx", "sixteen lanes on avx2"};
  for (int set = 0; set < 6; set++) {
    const attention_kernels *kernels = kernels_of(set);
    if (!kernels) {
      printf("%s: this processor does not have it\n", names[set]);
      continue;
    }
    state = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
    const int before = failures;
    for (int n = 0; n < calls; n++) check(kernels, names[set]);
    printf("%s: %d calls, %d numbers off\n", names[set], calls, failures - before);
  }
  return failures > 0;
}
