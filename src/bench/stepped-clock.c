/*
 * A wall clock that can be stepped for the processes of one container, while the machine's own goes on: preloaded into them, it adds the
 * nanoseconds that a shared file holds to every answer about the wall clock. The monotonic clocks are as they were, as when somebody sets
 * the time of a machine.
 *
 * Built by own-clocks.ts: cc -shared -fPIC -O2 -o stepped-clock.so stepped-clock.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const int64_t none = 0;
static const volatile int64_t *offset = &none;

/* Anything that is asked before it has run is told the machine's own time. */
__attribute__((constructor)) static void attach(void) {
  const char *named = getenv("STEPPED_CLOCK");
  int file = open(named != NULL ? named : "/clock/offset", O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) offset = page;
  close(file);
}

static void add(struct timespec *at, int64_t nanoseconds) {
  int64_t sum = (int64_t)at->tv_sec * SECOND + at->tv_nsec + nanoseconds;
  at->tv_sec = sum / SECOND;
  at->tv_nsec = sum % SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  /* No dlsym: it allocates, and allocators ask for the time. */
  int failed = (int)syscall(SYS_clock_gettime, clock, at);
  if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) add(at, *offset);
  return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0) return (time_t)-1;
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec *at, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, at) == 0 ? base : 0;
}

/* Deadlines on the wall clock are given in the stepped one; the kernel counts in its own. */
static struct timespec kernels(const struct timespec *deadline) {
  struct timespec at = *deadline;
  add(&at, -*offset);
  return at;
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline) {
  int (*real)(sem_t *, const struct timespec *) = dlsym(RTLD_NEXT, "sem_timedwait");
  struct timespec at = kernels(deadline);
  return real(semaphore, &at);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline) {
  int (*real)(pthread_mutex_t *, const struct timespec *) = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
  struct timespec at = kernels(deadline);
  return real(mutex, &at);
}
