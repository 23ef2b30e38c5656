// Stands before OpenCL's functions that make and free buffers, and has the memory of each end where no more may be touched:
//
//   ┌──────────────┬────────┬────────────────────────┬─────────┬──────────────┐
//   │ no access    │ marked │ the buffer, all NaN    │ marked  │ no access    │
//   └──────────────┴────────┴────────────────────────┴─────────┴──────────────┘
//                  page     multiple of 128                    page
//
// Kernels on a processor then stop at the first access past it, marks that are gone when it is freed are told on standard error,
// and what was read before it was written shows as NaN. Unlike a simulator this sees the code that the device's compiler made.
// Meant for LD_PRELOAD; `Scripts/check-buffers` compiles and uses it.
#define _GNU_SOURCE
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, ALIGNMENT = 128, MOST_BUFFERS = 1 << 16, MARK = 0xA5, UNWRITTEN = 0xFF };

typedef struct {
  cl_mem buffer;  // null: this place is free
  unsigned char *pages, *start;
  size_t page_bytes, bytes;
} Guarded;

static Guarded guarded[MOST_BUFFERS];
static size_t made, overrun;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t rounded_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Memory for so many bytes; its start is null where there is none.
static Guarded make_memory(size_t bytes) {
  const size_t padded = rounded_up(bytes, ALIGNMENT), inner = rounded_up(padded, PAGE);
  Guarded g = {.page_bytes = inner + 2 * PAGE, .bytes = bytes};
  g.pages = mmap(NULL, g.page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g.pages == MAP_FAILED) return g;
  mprotect(g.pages, PAGE, PROT_NONE);
  mprotect(g.pages + PAGE + inner, PAGE, PROT_NONE);
  memset(g.pages + PAGE, MARK, inner);
  g.start = g.pages + PAGE + inner - padded;
  memset(g.start, UNWRITTEN, bytes);
  return g;
}

static bool is_marked(const unsigned char *from, const unsigned char *to) {
  while (from < to)
    if (*from++ != MARK) return false;
  return true;
}

// Puts it into the list; false where that is full.
static bool keep(Guarded g) {
  bool kept = false;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < MOST_BUFFERS && !kept; i++) {
    if (guarded[i].buffer) continue;
    guarded[i] = g;
    kept = true;
    made++;
  }
  pthread_mutex_unlock(&lock);
  return kept;
}

// Takes it out of the list.
static bool take(cl_mem buffer, Guarded *found) {
  bool is_there = false;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < MOST_BUFFERS && !is_there; i++) {
    if (guarded[i].buffer != buffer) continue;
    *found = guarded[i];
    guarded[i].buffer = NULL;
    is_there = true;
  }
  pthread_mutex_unlock(&lock);
  return is_there;
}

cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t bytes, void *host, cl_int *status) {
  cl_mem (*create)(cl_context, cl_mem_flags, size_t, void *, cl_int *) = dlsym(RTLD_NEXT, "clCreateBuffer");
  if (flags & CL_MEM_USE_HOST_PTR) return create(context, flags, bytes, host, status);
  Guarded g = make_memory(bytes);
  if (!g.start) return create(context, flags, bytes, host, status);
  if (flags & CL_MEM_COPY_HOST_PTR) memcpy(g.start, host, bytes);
  flags &= ~(cl_mem_flags)(CL_MEM_COPY_HOST_PTR | CL_MEM_ALLOC_HOST_PTR);
  g.buffer = create(context, flags | CL_MEM_USE_HOST_PTR, bytes, g.start, status);
  if (!g.buffer) munmap(g.pages, g.page_bytes);
  else if (!keep(g)) fprintf(stderr, "guard: more than %d buffers: one is not looked at\n", MOST_BUFFERS);
  return g.buffer;
}

cl_int clReleaseMemObject(cl_mem buffer) {
  cl_int (*release)(cl_mem) = dlsym(RTLD_NEXT, "clReleaseMemObject");
  cl_uint references = 0;
  clGetMemObjectInfo(buffer, CL_MEM_REFERENCE_COUNT, sizeof references, &references, NULL);
  Guarded g;
  const bool ends = references == 1 && take(buffer, &g);
  const cl_int status = release(buffer);
  if (!ends) return status;
  if (!is_marked(g.pages + PAGE, g.start) || !is_marked(g.start + g.bytes, g.start + rounded_up(g.bytes, ALIGNMENT))) {
    overrun++;
    fprintf(stderr, "guard: written beside a buffer of %zu bytes\n", g.bytes);
  }
  munmap(g.pages, g.page_bytes);
  return status;
}

__attribute__((destructor)) static void tell(void) {
  if (made) fprintf(stderr, "\nguard: %zu buffers, %zu overrun\n", made, overrun);
}
