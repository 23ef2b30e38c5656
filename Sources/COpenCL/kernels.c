// The texts of Kernels/, compiled in: a resource bundle would not survive the binary being moved.
#include "internal.h"

#include <string.h>

// One line a file here and one row below.
static const unsigned char amx[] = {
#embed "../../Kernels/amx.cl" if_empty('\n')
};
static const unsigned char append[] = {
#embed "../../Kernels/append.cl" if_empty('\n')
};
static const unsigned char brain_parts[] = {
#embed "../../Kernels/brain_parts.cl" if_empty('\n')
};
static const unsigned char common[] = {
#embed "../../Kernels/common.cl" if_empty('\n')
};
static const unsigned char cpu_tiles[] = {
#embed "../../Kernels/cpu_tiles.cl" if_empty('\n')
};
static const unsigned char decode[] = {
#embed "../../Kernels/decode.cl" if_empty('\n')
};
static const unsigned char decode_cpu[] = {
#embed "../../Kernels/decode_cpu.cl" if_empty('\n')
};
static const unsigned char decode_cpu_products[] = {
#embed "../../Kernels/decode_cpu_products.cl" if_empty('\n')
};
static const unsigned char decode_gpu[] = {
#embed "../../Kernels/decode_gpu.cl" if_empty('\n')
};
static const unsigned char fused_amx[] = {
#embed "../../Kernels/fused_amx.cl" if_empty('\n')
};
static const unsigned char fused_cpu[] = {
#embed "../../Kernels/fused_cpu.cl" if_empty('\n')
};
static const unsigned char fused_gpu[] = {
#embed "../../Kernels/fused_gpu.cl" if_empty('\n')
};
static const unsigned char fused_mma[] = {
#embed "../../Kernels/fused_mma.cl" if_empty('\n')
};
static const unsigned char gather[] = {
#embed "../../Kernels/gather.cl" if_empty('\n')
};
static const unsigned char insight[] = {
#embed "../../Kernels/insight.cl" if_empty('\n')
};
static const unsigned char key_tiles[] = {
#embed "../../Kernels/key_tiles.cl" if_empty('\n')
};
static const unsigned char key_value_rows[] = {
#embed "../../Kernels/key_value_rows.cl" if_empty('\n')
};
static const unsigned char mask_classes[] = {
#embed "../../Kernels/mask_classes.cl" if_empty('\n')
};
static const unsigned char matrix_units[] = {
#embed "../../Kernels/matrix_units.cl" if_empty('\n')
};
static const unsigned char matrix_units_amd[] = {
#embed "../../Kernels/matrix_units_amd.cl" if_empty('\n')
};
static const unsigned char matrix_units_nvidia[] = {
#embed "../../Kernels/matrix_units_nvidia.cl" if_empty('\n')
};
static const unsigned char merge[] = {
#embed "../../Kernels/merge.cl" if_empty('\n')
};
static const unsigned char weights[] = {
#embed "../../Kernels/weights.cl" if_empty('\n')
};
static const unsigned char linear[] = {
#embed "../../Kernels/linear.cl" if_empty('\n')
};
static const unsigned char layers[] = {
#embed "../../Kernels/layers.cl" if_empty('\n')
};
static const unsigned char modifiers[] = {
#embed "../../Kernels/modifiers.cl" if_empty('\n')
};
static const unsigned char online_softmax[] = {
#embed "../../Kernels/online_softmax.cl" if_empty('\n')
};
static const unsigned char peak[] = {
#embed "../../Kernels/peak.cl" if_empty('\n')
};
static const unsigned char power_of_two[] = {
#embed "../../Kernels/power_of_two.cl" if_empty('\n')
};
static const unsigned char product[] = {
#embed "../../Kernels/product.cl" if_empty('\n')
};
static const unsigned char rotary[] = {
#embed "../../Kernels/rotary.cl" if_empty('\n')
};
static const unsigned char rotate[] = {
#embed "../../Kernels/rotate.cl" if_empty('\n')
};
static const unsigned char scores[] = {
#embed "../../Kernels/scores.cl" if_empty('\n')
};
static const unsigned char softmax[] = {
#embed "../../Kernels/softmax.cl" if_empty('\n')
};
static const unsigned char units[] = {
#embed "../../Kernels/units.cl" if_empty('\n')
};
static const unsigned char values[] = {
#embed "../../Kernels/values.cl" if_empty('\n')
};

#define ROW(name) {#name, name, sizeof(name)}

static const attention_source sources[] = {
    ROW(amx), ROW(append), ROW(brain_parts), ROW(common), ROW(cpu_tiles), ROW(decode), ROW(decode_cpu),
    ROW(decode_cpu_products), ROW(decode_gpu), ROW(fused_amx), ROW(fused_cpu), ROW(fused_gpu), ROW(fused_mma),
    ROW(gather), ROW(insight),
    ROW(key_tiles), ROW(key_value_rows), ROW(layers), ROW(linear), ROW(mask_classes), ROW(matrix_units),
    ROW(matrix_units_amd), ROW(matrix_units_nvidia), ROW(merge), ROW(modifiers), ROW(online_softmax), ROW(peak),
    ROW(power_of_two), ROW(product), ROW(rotary), ROW(rotate), ROW(scores), ROW(softmax), ROW(units), ROW(values),
    ROW(weights),
};

size_t attention_source_count(void) { return sizeof(sources) / sizeof(sources[0]); }

const attention_source *attention_source_at(size_t index) {
  return index < attention_source_count() ? &sources[index] : NULL;
}

const attention_source *attention_source_named(const char *name) {
  for (size_t i = 0; i < attention_source_count(); i++) {
    if (strcmp(sources[i].name, name) == 0) return &sources[i];
  }
  return NULL;
}
