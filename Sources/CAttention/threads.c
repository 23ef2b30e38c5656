// The threads that run tasks.
//
// One job at a time. Its state is one number, so that a thread joins and a job ends without a lock:
//
//   bits 63 … 17  the job's number     bits 16 … 1  threads at work on it, its owner aside     bit 0  open: may be joined
//
// A worker that finds a new job open adds itself, takes tasks until there are none, and takes itself away. The owner does
// the same without being counted, closes the job, and waits until no worker is left in it. So the job's fields are read only
// while it is counted, or by its owner. Workers look for a job for a short while after the last one, then sleep.
#include "internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_THREADS = 1024, OPEN = 1, WORKER = 2, JOB = 1 << 17, LOOKS = 2000 };

static struct {
  pthread_mutex_t owner;  // held while a job runs
  attention_task body;
  void *context;
  size_t count;
  size_t limit;  // threads that may take part, the owner among them
  _Atomic uint64_t state;

  pthread_mutex_t sleep;  // that of both conditions
  pthread_cond_t wake;    // a job has begun
  pthread_cond_t done;    // the last worker has left a closed job
  atomic_int sleepers;
  size_t workers;  // threads that have been made; of the owner
} pool = {
    .owner = PTHREAD_MUTEX_INITIALIZER,
    .sleep = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static uint64_t job_of(uint64_t state) { return state / JOB; }
static uint64_t workers_in(uint64_t state) { return state % JOB / WORKER; }

// The tasks are divided into one span a worker, in order. A worker takes those of its own span first, then what others have
// left. Neighbouring tasks share keys; and what a worker packed in one job is in its own cache when the next job needs it.
static struct {
  _Alignas(64) atomic_size_t next;
} spans[MOST_THREADS];

// The first task of a span: count · span / limit without overflow.
static size_t span_begin(size_t span) {
  return pool.count / pool.limit * span + pool.count % pool.limit * span / pool.limit;
}

static void take_tasks(size_t worker) {
  const attention_task body = pool.body;
  void *const context = pool.context;
  const size_t limit = pool.limit;
  for (size_t n = 0; n < limit; n++) {
    const size_t span = (worker + n) % limit, end = span_begin(span + 1);
    for (;;) {
      const size_t task = atomic_fetch_add_explicit(&spans[span].next, 1, memory_order_relaxed);
      if (task >= end) break;
      body(context, task, worker);
    }
  }
}

// Joins an open job that is not the one `seen`; false where there is none.
static bool join(uint64_t *seen) {
  uint64_t state = atomic_load(&pool.state);
  while ((state & OPEN) && job_of(state) != *seen) {
    if (!atomic_compare_exchange_weak_explicit(&pool.state, &state, state + WORKER, memory_order_acquire,
                                               memory_order_acquire))
      continue;
    *seen = job_of(state);
    return true;
  }
  return false;
}

static void leave(void) {
  const uint64_t before = atomic_fetch_sub_explicit(&pool.state, WORKER, memory_order_acq_rel);
  if ((before & OPEN) || workers_in(before) > 1) return;
  // The owner may be asleep.
  pthread_mutex_lock(&pool.sleep);
  pthread_cond_signal(&pool.done);
  pthread_mutex_unlock(&pool.sleep);
}

static void *work(void *number) {
  const size_t worker = (size_t)number;
  uint64_t seen = 0;
  for (;;) {
    bool joined = false;
    for (int look = 0; look < LOOKS && !(joined = join(&seen)); look++) relax();
    if (!joined) {
      pthread_mutex_lock(&pool.sleep);
      // Counted before the last look: a job that begins after it finds a sleeper.
      atomic_fetch_add(&pool.sleepers, 1);
      while (!(joined = join(&seen))) pthread_cond_wait(&pool.wake, &pool.sleep);
      atomic_fetch_sub(&pool.sleepers, 1);
      pthread_mutex_unlock(&pool.sleep);
    }
    if (worker < pool.limit) take_tasks(worker);
    leave();
  }
  return NULL;
}

// Makes workers 1 … count − 1 as far as they are missing; there may come fewer.
static void make_workers(size_t count) {
  pthread_attr_t attributes;
  if (pool.workers + 1 >= count || pthread_attr_init(&attributes) != 0) return;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  while (pool.workers + 1 < count) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, work, (void *)(pool.workers + 1)) != 0) break;
    pool.workers++;
  }
  pthread_attr_destroy(&attributes);
}

void attention_parallel(size_t threads, size_t count, attention_task body, void *context) {
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  if (threads > count) threads = count;
  // Whoever finds the pool taken works alone: the result is the same, and nobody waits.
  if (threads < 2 || pthread_mutex_trylock(&pool.owner) != 0) {
    for (size_t task = 0; task < count; task++) body(context, task, 0);
    return;
  }
  make_workers(threads);
  pool.body = body;
  pool.context = context;
  pool.count = count;
  pool.limit = threads;
  for (size_t span = 0; span < threads; span++)
    atomic_store_explicit(&spans[span].next, span_begin(span), memory_order_relaxed);
  const uint64_t job = job_of(atomic_load_explicit(&pool.state, memory_order_relaxed)) + 1;
  atomic_store(&pool.state, job * JOB + OPEN);
  if (atomic_load(&pool.sleepers) > 0) {
    pthread_mutex_lock(&pool.sleep);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.sleep);
  }

  take_tasks(0);

  uint64_t state = atomic_fetch_and_explicit(&pool.state, ~(uint64_t)OPEN, memory_order_acq_rel);
  for (int look = 0; look < LOOKS && workers_in(state) > 0; look++) {
    relax();
    state = atomic_load_explicit(&pool.state, memory_order_acquire);
  }
  if (workers_in(state) > 0) {
    pthread_mutex_lock(&pool.sleep);
    while (workers_in(atomic_load_explicit(&pool.state, memory_order_acquire)) > 0)
      pthread_cond_wait(&pool.done, &pool.sleep);
    pthread_mutex_unlock(&pool.sleep);
  }
  pthread_mutex_unlock(&pool.owner);
}

#if defined(__linux__)
// The processors of a control group's own quota, rounded up; SIZE_MAX where it has none.
static size_t quota_of(const char *group) {
  char path[4200];
  snprintf(path, sizeof path, "%s/cpu.max", group);
  FILE *file = fopen(path, "re");
  if (file == NULL) return SIZE_MAX;
  unsigned long long microseconds = 0, period = 0;
  const int found = fscanf(file, "%llu %llu", &microseconds, &period);
  fclose(file);
  if (found != 2 || period == 0 || microseconds == 0) return SIZE_MAX;
  return (size_t)(microseconds / period + (microseconds % period != 0));
}
#endif

// The least quota of this process's control group and of those that it lies in (version 2); SIZE_MAX where there is none.
static size_t quota(void) {
  size_t least = SIZE_MAX;
#if defined(__linux__)
  char group[4096] = "/sys/fs/cgroup";
  const size_t root = strlen(group);
  FILE *groups = fopen("/proc/self/cgroup", "re");
  if (groups != NULL) {
    char line[sizeof group - 64];
    while (fgets(line, sizeof line, groups) != NULL)
      if (strncmp(line, "0::/", 4) == 0) {
        line[strcspn(line, "\n")] = '\0';
        snprintf(group + root, sizeof group - root, "%s", line + 3);
      }
    fclose(groups);
  }
  for (;;) {
    const size_t own = quota_of(group);
    if (own < least) least = own;
    char *end = strrchr(group + root, '/');
    if (end == NULL) break;
    *end = '\0';
  }
#endif
  return least;
}

size_t attention_available_processors(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
  const size_t processors = count > 0 ? (size_t)count : 1, allowed = quota();
  return processors < allowed ? processors : allowed;
}
