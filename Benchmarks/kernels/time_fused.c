// Times the fused kernels for GPUs by themselves: any sizes, by build options, without the library around them.
//
//   cc -O2 -o time_fused Benchmarks/kernels/time_fused.c -lOpenCL -lm
//   ./time_fused Kernels VARIANTS HEADS:LENGTH:CAUSAL …
//
// VARIANTS has a line for each: a name, fused_gpu or fused_mma, STORAGE (0 float32, 1 float16, 2 bfloat16), the dimension, rows
// and keys of a tile, work-items of a group, and build options (Benchmarks/kernels/variants is an example). The first OpenCL
// device is taken. A line of what comes out: the median of the launches by OpenCL's own clock, after one that warms up;
// TFLOP/s of visible pairs; and the largest error of ten rows against float64, beyond the output's rounding, and of their
// log-sum-exp.
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The mirror of Head in common.cl.
typedef struct {
  int64_t query, key, value, output, score, mask, mask_tiles, key_tiles, block_mask, log_sum_exp;
  int32_t query_length, key_length, first_shift, end_shift, offset;
  float slope, sink;
  int32_t rotary;
} Head;

typedef struct {
  char name[64], kernel[64], options[1024];
  int storage, dimension, rows, keys, items;
} Variant;

typedef struct {
  int heads, length, causal;
} Shape;

static cl_device_id device;
static cl_context context;
static cl_command_queue queue;

static void check(cl_int status, const char *what) {
  if (status == CL_SUCCESS) return;
  fprintf(stderr, "%s: %d\n", what, status);
  exit(1);
}

static size_t append_file(char **text, size_t length, const char *folder, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s.cl", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    exit(1);
  }
  fseek(file, 0, SEEK_END);
  const long size = ftell(file);
  rewind(file);
  *text = realloc(*text, length + size + 1);
  length += fread(*text + length, 1, size, file);
  (*text)[length] = 0;
  fclose(file);
  return length;
}

static char *source_of(const char *folder, const Variant *variant) {
  const char *vector[] = {"common", "modifiers", "online_softmax", "key_tiles", "fused_gpu", NULL};
  const char *units = strstr(variant->options, "-DUNITS=1") ? "matrix_units_nvidia" : "matrix_units_amd";
  const char *matrix[] = {"common", "modifiers", "online_softmax", "key_tiles", "matrix_units", units, "fused_mma", NULL};
  char *text = NULL;
  size_t length = 0;
  for (const char **name = strcmp(variant->kernel, "fused_mma") ? vector : matrix; *name; name++)
    length = append_file(&text, length, folder, *name);
  return text;
}

static float float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
static uint32_t bits_of_float(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

static double number(const void *from, int storage, size_t at) {
  if (storage == 0) return ((const float *)from)[at];
  const uint16_t bits = ((const uint16_t *)from)[at];
  if (storage == 2) return float_of_bits((uint32_t)bits << 16);
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
  return bits >> 15 ? -size : size;
}

// Normal numbers, rounded to nearest; smaller ones to zero.
static void set_number(void *to, int storage, size_t at, float x) {
  const uint32_t bits = bits_of_float(x);
  if (storage == 0) {
    ((float *)to)[at] = x;
  } else if (storage == 2) {
    ((uint16_t *)to)[at] = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  } else {
    const uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
    const int exponent = (int)(rounded >> 23 & 255) - 112;
    ((uint16_t *)to)[at] = (bits >> 16 & 0x8000) | (exponent > 0 ? exponent << 10 | (rounded >> 13 & 1023) : 0);
  }
}

// About normal: a sum of four.
static float next_normal(uint64_t *seed) {
  float sum = 0;
  for (int n = 0; n < 4; n++) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    sum += (float)(*seed >> 40) / 16777216.0f - 0.5f;
  }
  return sum * 1.7320508f;
}

static cl_mem buffer(size_t bytes, void *contents) {
  cl_int status;
  cl_mem memory =
      clCreateBuffer(context, CL_MEM_READ_WRITE | (contents ? CL_MEM_COPY_HOST_PTR : 0), bytes, contents, &status);
  check(status, "clCreateBuffer");
  return memory;
}

// The larger of two; NaN if either is.
static double worse(double a, double b) { return b <= a ? a : b; }

static void compare(Variant v, Shape s, void *const host[3], const void *output, const float *log_sum_exp, double worst[2]) {
  double *weights = malloc(s.length * sizeof *weights);
  for (int n = 0; n < 10; n++) {
    const int head = (7919 * n + 3) % s.heads;
    const int row = n == 0 ? 0 : n == 1 ? s.length - 1 : (int)(n * UINT64_C(2654435761) % s.length);
    const size_t base = (size_t)head * s.length * v.dimension, query = base + (size_t)row * v.dimension;
    const int keys = s.causal ? row + 1 : s.length;
    double largest = -INFINITY, sum = 0;
    for (int j = 0; j < keys; j++) {
      double product = 0;
      for (int d = 0; d < v.dimension; d++)
        product += number(host[0], v.storage, query + d) * number(host[1], v.storage, base + (size_t)j * v.dimension + d);
      weights[j] = product * (1 / sqrtf(v.dimension));
      if (weights[j] > largest) largest = weights[j];
    }
    for (int j = 0; j < keys; j++) sum += weights[j] = exp(weights[j] - largest);
    for (int d = 0; d < v.dimension; d++) {
      double truth = 0;
      for (int j = 0; j < keys; j++) truth += weights[j] * number(host[2], v.storage, base + (size_t)j * v.dimension + d);
      truth /= sum;
      const double rounding = v.storage ? fabs(truth) * (v.storage == 1 ? 0x1p-11 : 0x1p-8) : 0;
      worst[0] = worse(worst[0], fabs(truth - number(output, v.storage, query + d)) - rounding);
    }
    worst[1] = worse(worst[1], fabs(largest + log(sum) - log_sum_exp[(size_t)head * s.length + row]));
  }
  free(weights);
}

static int by_size(const void *a, const void *b) {
  const double difference = *(const double *)a - *(const double *)b;
  return (difference > 0) - (difference < 0);
}

// The median of the launches, in seconds.
static double time_launches(cl_kernel kernel, size_t global, size_t local) {
  double seconds[64], total = 0;
  int count = 0;
  for (int n = 0; n < 60 && (n < 5 || total < 0.15); n++) {
    cl_event event;
    check(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, &local, 0, NULL, &event), "clEnqueueNDRangeKernel");
    check(clFinish(queue), "clFinish");
    cl_ulong start, end;
    check(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL), "clGetEventProfilingInfo");
    check(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL), "clGetEventProfilingInfo");
    clReleaseEvent(event);
    if (n == 0) continue;
    total += seconds[count++] = (end - start) * 1e-9;
  }
  qsort(seconds, count, sizeof *seconds, by_size);
  return seconds[count / 2];
}

static void run(Variant v, cl_kernel kernel, Shape s) {
  const size_t count = (size_t)s.heads * s.length * v.dimension, bytes = count * (v.storage ? 2 : 4);
  const size_t rows = (size_t)s.heads * s.length;
  void *host[3], *output = malloc(bytes);
  float *log_sum_exp = malloc(rows * sizeof *log_sum_exp);
  Head *heads = calloc(s.heads, sizeof *heads);
  uint64_t seed = 1;
  cl_mem memory[7];
  for (int n = 0; n < 3; n++) {
    host[n] = malloc(bytes);
    for (size_t at = 0; at < count; at++) set_number(host[n], v.storage, at, next_normal(&seed));
    memory[n] = buffer(bytes, host[n]);
  }
  for (int h = 0; h < s.heads; h++) {
    heads[h].query = heads[h].key = heads[h].value = heads[h].output = (int64_t)h * s.length * v.dimension;
    heads[h].log_sum_exp = (int64_t)h * s.length;
    heads[h].query_length = heads[h].key_length = s.length;
    heads[h].first_shift = -(1 << 30);
    heads[h].end_shift = s.causal ? 1 : s.length;
  }
  memory[3] = buffer(s.heads * sizeof *heads, heads);
  memory[4] = buffer(bytes, NULL);
  memory[5] = buffer(rows * sizeof *log_sum_exp, NULL);
  memory[6] = buffer(16, NULL);  // no mask

  const cl_int row_tiles = (s.length + v.rows - 1) / v.rows, none = 0;
  const float scale = 1 / sqrtf(v.dimension), no_softcap = 0;
  const int64_t no_stride = 0;
  cl_uint index = 0;
  cl_int status = 0;
#define ARGUMENT(x) status |= clSetKernelArg(kernel, index++, sizeof(x), &(x))
  const int order[] = {3, 0, 1, 2, 6, 6, 6, 4, 5};
  for (int n = 0; n < 9; n++) ARGUMENT(memory[order[n]]);
  ARGUMENT(none), ARGUMENT(row_tiles), ARGUMENT(s.heads), ARGUMENT(none), ARGUMENT(scale), ARGUMENT(no_softcap);
  ARGUMENT(none), ARGUMENT(no_stride), ARGUMENT(no_stride);
  ARGUMENT(none), ARGUMENT(none), ARGUMENT(none), ARGUMENT(none);
  check(status, "clSetKernelArg");

  const double seconds = time_launches(kernel, (size_t)s.heads * row_tiles * v.items, v.items);
  check(clEnqueueReadBuffer(queue, memory[4], CL_TRUE, 0, bytes, output, 0, NULL, NULL), "clEnqueueReadBuffer");
  check(clEnqueueReadBuffer(queue, memory[5], CL_TRUE, 0, rows * 4, log_sum_exp, 0, NULL, NULL), "clEnqueueReadBuffer");
  double worst[2] = {0, 0};
  compare(v, s, host, output, log_sum_exp, worst);
  const double pairs = s.causal ? 0.5 * s.length * (s.length + 1.0) : (double)s.length * s.length;
  printf("%-20s storage %d  D %3d  H %2d  L %5d %-6s  %9.3f ms  %6.1f TFLOP/s  error %.1e  log-sum-exp %.1e\n", v.name,
         v.storage, v.dimension, s.heads, s.length, s.causal ? "causal" : "", seconds * 1e3,
         4 * pairs * v.dimension * s.heads / seconds * 1e-12, worst[0], worst[1]);
  fflush(stdout);

  for (int n = 0; n < 7; n++) clReleaseMemObject(memory[n]);
  for (int n = 0; n < 3; n++) free(host[n]);
  free(output), free(log_sum_exp), free(heads);
}

static void time_variant(const char *folder, Variant v, int shape_count, char **shapes) {
  char options[2048];
  snprintf(options, sizeof options,
           "-cl-std=CL1.2 -DSTORAGE=%d -DHEAD_DIMENSION=%d -DVALUE_DIMENSION=%d -DALIGNED -DSCORE_WIDTH=1 -DTILE_ROWS=%d "
           "-DTILE_KEYS=%d %s",
           v.storage, v.dimension, v.dimension, v.rows, v.keys, v.options);
  char *source = source_of(folder, &v);
  cl_int status;
  cl_program program = clCreateProgramWithSource(context, 1, (const char **)&source, NULL, &status);
  check(status, "clCreateProgramWithSource");
  status = clBuildProgram(program, 1, &device, options, NULL, NULL);
  if (status != CL_SUCCESS) {
    static char log[1 << 16];
    clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, sizeof log, log, NULL);
    printf("%s: clBuildProgram: %d\n%.2000s\n", v.name, status, log);
  } else {
    cl_kernel kernel = clCreateKernel(program, v.kernel, &status);
    check(status, "clCreateKernel");
    for (int n = 0; n < shape_count; n++) {
      Shape shape;
      if (sscanf(shapes[n], "%d:%d:%d", &shape.heads, &shape.length, &shape.causal) == 3 && shape.heads > 0 &&
          shape.length > 0)
        run(v, kernel, shape);
      else
        fprintf(stderr, "%s: expected HEADS:LENGTH:CAUSAL\n", shapes[n]);
    }
    clReleaseKernel(kernel);
  }
  clReleaseProgram(program);
  free(source);
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: time_fused KERNELS VARIANTS HEADS:LENGTH:CAUSAL ...\n");
    return 2;
  }
  cl_platform_id platform;
  check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
  check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
  cl_int status;
  context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
  check(status, "clCreateContext");
  queue = clCreateCommandQueue(context, device, CL_QUEUE_PROFILING_ENABLE, &status);
  check(status, "clCreateCommandQueue");

  FILE *variants = fopen(arguments[2], "r");
  if (!variants) {
    perror(arguments[2]);
    return 1;
  }
  char line[2048];
  while (fgets(line, sizeof line, variants)) {
    Variant v = {.options = ""};
    if (line[0] == '#' || line[0] == '\n') continue;
    if (sscanf(line, "%63s %63s %d %d %d %d %d %1023[^\n]", v.name, v.kernel, &v.storage, &v.dimension, &v.rows, &v.keys,
               &v.items, v.options) < 7)
      fprintf(stderr, "not a variant: %s", line);
    else
      time_variant(arguments[1], v, count - 3, arguments + 3);
  }
  fclose(variants);
}
