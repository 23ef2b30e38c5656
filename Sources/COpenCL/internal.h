// What the C files of this target share. Include it before anything else: it asks the C library for POSIX names.
#ifndef ATTENTION_INTERNAL_H
#define ATTENTION_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "COpenCL.h"

#include <sys/stat.h>

// MARK: sha256.c

/// A digest in the making.
typedef struct {
  uint32_t state[8];
  uint64_t length;  ///< Bytes seen so far.
  unsigned char block[64];
} attention_sha256_state;

void attention_sha256_begin(attention_sha256_state *hash);
void attention_sha256_add(attention_sha256_state *hash, const void *bytes, size_t length);
void attention_sha256_end(attention_sha256_state *hash, unsigned char digest[32]);

// MARK: cache.c

/// Raised when the key or the file's layout changes. Part of both.
enum { ATTENTION_CACHE_VERSION = 1 };

/// Bytes of programs that the cache keeps: a thousand or two, many times what one machine's devices need.
#define ATTENTION_CACHE_MOST ((uint64_t)512 << 20)

/// A descriptor of the directory if it is a real one that only this user can write, else -1; errno is ENOENT where there
/// is none at all.
int attention_cache_open_directory(const char *directory, bool create);

/// Whether a file or directory can be written by this user alone.
bool attention_cache_is_own(const struct stat *facts);

/// The payload stored under a key, to be given to free(); NULL if there is none that can be trusted.
unsigned char *attention_cache_read(const char *directory, const unsigned char key[32], size_t *length);

/// Stores a payload under a key, replacing what was there. Returns whether it did; if not, no file is left behind.
/// The directory is trimmed afterwards.
bool attention_cache_write(const char *directory, const unsigned char key[32], const unsigned char *payload,
                           size_t length);

#endif
