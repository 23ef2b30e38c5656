// Attention of few queries: bound by reading keys and values, so each is read once for all query heads of its group, and
// the keys are cut into pieces that many processors read side by side. A piece keeps (maximum m, sum l, output o) of its
// keys by the online softmax; merge.cl combines the pieces of a row in order. Pieces end at fixed keys, so that a row's
// result is the same bits whatever else is computed beside it.
//
//                        keys ───────────►
//              ┌───────────┬───────────┬───────────┬───┐
//   rows of    │  piece    │  piece    │  piece    │   │      rows: the queries of the heads that share the keys
//   a group    │  m, l, o  │  m, l, o  │  m, l, o  │   │
//              └───────────┴───────────┴───────────┴───┘

// The scalar arguments of a call, which all of its pieces share.
typedef struct {
  int query_heads, group;  // of a sequence; that share a key/value head
  int first_query, queries;
  int block_rows, row_step;
  long query_stride, output_stride;  // from one query of a head to the next, in elements
  int has_sinks;
  int rotary_pairs;  // pairs of elements of a query that are rotated; 0: none
  int interleaved;   // whether the pairs are neighbours; otherwise the halves of the rotated part
} Call;

SHARED int head_of_row(const Call call, const Piece piece, int r) {
  const int head = r / call.queries;
  return piece.head + head / call.group * call.query_heads + head % call.group;
}

// Elements d … d + 3 of a query of `width` elements, rotated to its position where the call says so; 0 past its end.
SHARED float4 query_four(__global const storage_t *query, int d, int width, const Call call,
                         __global const float *rotary) {
  return rotated_four(query, d, width - d, call.rotary_pairs, call.interleaved, rotary, rotary + call.rotary_pairs);
}

// Where a row's result goes: to its place, or with its maximum and sum to where the pieces are merged.
SHARED void store_end(const Call call, const Head head, int i, long partial, float m, float l, bool seen,
                      __global float *log_sum_exp, __global float *ends, float *factor) {
  if (partial < 0) {
    const RowEnd end = end_of_row(m, l, seen, call.has_sinks, head.sink);
    log_sum_exp[head.log_sum_exp + i] = log_sum_exp_of(end);
    *factor = end.factor;
  } else {
    ends[2 * partial] = m;
    ends[2 * partial + 1] = seen ? l : -1.0f;
    *factor = 1.0f;
  }
}
