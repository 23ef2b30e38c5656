// What the fused kernels for GPUs share: the tiles of keys that a work-group walks over, which are those that are not hidden
// from all its rows, the weight of a hidden pair, and their sizes.

#ifndef HEAD_DIMENSION
#define HEAD_DIMENSION 64
#endif
#ifndef VALUE_DIMENSION
#define VALUE_DIMENSION 64
#endif
#ifndef TILE_ROWS
#define TILE_ROWS 64
#endif
#ifndef TILE_KEYS
#define TILE_KEYS 64
#endif

// −0: a weight that no visible pair has (e^x is +0 or more), and nothing in every sum: −0 + −0 = −0, −0 + x = x. So a row has
// seen a key if its sum is not −0, and 0 · ∞ or 0 · NaN of a value that is hidden from a row is known from one that it must
// show.
#define HIDDEN_WEIGHT (-0.0f)
SHARED bool is_hidden(float weight) { return as_uint(weight) == 0x80000000u; }

SHARED int rows_of_tile(const Head head, int i0) { return min(TILE_ROWS, head.query_length - i0); }

// The first tile of keys from j on that is not hidden, and its visibility; j is `end` or more where there is none.
typedef struct {
  int j, visibility;
} KeyTile;

SHARED KeyTile next_tile(const Modifiers modifiers, __global const Head *heads, int i0, int j, int end,
                         __global const uchar *mask_classes) {
  const Head head = *heads;
  const int rows = rows_of_tile(head, i0);
  KeyTile tile = {j, TILE_HIDDEN};
  for (; tile.j < end; tile.j += TILE_KEYS) {
    const int mask_class = modifiers.mask_kind != MASK_NONE ? mask_classes[tile.j / TILE_KEYS] : TILE_OPEN;
    tile.visibility = tile_visibility(modifiers, head, i0, rows, tile.j, TILE_KEYS, mask_class);
    if (tile.visibility != TILE_HIDDEN) break;
  }
  return tile;
}
