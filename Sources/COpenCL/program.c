// Building programs: from the disk cache if a driver's binary is kept there, else from source.
#include "internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint_least64_t source_builds;

uint64_t attention_source_build_count(void) { return atomic_load(&source_builds); }

void attention_log_free(char *log) { free(log); }

// MARK: Source text

/// The parts one after the other, each below a #line directive, to be given to free(). NULL if memory is short.
static char *join(const attention_source *const *sources, size_t count, const char *text, size_t *length) {
  char *joined = NULL;
  FILE *stream = open_memstream(&joined, length);
  if (stream == NULL) return NULL;
  for (size_t i = 0; i < count; i++) {
    fprintf(stream, "#line 1 \"%s.cl\"\n", sources[i]->name);
    fwrite(sources[i]->text, 1, sources[i]->length, stream);
    fputc('\n', stream);
  }
  if (text != NULL) fprintf(stream, "#line 1 \"text.cl\"\n%s\n", text);
  bool complete = !ferror(stream);
  if (fclose(stream) != 0 || !complete) {
    free(joined);
    return NULL;
  }
  return joined;
}

// MARK: Key

/// Adds a field with its length before it, so that no two lists of fields make the same bytes.
static void add_field(attention_sha256_state *hash, const void *bytes, size_t length) {
  unsigned char prefix[8];
  for (int i = 0; i < 8; i++) prefix[i] = (unsigned char)((uint64_t)length >> (8 * i));
  attention_sha256_add(hash, prefix, sizeof prefix);
  attention_sha256_add(hash, bytes, length);
}

static bool add_platform_field(attention_sha256_state *hash, cl_platform_id platform, cl_platform_info name) {
  size_t size = 0;
  if (clGetPlatformInfo(platform, name, 0, NULL, &size) != CL_SUCCESS || size == 0) return false;
  char *value = malloc(size);
  if (value == NULL) return false;
  bool known = clGetPlatformInfo(platform, name, size, value, NULL) == CL_SUCCESS;
  if (known) add_field(hash, value, size);
  free(value);
  return known;
}

static bool add_device_field(attention_sha256_state *hash, cl_device_id device, cl_device_info name) {
  size_t size = 0;
  if (clGetDeviceInfo(device, name, 0, NULL, &size) != CL_SUCCESS || size == 0) return false;
  char *value = malloc(size);
  if (value == NULL) return false;
  bool known = clGetDeviceInfo(device, name, size, value, NULL) == CL_SUCCESS;
  if (known) add_field(hash, value, size);
  free(value);
  return known;
}

/// Everything a binary depends on. False if the driver does not tell, in which case nothing is cached.
static bool make_key(cl_device_id device, const char *source, size_t length, const char *options,
                     unsigned char key[32]) {
  cl_platform_id platform = NULL;
  if (clGetDeviceInfo(device, CL_DEVICE_PLATFORM, sizeof(platform), &platform, NULL) != CL_SUCCESS) return false;
  attention_sha256_state hash;
  attention_sha256_begin(&hash);
  const unsigned char version = ATTENTION_CACHE_VERSION;
  add_field(&hash, &version, sizeof version);
  add_field(&hash, source, length);
  add_field(&hash, options, strlen(options));
  bool known = add_platform_field(&hash, platform, CL_PLATFORM_NAME) &&
               add_platform_field(&hash, platform, CL_PLATFORM_VERSION) &&
               add_device_field(&hash, device, CL_DEVICE_NAME) && add_device_field(&hash, device, CL_DEVICE_VENDOR) &&
               add_device_field(&hash, device, CL_DEVICE_VERSION) && add_device_field(&hash, device, CL_DRIVER_VERSION);
  attention_sha256_end(&hash, key);
  return known;
}

// MARK: Driver

/// The compiler's log, to be given to free(); NULL if it is empty or cannot be had.
static char *build_log(cl_program program, cl_device_id device) {
  size_t size = 0;
  // A log of one byte is the zero at its end.
  if (clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) != CL_SUCCESS || size <= 1) {
    return NULL;
  }
  char *log = calloc(size + 1, 1);
  if (log == NULL) return NULL;
  if (clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, size, log, NULL) != CL_SUCCESS || log[0] == '\0') {
    free(log);
    return NULL;
  }
  return log;
}

/// A program of a cached binary, or NULL if the driver will not have it.
static cl_program program_of_binary(cl_context context, cl_device_id device, const unsigned char *binary, size_t length,
                                    const char *options) {
  cl_int binary_status = CL_SUCCESS, status = CL_SUCCESS;
  cl_program program = clCreateProgramWithBinary(context, 1, &device, &length, &binary, &binary_status, &status);
  if (status != CL_SUCCESS || program == NULL) return NULL;
  if (binary_status == CL_SUCCESS && clBuildProgram(program, 1, &device, options, NULL, NULL) == CL_SUCCESS) {
    return program;
  }
  clReleaseProgram(program);
  return NULL;
}

/// The binary of a built program, to be given to free(); NULL if the driver gives none.
static unsigned char *binary_of_program(cl_program program, size_t *length) {
  cl_uint devices = 0;
  size_t size = 0;
  if (clGetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof devices, &devices, NULL) != CL_SUCCESS || devices != 1 ||
      clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) != CL_SUCCESS || size == 0) {
    return NULL;
  }
  unsigned char *binary = malloc(size);
  if (binary == NULL) return NULL;
  if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) != CL_SUCCESS) {
    free(binary);
    return NULL;
  }
  *length = size;
  return binary;
}

// MARK: Build

static attention_build failure(const char *call, cl_int status, char *log) {
  return (attention_build){.status = status, .call = call, .log = log};
}

static attention_build build_source(cl_context context, cl_device_id device, const char *source, size_t length,
                                    const char *options) {
  cl_int status = CL_SUCCESS;
  cl_program program = clCreateProgramWithSource(context, 1, &source, &length, &status);
  if (status != CL_SUCCESS || program == NULL) {
    return failure("clCreateProgramWithSource", status != CL_SUCCESS ? status : CL_INVALID_PROGRAM, NULL);
  }
  atomic_fetch_add(&source_builds, 1);
  status = clBuildProgram(program, 1, &device, options, NULL, NULL);
  char *log = build_log(program, device);
  if (status != CL_SUCCESS) {
    clReleaseProgram(program);
    return failure("clBuildProgram", status, log);
  }
  return (attention_build){.program = program, .status = CL_SUCCESS, .log = log};
}

attention_build attention_program_build(cl_context context, cl_device_id device,
                                        const attention_source *const *sources, size_t source_count, const char *text,
                                        const char *options, const char *cache_directory) {
  if (options == NULL) options = "";
  size_t length = 0;
  char *source = join(sources, source_count, text, &length);
  if (source == NULL) return failure("clCreateProgramWithSource", CL_OUT_OF_HOST_MEMORY, NULL);

  unsigned char key[32];
  bool cached = cache_directory != NULL && make_key(device, source, length, options, key);
  if (cached) {
    size_t binary_length = 0;
    unsigned char *binary = attention_cache_read(cache_directory, key, &binary_length);
    cl_program program = binary ? program_of_binary(context, device, binary, binary_length, options) : NULL;
    free(binary);
    if (program != NULL) {
      free(source);
      return (attention_build){
          .program = program, .status = CL_SUCCESS, .log = build_log(program, device), .from_cache = true};
    }
  }

  attention_build result = build_source(context, device, source, length, options);
  free(source);
  if (cached && result.program != NULL) {
    size_t binary_length = 0;
    unsigned char *binary = binary_of_program(result.program, &binary_length);
    // That it could not be kept is no fault of the program.
    if (binary != NULL) (void)attention_cache_write(cache_directory, key, binary, binary_length);
    free(binary);
  }
  return result;
}
