/* bionic.h: the part of Android's 64-bit C library that the runtime uses, for compilers that have no NDK.
 *
 * Only what is used is declared, with the sizes and numbers of the published ABI of 64-bit ARM Android, API 21 and newer
 * (the NDK's documentation and headers). The usual header names in this folder all lead here.
 */
#ifndef EC_BIONIC_H
#define EC_BIONIC_H

#if !defined(__ANDROID__) || !defined(__aarch64__)
#error "these declarations are those of 64-bit ARM Android"
#endif

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* errno.h */
int *__errno(void);
#define errno (*__errno())

/* string.h */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *memory, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
int strcmp(const char *a, const char *b);
char *strerror(int number);

/* stdlib.h, stdio.h */
void abort(void) __attribute__((noreturn));
void *calloc(size_t count, size_t bytes);
void free(void *memory);
int posix_memalign(void **memory, size_t alignment, size_t bytes);
int vsnprintf(char *restrict text, size_t bytes, const char *restrict format, va_list arguments);

/* sys/types.h, unistd.h */
typedef int32_t pid_t;
typedef int64_t off_t;
typedef int64_t ssize_t;
#define _SC_NPROCESSORS_ONLN 0x61
pid_t getpid(void);
long sysconf(int name);
int close(int file);

/* time.h */
struct timespec {
  int64_t tv_sec;
  long tv_nsec;
};
#define CLOCK_MONOTONIC 1
int clock_gettime(int clock, struct timespec *time);

/* fcntl.h: AArch64 Linux */
#define O_RDONLY 0
#define O_CLOEXEC 02000000
int open(const char *path, int flags, ...);

/* sys/mman.h */
#define PROT_READ 1
#define MAP_PRIVATE 2
#define MAP_FAILED ((void *)-1)
void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset);
int munmap(void *address, size_t bytes);

/* sys/stat.h: the kernel's own layout on AArch64 */
struct stat {
  uint64_t st_dev;
  uint64_t st_ino;
  uint32_t st_mode;
  uint32_t st_nlink;
  uint32_t st_uid;
  uint32_t st_gid;
  uint64_t st_rdev;
  uint64_t ec_padding_1;
  int64_t st_size;
  int32_t st_blksize;
  int32_t ec_padding_2;
  int64_t st_blocks;
  struct timespec ec_times[3];
  uint32_t ec_padding_3[2];
};
_Static_assert(sizeof(struct stat) == 128, "struct stat of AArch64 Linux");
#define S_ISREG(mode) (((mode) & 0170000) == 0100000)
int fstat(int file, struct stat *facts);

/* sys/auxv.h */
#define AT_HWCAP 16
#define AT_HWCAP2 26
unsigned long getauxval(unsigned long type);

/* signal.h */
typedef unsigned long sigset_t;
#define SIG_SETMASK 2
int sigfillset(sigset_t *set);

/* pthread.h */
typedef long pthread_t;
typedef struct pthread_attr_t {
  int64_t ec_opaque[7];
} pthread_attr_t;
typedef struct pthread_mutex_t {
  int32_t ec_opaque[10];
} pthread_mutex_t;
typedef struct pthread_cond_t {
  int32_t ec_opaque[12];
} pthread_cond_t;
typedef long pthread_mutexattr_t;
typedef long pthread_condattr_t;
typedef int pthread_once_t;
typedef int pthread_key_t;
#define PTHREAD_ONCE_INIT 0
int pthread_once(pthread_once_t *once, void (*function)(void));
int pthread_key_create(pthread_key_t *key, void (*release)(void *));
int pthread_key_delete(pthread_key_t key);
void *pthread_getspecific(pthread_key_t key);
int pthread_setspecific(pthread_key_t key, const void *value);
int pthread_attr_init(pthread_attr_t *attributes);
int pthread_attr_setstacksize(pthread_attr_t *attributes, size_t bytes);
int pthread_attr_destroy(pthread_attr_t *attributes);
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int pthread_join(pthread_t thread, void **result);
int pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int pthread_mutex_lock(pthread_mutex_t *mutex);
int pthread_mutex_unlock(pthread_mutex_t *mutex);
int pthread_mutex_destroy(pthread_mutex_t *mutex);
int pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int pthread_cond_signal(pthread_cond_t *condition);
int pthread_cond_destroy(pthread_cond_t *condition);

#endif
