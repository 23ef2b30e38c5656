// Built programs on disk, and short texts beside them. A file <key in hex>.clbin is
//
//   bytes 0…7    magic
//         8…11   ATTENTION_CACHE_VERSION, little endian
//        12…19   length of the payload, little endian
//        20…51   SHA-256 of the payload
//        52…     payload
//
// The payload is handed to a driver, which runs it: so only files and directories that nobody but this user can write
// are read, and every step works on descriptors of what was checked, never again by path.
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_SIZE = 52, NAME_SIZE = 64 + sizeof(".clbin") };

static const unsigned char magic[8] = {'A', 'T', 'T', 'N', 'C', 'L', 'B', '\n'};

/// No driver's binary of these kernels comes near it; a longer file is not one of ours. Nor is a longer text.
static const size_t largest_payload = (size_t)256 << 20;
static const size_t largest_text = (size_t)1 << 20;

// MARK: Where

size_t attention_cache_path(const char *setting, const char *xdg, const char *home, char *buffer, size_t size) {
  if (size == 0) return 0;
  int length = 0;
  if (setting != NULL && strcmp(setting, "off") == 0) {
    length = 0;
  } else if (xdg != NULL && xdg[0] == '/') {
    length = snprintf(buffer, size, "%s/swift-attention", xdg);
  } else if (home != NULL && home[0] == '/') {
    length = snprintf(buffer, size, "%s/.cache/swift-attention", home);
  }
  if (length <= 0 || (size_t)length >= size) {
    buffer[0] = '\0';
    return 0;
  }
  return (size_t)length;
}

size_t attention_cache_directory(char *buffer, size_t size) {
  return attention_cache_path(getenv("ATTENTION_CACHE"), getenv("XDG_CACHE_HOME"), getenv("HOME"), buffer, size);
}

// MARK: Directory

/// Makes a directory and those above it. What fails here shows when the directory is opened.
static void make_directories(char *path) {
  for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir(path, 0700);
    *slash = '/';
  }
  (void)mkdir(path, 0700);
}

bool attention_cache_is_own(const struct stat *facts) {
  return facts->st_uid == geteuid() && (facts->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

int attention_cache_open_directory(const char *directory, bool create) {
  char path[PATH_MAX];
  size_t length = strlen(directory);
  if (length == 0 || length >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(path, directory, length + 1);
  // With a slash at its end a link would be followed in spite of O_NOFOLLOW.
  while (length > 1 && path[length - 1] == '/') path[--length] = '\0';
  if (create) make_directories(path);

  int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return -1;
  struct stat facts;
  if (fstat(descriptor, &facts) != 0 || !S_ISDIR(facts.st_mode) || !attention_cache_is_own(&facts)) {
    close(descriptor);
    errno = EACCES;
    return -1;
  }
  return descriptor;
}

/// A descriptor of a file to be read, or -1; errno is ENOENT where there is none.
static int open_file(const char *directory, const char *name) {
  int parent = attention_cache_open_directory(directory, false);
  if (parent < 0) return -1;
  // O_NONBLOCK: opening a pipe that somebody put there must not hang.
  int descriptor = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  int error = errno;
  close(parent);
  errno = error;
  return descriptor;
}

static void file_name(const unsigned char key[32], char name[NAME_SIZE]) {
  for (int i = 0; i < 32; i++) snprintf(name + 2 * i, 3, "%02x", key[i]);
  memcpy(name + 64, ".clbin", sizeof ".clbin");
}

// MARK: Bytes

static void put_little_endian(unsigned char *bytes, uint64_t value, int count) {
  for (int i = 0; i < count; i++) bytes[i] = (unsigned char)(value >> (8 * i));
}

static void make_header(unsigned char header[HEADER_SIZE], const unsigned char *payload, size_t length) {
  memcpy(header, magic, sizeof magic);
  put_little_endian(header + 8, ATTENTION_CACHE_VERSION, 4);
  put_little_endian(header + 12, length, 8);
  attention_sha256(payload, length, header + 20);
}

static bool read_all(int descriptor, unsigned char *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = read(descriptor, bytes, length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes += count, length -= (size_t)count;
  }
  return true;
}

static bool write_all(int descriptor, const unsigned char *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = write(descriptor, bytes, length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes += count, length -= (size_t)count;
  }
  return true;
}

// MARK: Reading

/// The payload of an open file, or NULL if anything about the file is off.
static unsigned char *read_payload(int descriptor, size_t *length) {
  struct stat facts;
  if (fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode) || !attention_cache_is_own(&facts)) return NULL;
  if (facts.st_size <= HEADER_SIZE || (uintmax_t)facts.st_size - HEADER_SIZE > largest_payload) return NULL;

  size_t payload_length = (size_t)facts.st_size - HEADER_SIZE;
  unsigned char found[HEADER_SIZE], expected[HEADER_SIZE];
  unsigned char *payload = malloc(payload_length);
  if (payload == NULL) return NULL;
  if (read_all(descriptor, found, sizeof found) && read_all(descriptor, payload, payload_length)) {
    // The header holds nothing that does not follow from the payload: compare it with the one that should be there.
    make_header(expected, payload, payload_length);
    if (memcmp(found, expected, sizeof found) == 0) {
      *length = payload_length;
      return payload;
    }
  }
  free(payload);
  return NULL;
}

unsigned char *attention_cache_read(const char *directory, const unsigned char key[32], size_t *length) {
  char name[NAME_SIZE];
  file_name(key, name);
  int descriptor = open_file(directory, name);
  if (descriptor < 0) return NULL;
  unsigned char *payload = read_payload(descriptor, length);
  // Now is when it was last of use: the trimming goes by that.
  if (payload != NULL) (void)futimens(descriptor, NULL);
  close(descriptor);
  return payload;
}

unsigned char *attention_cache_read_text(const char *directory, const char *name, size_t *length,
                                         const char **reason) {
  *reason = NULL;
  *length = 0;
  int descriptor = open_file(directory, name);
  if (descriptor < 0) {
    if (errno != ENOENT) *reason = "it cannot be opened, or others may write its folder";
    return NULL;
  }
  struct stat facts;
  unsigned char *text = NULL;
  if (fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    *reason = "it is no regular file";
  } else if (!attention_cache_is_own(&facts)) {
    *reason = "others may write it";
  } else if ((uintmax_t)facts.st_size > largest_text) {
    *reason = "it is longer than 1 MiB";
  } else {
    // (One byte more: an empty text is a text.)
    text = malloc((size_t)facts.st_size + 1);
    if (text != NULL && read_all(descriptor, text, (size_t)facts.st_size)) {
      *length = (size_t)facts.st_size;
    } else {
      free(text);
      text = NULL;
      *reason = "it cannot be read";
    }
  }
  close(descriptor);
  return text;
}

void attention_cache_text_free(unsigned char *text) { free(text); }

// MARK: Writing

/// A new file in the directory under a name nobody else uses, or -1. As mkstemp, but below an open directory.
static int create_temporary(int parent, char *name, size_t size) {
  static atomic_uint counter;
  for (int attempt = 0; attempt < 100; attempt++) {
    snprintf(name, size, ".%ld-%u.tmp", (long)getpid(), atomic_fetch_add(&counter, 1));
    int descriptor = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor >= 0 || errno != EEXIST) return descriptor;
  }
  return -1;
}

/// Makes the file `name` of a header and a payload: whole under its name, or not at all.
static bool write_file(const char *directory, const char *name, const unsigned char *header, size_t header_size,
                       const unsigned char *payload, size_t length) {
  int parent = attention_cache_open_directory(directory, true);
  if (parent < 0) return false;
  char temporary[64];
  int descriptor = create_temporary(parent, temporary, sizeof temporary);
  if (descriptor < 0) {
    close(parent);
    return false;
  }
  bool written = write_all(descriptor, header, header_size) && write_all(descriptor, payload, length) &&
                 fsync(descriptor) == 0;
  // Some file systems only tell on close that the disk is full.
  written = close(descriptor) == 0 && written;
  written = written && renameat(parent, temporary, parent, name) == 0;
  if (!written) (void)unlinkat(parent, temporary, 0);
  close(parent);
  return written;
}

bool attention_cache_write(const char *directory, const unsigned char key[32], const unsigned char *payload,
                           size_t length) {
  if (length == 0 || length > largest_payload) return false;
  char name[NAME_SIZE];
  file_name(key, name);
  unsigned char header[HEADER_SIZE];
  make_header(header, payload, length);
  if (!write_file(directory, name, header, sizeof header, payload, length)) return false;
  attention_cache_trim(directory, ATTENTION_CACHE_MOST);
  return true;
}

bool attention_cache_write_text(const char *directory, const char *name, const unsigned char *text, size_t length) {
  return length <= largest_text && write_file(directory, name, NULL, 0, text, length);
}
