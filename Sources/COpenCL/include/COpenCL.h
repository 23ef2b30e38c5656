// COpenCL: carries the OpenCL C sources of Kernels/, builds programs from them and keeps the built binaries on disk.
//
// Only OpenCL 1.2 functions are called, so that 1.2 devices and loaders work. The headers are read at version 3.0 for
// the names of newer queries.
#ifndef ATTENTION_COPENCL_H
#define ATTENTION_COPENCL_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#endif
#ifndef CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#endif
#include <CL/cl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Sources (kernels.c)

/// One file of Kernels/, as it was when this library was compiled.
typedef struct {
  const char *name;           ///< The file's name without ".cl".
  const unsigned char *text;  ///< The text, not terminated by a zero.
  size_t length;              ///< Its length in bytes.
} attention_source;

/// How many sources there are.
size_t attention_source_count(void);

/// The source at an index below `attention_source_count()`; NULL for any other index. Lives as long as the process.
const attention_source *attention_source_at(size_t index);

/// The source of that name ("common"); NULL if there is none. Lives as long as the process.
const attention_source *attention_source_named(const char *name);

// MARK: SHA-256 (sha256.c)

/// The SHA-256 digest of `length` bytes.
void attention_sha256(const void *bytes, size_t length, unsigned char digest[32]);

// MARK: The cache's place (cache.c)

/// Where built programs are kept, from the values of ATTENTION_CACHE, XDG_CACHE_HOME and HOME (NULL if unset):
/// nowhere if `setting` is "off", else `xdg`/swift-attention if `xdg` is absolute, else `home`/.cache/swift-attention
/// if `home` is absolute, else nowhere. Touches no file.
///
/// Writes a zero-terminated path and returns its length; 0 (and an empty string) for nowhere or if it does not fit.
size_t attention_cache_path(const char *setting, const char *xdg, const char *home, char *buffer, size_t size);

/// `attention_cache_path` of this process's environment.
size_t attention_cache_directory(char *buffer, size_t size);

/// Removes programs from the cache's directory, those that were longest of no use first, until all together take `most` bytes,
/// and what writers that died left behind. Files of other names, texts among them, stay. (trim.c)
void attention_cache_trim(const char *directory, uint64_t most);

// MARK: Texts in the cache (cache.c)

/// The text kept under a file name in the cache's directory, to be given to attention_cache_text_free(); NULL if there is
/// none. `*reason`, a constant, then says why a file that is there is not read, and is NULL if there is no file.
unsigned char *attention_cache_read_text(const char *directory, const char *name, size_t *length,
                                         const char **reason);

/// Keeps a text under a file name, replacing what was there in one step. Returns whether it did.
bool attention_cache_write_text(const char *directory, const char *name, const unsigned char *text, size_t length);

/// Releases a text that was read; NULL is fine.
void attention_cache_text_free(unsigned char *text);

// MARK: Programs (program.c)

/// What came of building a program.
typedef struct {
  cl_program program;  ///< The built program, owned by the caller; NULL on failure.
  cl_int status;       ///< CL_SUCCESS, or what the failed call answered.
  const char *call;    ///< The name of the failed call, a constant; NULL on success.
  char *log;           ///< The compiler's log, to be given to attention_log_free(); NULL if there is none.
  bool from_cache;     ///< Whether the binary came from the disk cache, so that nothing was compiled from source.
} attention_build;

/// Builds a program of the given sources, in their order, followed by `text` if that is not NULL. Each part is
/// preceded by a #line directive, so that messages name the file ("text.cl" for `text`).
///
/// `options` may be NULL. `cache_directory` is where the binary is looked for and kept, or NULL for neither; whatever
/// is wrong with that directory or a file in it only means that the program is built from source.
attention_build attention_program_build(cl_context context, cl_device_id device,
                                        const attention_source *const *sources, size_t source_count, const char *text,
                                        const char *options, const char *cache_directory);

/// Releases the log of a build; NULL is fine.
void attention_log_free(char *log);

/// How many times this process has called the OpenCL compiler on source text.
uint64_t attention_source_build_count(void);

#endif
