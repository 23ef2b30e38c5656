// Keeps the cache of built programs from growing for ever: drivers, versions and tiles come and go, and what was built for
// them stays.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/// A built program is written in a moment; a temporary file of that age has lost its writer.
enum { ABANDONED_SECONDS = 24 * 60 * 60 };

typedef struct {
  char name[80];
  uint64_t size;
  struct timespec used;
} entry;

typedef struct {
  entry *entries;
  size_t count, capacity;
  uint64_t size;
} listing;

static bool ends_with(const char *name, const char *end) {
  const size_t length = strlen(name), end_length = strlen(end);
  return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

static int by_use(const void *left, const void *right) {
  const entry *a = left, *b = right;
  if (a->used.tv_sec != b->used.tv_sec) return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
  if (a->used.tv_nsec != b->used.tv_nsec) return a->used.tv_nsec < b->used.tv_nsec ? -1 : 1;
  return strcmp(a->name, b->name);
}

/// Adds a program to the list; false without memory.
static bool add(listing *list, const char *name, const struct stat *facts) {
  if (list->count == list->capacity) {
    const size_t capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
    entry *larger = realloc(list->entries, capacity * sizeof *larger);
    if (larger == NULL) return false;
    list->entries = larger;
    list->capacity = capacity;
  }
  entry *e = &list->entries[list->count++];
  strcpy(e->name, name);  // its length was checked
  e->size = (uint64_t)facts->st_size;
  e->used = facts->st_mtim;
  list->size += e->size;
  return true;
}

/// The programs in a directory. Links and files of others are none; abandoned temporary files are removed on the way.
static listing programs_in(DIR *folder, int descriptor) {
  listing list = {0};
  const time_t now = time(NULL);
  for (struct dirent *item; (item = readdir(folder)) != NULL;) {
    const bool is_program = ends_with(item->d_name, ".clbin");
    const bool is_temporary = item->d_name[0] == '.' && ends_with(item->d_name, ".tmp");
    if ((!is_program && !is_temporary) || strlen(item->d_name) >= sizeof list.entries->name) continue;
    struct stat facts;
    if (fstatat(descriptor, item->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(facts.st_mode) ||
        !attention_cache_is_own(&facts))
      continue;
    if (is_temporary) {
      if (now - facts.st_mtim.tv_sec > ABANDONED_SECONDS) (void)unlinkat(descriptor, item->d_name, 0);
    } else if (!add(&list, item->d_name, &facts)) {
      break;
    }
  }
  return list;
}

void attention_cache_trim(const char *directory, uint64_t most) {
  const int descriptor = attention_cache_open_directory(directory, false);
  if (descriptor < 0) return;
  DIR *folder = fdopendir(descriptor);
  if (folder == NULL) {
    close(descriptor);
    return;
  }
  listing list = programs_in(folder, descriptor);
  if (list.size > most) {
    qsort(list.entries, list.count, sizeof *list.entries, by_use);
    for (size_t i = 0; i < list.count && list.size > most; i++) {
      // What another process removed meanwhile is gone as well.
      (void)unlinkat(descriptor, list.entries[i].name, 0);
      list.size -= list.entries[i].size;
    }
  }
  free(list.entries);
  (void)closedir(folder);  // and the descriptor
}
