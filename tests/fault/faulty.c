/* Preloaded into a program: the Nth write, sync, cut or read of a chosen file fails, and the wall clock stands where a file says.
   FAULT_FILE  part of the path of files that may fail          FAULT_CALL  write, sync, cut, read
   FAULT_N     which call fails, from 1                         FAULT_ERRNO number; FAULT_LASTS=1: all after it too
   FAULT_HALF  1: a failing write leaves its first half         FAULT_COUNT file to which the number of calls is written
   FAULT_CLOCK file that holds seconds to add to the wall clock                                                             */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long seen;
static int inside;
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int chosen(int fd) {
  const char *wanted = getenv("FAULT_FILE");
  char link[64], path[4096];
  if (!wanted) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return strstr(path, wanted) != NULL;
}

static int fails(const char *call, int fd) {
  const char *wanted = getenv("FAULT_CALL"), *count = getenv("FAULT_COUNT"), *n = getenv("FAULT_N");
  if (inside || !wanted || strcmp(wanted, call) || !chosen(fd)) return 0;
  long now = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
  if (count) {
    inside = 1;
    FILE *out = fopen(count, "w");
    if (out) { fprintf(out, "%ld", now); fclose(out); }
    inside = 0;
  }
  if (!n || (now != atol(n) && !(now > atol(n) && getenv("FAULT_LASTS")))) return 0;
  errno = atoi(getenv("FAULT_ERRNO"));
  return 1;
}

#define WRITE(name, off)                                                                   \
  ssize_t name(int fd, const void *data, size_t size, off at) {                            \
    if (fails("write", fd)) {                                                              \
      int why = errno;                                                                     \
      if (getenv("FAULT_HALF")) (void)!REAL(name)(fd, data, size / 2, at);                 \
      errno = why;                                                                         \
      return -1;                                                                           \
    }                                                                                      \
    return REAL(name)(fd, data, size, at);                                                 \
  }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)
ssize_t write(int fd, const void *data, size_t size) { return fails("write", fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t pread(int fd, void *data, size_t size, off_t at) { return fails("read", fd) ? -1 : REAL(pread)(fd, data, size, at); }
ssize_t pread64(int fd, void *data, size_t size, off64_t at) { return fails("read", fd) ? -1 : REAL(pread64)(fd, data, size, at); }
int fsync(int fd) { return fails("sync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails("sync", fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { return fails("cut", fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails("cut", fd) ? -1 : REAL(ftruncate64)(fd, size); }

static double jump(void) {
  const char *path = getenv("FAULT_CLOCK");
  char text[64] = "";
  if (!path) return 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  return size > 0 ? atof(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int code = REAL(clock_gettime)(clock, now);
  if (clock == CLOCK_REALTIME && code == 0) now->tv_sec += (time_t)jump();
  return code;
}
int gettimeofday(struct timeval *now, void *zone) {
  int code = REAL(gettimeofday)(now, zone);
  if (code == 0) now->tv_sec += (time_t)jump();
  return code;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
