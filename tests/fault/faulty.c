/* Preloaded into a program: the Nth write, sync, cut or read of a chosen file fails, and the wall clock stands where a file says.
   FAULT_FILE  part of the path of files that may fail          FAULT_CALL  write, sync, cut, read
   FAULT_N     which call fails, from 1                         FAULT_ERRNO number; FAULT_LASTS=1: all after it too
   FAULT_HALF  1: a failing write leaves its first half         FAULT_COUNT file to which the number of calls is written
   FAULT_DIE   KIND:N, the program alone (none of its children) is killed as it begins its Nth call of this kind
   FAULT_TALLY file of one long a kind, to which its calls are counted
   FAULT_CLOCK file that holds seconds to add to the wall clock                                                             */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long seen;
static int inside;
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The order of these is that of the tally's longs. */
static const char *kinds[] = {"write", "sync", "cut", "rename", "remove", "mkdir", "create", "connect", "send", "lock"};
enum { WRITES, SYNCS, CUTS, RENAMES, REMOVES, MKDIRS, CREATES, CONNECTS, SENDS, LOCKS, KINDS };
static long die_at, *tally;
static int die_kind = -1;
static pid_t program;

__attribute__((constructor)) static void begin(void) {
  const char *die = getenv("FAULT_DIE"), *count = getenv("FAULT_TALLY");
  if (!die && !count) return;
  program = getpid();
  for (int kind = 0; die && kind < KINDS; kind++) {
    size_t size = strlen(kinds[kind]);
    if (!strncmp(die, kinds[kind], size) && die[size] == ':') { die_kind = kind; die_at = atol(die + size + 1); }
  }
  int fd = count ? open(count, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (fd >= 0 && !ftruncate(fd, 4096)) tally = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  unsetenv("LD_PRELOAD"); unsetenv("FAULT_DIE"); unsetenv("FAULT_TALLY");
}

static void passes(int kind) {
  static long calls[KINDS];
  if (!program || getpid() != program) return;
  long now = __atomic_add_fetch(&calls[kind], 1, __ATOMIC_SEQ_CST);
  if (tally) tally[kind] = now;
  if (kind == die_kind && now == die_at) kill(program, SIGKILL);
}

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
    passes(WRITES);                                                                        \
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
ssize_t write(int fd, const void *data, size_t size) { passes(WRITES); return fails("write", fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t pread(int fd, void *data, size_t size, off_t at) { return fails("read", fd) ? -1 : REAL(pread)(fd, data, size, at); }
ssize_t pread64(int fd, void *data, size_t size, off64_t at) { return fails("read", fd) ? -1 : REAL(pread64)(fd, data, size, at); }
int fsync(int fd) { passes(SYNCS); return fails("sync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { passes(SYNCS); return fails("sync", fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { passes(CUTS); return fails("cut", fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { passes(CUTS); return fails("cut", fd) ? -1 : REAL(ftruncate64)(fd, size); }

int rename(const char *from, const char *to) { passes(RENAMES); return REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) { passes(RENAMES); return REAL(renameat)(a, from, b, to); }
int unlink(const char *path) { passes(REMOVES); return REAL(unlink)(path); }
int unlinkat(int at, const char *path, int flags) { passes(REMOVES); return REAL(unlinkat)(at, path, flags); }
int rmdir(const char *path) { passes(REMOVES); return REAL(rmdir)(path); }
int mkdir(const char *path, mode_t mode) { passes(MKDIRS); return REAL(mkdir)(path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { passes(MKDIRS); return REAL(mkdirat)(at, path, mode); }
int connect(int fd, const struct sockaddr *to, socklen_t size) { passes(CONNECTS); return REAL(connect)(fd, to, size); }
ssize_t send(int fd, const void *data, size_t size, int flags) { passes(SENDS); return REAL(send)(fd, data, size, flags); }
ssize_t sendmsg(int fd, const struct msghdr *told, int flags) { passes(SENDS); return REAL(sendmsg)(fd, told, flags); }
int flock(int fd, int how) { passes(LOCKS); return REAL(flock)(fd, how); }
#define OPEN(name)                                                                         \
  int name(const char *path, int flags, ...) {                                             \
    va_list more;                                                                          \
    va_start(more, flags);                                                                 \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                \
    va_end(more);                                                                          \
    if (flags & O_CREAT) passes(CREATES);                                                  \
    return REAL(name)(path, flags, mode);                                                  \
  }
OPEN(open)
OPEN(open64)

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
