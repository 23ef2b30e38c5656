// The pieces of a row, combined in order: with m' the largest of their maxima,
//
//   l' = Σ l · exp(m − m')        o' = Σ o · exp(m − m')
//
// and the row ends as any other does (online_softmax.cl). A piece whose sum is −1 saw no key.

#ifndef MERGE_ITEMS
#define MERGE_ITEMS 1
#endif

// The rows of one query head: its pieces' row 0 are partials[parts[first]], … `count` of them.
typedef struct {
  int head;
  int first, count;
  int padding;
} Merge;

__kernel __attribute__((reqd_work_group_size(MERGE_ITEMS, 1, 1))) void merge_pieces(
    __global const uchar *work, __global const float *partial, __global float *ends, __global storage_t *output,
    __global float *log_sum_exp, int merges_at, int parts_at, int value_dimension, int first_query, int queries,
    long output_stride, int has_sinks) {
  const int group = get_group_id(0);
  const int item = get_local_id(0);
  const Merge merge = ((__global const Merge *)(work + merges_at))[group / queries];
  const int row = group % queries;
  const Head head = ((__global const Head *)work)[merge.head];
  const int i = first_query + row;
  if (i >= head.query_length) return;  // the whole group
  __global const int *parts = (__global const int *)(work + parts_at) + merge.first;

  float m = -INFINITY;
  bool seen = false;
  for (int p = 0; p < merge.count; p++) {
    const float2 end = ((__global const float2 *)ends)[parts[p] + row];
    if (end.y == -1.0f) continue;
    seen = true;
    m = end.x > m ? end.x : m;
  }
  // Maxima become factors, in place: nobody needs them any more.
  barrier(CLK_GLOBAL_MEM_FENCE);
  for (int p = item; p < merge.count; p += MERGE_ITEMS) {
    const long at = parts[p] + row;
    const float2 end = ((__global const float2 *)ends)[at];
    const float factor = end.y == -1.0f ? 0.0f : rescaling(end.x, m);
    vstore2((float2)(factor, end.y == -1.0f ? 0.0f : end.y * factor), at, ends);
  }
  barrier(CLK_GLOBAL_MEM_FENCE);
  float l = 0.0f;
  for (int p = 0; p < merge.count; p++) l += ends[2 * (long)(parts[p] + row) + 1];
  const RowEnd end = end_of_row(m, l, seen, has_sinks, head.sink);
  if (item == 0) log_sum_exp[head.log_sum_exp + i] = end.log_sum_exp;
  __global storage_t *to = output + head.output + i * output_stride;
  for (int n = item * 4; n < value_dimension; n += MERGE_ITEMS * 4) {
    const int left = min(4, value_dimension - n);
    float4 o = 0.0f;
    for (int p = 0; p < merge.count; p++) {
      const long at = parts[p] + row;
      const float factor = ends[2 * at];
      __global const float *from = partial + at * value_dimension + n;
      if (left == 4) {
#ifdef ALIGNED
        o += *(__global const float4 *)from * factor;
#else
        o += vload4(0, from) * factor;
#endif
      } else {
        o.x += from[0] * factor;
        if (left > 1) o.y += from[1] * factor;
        if (left > 2) o.z += from[2] * factor;
      }
    }
    // (PoCL 3.1 stores whole vectors of items that are past the last column too, but for this condition.)
    if (left > 0) store_four(to, n, o * end.factor, left);
  }
}
