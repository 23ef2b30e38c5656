// The pieces of a row, combined in order: with m' the largest of their maxima,
//
//   l' = Σ l · exp(m − m')        o' = Σ o · exp(m − m')
//
// and the row ends as any other does (online_softmax.cl). A piece whose sum is −1 saw no key.
//
// A group has a row. Its items take the maxima and sums side by side, every MERGE_ITEMS-th piece each; then four columns of
// the outputs each and, where there are more items than that, every splits-th piece.

#ifndef MERGE_ITEMS
#define MERGE_ITEMS 1
#endif
// Pieces whose outputs are loaded before the first is used.
#define MERGE_UNROLL 4

// The rows of one query head: its pieces' row 0 are partials[parts[first]], … `count` of them.
typedef struct {
  int head;
  int first, count;
  int padding;
} Merge;

// The first `left` of four columns.
static float4 load_columns(__global const float *from, int left) {
  if (left >= 4) {
#ifdef ALIGNED
    return *(__global const float4 *)from;
#else
    return vload4(0, from);
#endif
  }
  return (float4)(from[0], left > 1 ? from[1] : 0.0f, left > 2 ? from[2] : 0.0f, 0.0f);
}

__kernel __attribute__((reqd_work_group_size(MERGE_ITEMS, 1, 1))) void merge_pieces(
    __global const uchar *work, __global const float *partial, __global float *ends, __global storage_t *output,
    __global float *log_sum_exp, int merges_at, int parts_at, int value_dimension, int first_query, int queries,
    long output_stride, int has_sinks) {
  __local float item_maxima[MERGE_ITEMS], item_sums[MERGE_ITEMS];
  __local float4 gathered[MERGE_ITEMS];
  const int group = get_group_id(0);
  const int item = get_local_id(0);
  const Merge merge = ((__global const Merge *)(work + merges_at))[group / queries];
  const int row = group % queries;
  const Head head = ((__global const Head *)work)[merge.head];
  const int i = first_query + row;
  if (i >= head.query_length) return;  // the whole group
  __global const int *parts = (__global const int *)(work + parts_at) + merge.first;

  // What item n finds is a maximum, and whether it is one: NaN says that its pieces saw no key.
  float largest = NAN;
#pragma unroll 1
  for (int p = item; p < merge.count; p += MERGE_ITEMS) {
    const float2 end = ((__global const float2 *)ends)[parts[p] + row];
    if (end.y != -1.0f) largest = largest >= end.x ? largest : end.x;
  }
  item_maxima[item] = largest;
  barrier(CLK_LOCAL_MEM_FENCE);
  const int busy = min(MERGE_ITEMS, merge.count);
  float m = -INFINITY;
  bool seen = false;
  for (int n = 0; n < busy; n++) {
    const float found = item_maxima[n];
    seen = seen || !isnan(found);
    m = found > m ? found : m;
  }
  // Maxima become factors, in place: nobody needs them any more.
  float sum = 0.0f;
#pragma unroll 1
  for (int p = item; p < merge.count; p += MERGE_ITEMS) {
    const long at = parts[p] + row;
    const float2 end = ((__global const float2 *)ends)[at];
    const float factor = end.y == -1.0f ? 0.0f : rescaling(end.x, m);
    sum += end.y == -1.0f ? 0.0f : end.y * factor;
    ends[2 * at] = factor;
  }
  item_sums[item] = sum;
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  float l = 0.0f;
  for (int n = 0; n < busy; n++) l += item_sums[n];
  const RowEnd end = end_of_row(m, l, seen, has_sinks, head.sink);
  if (item == 0) log_sum_exp[head.log_sum_exp + i] = log_sum_exp_of(end);

  __global storage_t *to = output + head.output + i * output_stride;
  const int fours = (value_dimension + 3) / 4;
  const int splits = max(1, MERGE_ITEMS / fours), columns = splits > 1 ? fours : MERGE_ITEMS;
  const int split = item / columns;
  for (int n = item % columns * 4; n < value_dimension; n += columns * 4) {
    const int left = min(4, value_dimension - n);
    float4 o = 0.0f;
    int p = split;
    for (; split < splits && p + (MERGE_UNROLL - 1) * splits < merge.count; p += MERGE_UNROLL * splits) {
      float4 four[MERGE_UNROLL];
      float factor[MERGE_UNROLL];
#pragma unroll
      for (int e = 0; e < MERGE_UNROLL; e++) {
        const long at = parts[p + e * splits] + row;
        four[e] = load_columns(partial + at * value_dimension + n, left);
        factor[e] = ends[2 * at];
      }
#pragma unroll
      for (int e = 0; e < MERGE_UNROLL; e++) o += four[e] * factor[e];
    }
    for (; split < splits && p < merge.count; p += splits) {
      const long at = parts[p] + row;
      o += load_columns(partial + at * value_dimension + n, left) * ends[2 * at];
    }
    if (splits > 1) gathered[item] = o;
    // (PoCL 3.1 stores whole vectors of items that are past the last column too, but for this condition.)
    else if (left > 0) store_four(to, n, o * end.factor, left);
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  const bool ends_columns = splits > 1 && split == 0 && 4 * item < value_dimension;
  if (ends_columns) {
    float4 o = gathered[item];
    for (int s = 1; s < splits; s++) o += gathered[item + s * columns];
    gathered[item] = o;
  }
#ifdef ALIGNED
  if (ends_columns) store_four(to, 4 * item, gathered[item] * end.factor, 4);
#else
  // (PoCL 3.1 lets items that have no column store too, past the row.)
  barrier(CLK_LOCAL_MEM_FENCE);
  if (splits > 1 && item == 0)
    for (int n = 0; n < value_dimension; n++) store_element(to, n, ((__local const float *)gathered)[n] * end.factor);
#endif
}
