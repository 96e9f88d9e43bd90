/* emutls.c: thread-local variables on Android before API level 29, whose loader knows none.
 *
 * The compiler then asks this function for the address of a variable in the calling thread. Each thread keeps a list of
 * its variables; the runtime has two, so a search is as good as an index. Archives leave this out: whoever links them has
 * the NDK's compiler library, which has the function too.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The layout is the compiler's: GCC and LLVM emit one for each variable. */
typedef struct variable {
  size_t bytes;
  size_t alignment;
  void *unused;
  const void *initial; /* NULL: zeros */
} variable;

typedef struct block {
  struct block *next;
  const variable *owner;
  _Alignas(16) unsigned char data[];
} block;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void release(void *first) {
  for (block *current = first, *next; current != NULL; current = next) {
    next = current->next;
    free(current);
  }
}

static void make_key(void) {
  if (pthread_key_create(&key, release) != 0) abort();
}

/* A thread that ends after dlclose must not call `release`, which is gone by then. */
__attribute__((destructor)) static void forget(void) {
  pthread_once(&once, make_key);
  release(pthread_getspecific(key));
  pthread_key_delete(key);
}

__attribute__((visibility("hidden"))) void *__emutls_get_address(const variable *wanted);

void *__emutls_get_address(const variable *wanted) {
  pthread_once(&once, make_key);
  block *first = pthread_getspecific(key);
  for (block *current = first; current != NULL; current = current->next) {
    if (current->owner == wanted) return current->data;
  }
  block *made = wanted->alignment <= 16 ? calloc(1, sizeof *made + wanted->bytes) : NULL;
  if (made == NULL) abort(); /* a variable has no way to report that it does not exist */
  made->owner = wanted;
  made->next = first;
  if (wanted->initial != NULL) memcpy(made->data, wanted->initial, wanted->bytes);
  if (pthread_setspecific(key, made) != 0) abort();
  return made->data;
}
