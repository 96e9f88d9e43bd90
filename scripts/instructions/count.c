/* count.c: a QEMU user-mode plugin that counts executed guest instructions by the code that executed them.
 *
 * Build: cc -O2 -shared -fPIC count.c -o count.so
 * Use:   qemu-aarch64 -plugin ./count.so,out=counts.txt program
 *
 * At the program's end it writes one line per run of instructions without a branch, `INSTRUCTIONS OFFSET FILE`: how many
 * instructions it executed in all, and where it begins in the file that holds it (0 and `-` for code in no file).
 * Exact for programs of one thread. Debian's qemu-user ships no qemu-plugin.h, so the declarations of version 1 of the
 * plugin interface that are used stand here; QEMU 4.2 to 8.1 accept it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *ptr, uint64_t imm);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);

EXPORT int qemu_plugin_version = 1;

/* A translated run of instructions; one that QEMU translates again gets a second entry. */
typedef struct run {
  struct run *next;
  uintptr_t address; /* in QEMU's own memory, as /proc/self/maps lists it */
  uint64_t executed;
} run;

typedef struct mapping {
  uintptr_t start, end;
  uint64_t offset;
  char file[4096];
} mapping;

static run *runs;
static char out_path[4096];

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  run *entry = calloc(1, sizeof *entry);
  if (entry == NULL) abort();
  entry->address = (uintptr_t)qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(block, 0));
  entry->next = runs;
  runs = entry;
  qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &entry->executed,
                                           qemu_plugin_tb_n_insns(block));
}

/* The mappings of files, at most `most` of them. */
static size_t read_mappings(mapping *found, size_t most) {
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) return 0;
  char line[5000];
  size_t count = 0;
  while (count < most && fgets(line, sizeof line, maps) != NULL) {
    mapping *one = &found[count];
    const int fields = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %*s %*s %4095[^\n]", &one->start,
                              &one->end, &one->offset, one->file);
    if (fields == 4 && one->file[0] == '/') count++;
  }
  fclose(maps);
  return count;
}

static void on_exit_write(qemu_plugin_id_t id, void *unused) {
  (void)id, (void)unused;
  enum { MOST = 4096 };
  mapping *mappings = calloc(MOST, sizeof *mappings);
  FILE *out = fopen(out_path, "w");
  if (out == NULL || mappings == NULL) {
    fprintf(stderr, "count: cannot write '%s'\n", out_path);
    return;
  }
  const size_t count = read_mappings(mappings, MOST);
  for (const run *entry = runs; entry != NULL; entry = entry->next) {
    if (entry->executed == 0) continue;
    const mapping *holder = NULL;
    for (size_t i = 0; i < count && holder == NULL; i++) {
      if (entry->address >= mappings[i].start && entry->address < mappings[i].end) holder = &mappings[i];
    }
    const uint64_t offset = holder != NULL ? entry->address - holder->start + holder->offset : 0;
    fprintf(out, "%" PRIu64 " %" PRIu64 " %s\n", entry->executed, offset, holder != NULL ? holder->file : "-");
  }
  fclose(out);
  free(mappings);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  (void)info;
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], "out=", 4) == 0) snprintf(out_path, sizeof out_path, "%s", argv[i] + 4);
  }
  if (out_path[0] == '\0') {
    fprintf(stderr, "count: needs out=FILE\n");
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
  qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
  return 0;
}
