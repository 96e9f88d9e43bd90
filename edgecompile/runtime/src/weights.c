/* weights.c: weights from memory, from a mapped file, or from the library; always checked by size and SHA-256. */
#include "weights.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "sha256.h"

/* The pages are shared between processes and come back from the file under memory pressure. */
static ec_status map_file(const ec_network *network, const char *path, ec_internal_weights *weights) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return ec_internal_fail(EC_WEIGHTS_MISSING, "network '%s' needs its weights, but '%s' cannot be opened: %s",
                            network->name, path, strerror(errno));
  }
  struct stat facts;
  if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    close(file);
    return ec_internal_fail(EC_WEIGHTS_MISSING, "network '%s' needs its weights, but '%s' is not a regular file",
                            network->name, path);
  }
  if ((uint64_t)facts.st_size != network->weights_bytes) {
    close(file);
    return ec_internal_fail(EC_WEIGHTS_CORRUPT,
                            "network '%s' needs %zu bytes of weights, but '%s' has %llu: use the file of this build",
                            network->name, network->weights_bytes, path, (unsigned long long)facts.st_size);
  }
  void *data = mmap(NULL, network->weights_bytes, PROT_READ, MAP_PRIVATE, file, 0);
  const int reason = errno;
  close(file);
  if (data == MAP_FAILED) {
    return ec_internal_fail(EC_OUT_OF_MEMORY, "network '%s': cannot map %zu bytes of weights from '%s': %s",
                            network->name, network->weights_bytes, path, strerror(reason));
  }
  weights->data = data;
  weights->mapped_bytes = network->weights_bytes;
  return EC_OK;
}

static ec_status take_memory(const ec_network *network, const ec_options *options, ec_internal_weights *weights) {
  if (options->weights_bytes != network->weights_bytes) {
    return ec_internal_fail(EC_WEIGHTS_CORRUPT, "network '%s' needs %zu bytes of weights, but options.weights has %zu",
                            network->name, network->weights_bytes, options->weights_bytes);
  }
  if ((uintptr_t)options->weights % EC_ALIGNMENT != 0) {
    return ec_internal_fail(EC_INVALID_ARGUMENT, "network '%s' needs options.weights aligned to %u bytes, found %p",
                            network->name, EC_ALIGNMENT, options->weights);
  }
  weights->data = options->weights;
  return EC_OK;
}

static ec_status find(const ec_network *network, const ec_options *options, ec_internal_weights *weights) {
  if (options->weights != NULL && options->weights_path != NULL) {
    return ec_internal_fail(EC_INVALID_ARGUMENT, "network '%s': give options.weights or options.weights_path, not both",
                            network->name);
  }
  if (options->weights != NULL) return take_memory(network, options, weights);
  if (options->weights_path != NULL) return map_file(network, options->weights_path, weights);
  if (network->embedded_weights != NULL) {
    weights->data = network->embedded_weights;
    return EC_OK;
  }
  return ec_internal_fail(EC_WEIGHTS_MISSING, "network '%s' has no embedded weights: set options.weights_path",
                          network->name);
}

ec_status ec_internal_weights_open(const ec_network *network, const ec_options *options, ec_internal_weights *weights) {
  *weights = (ec_internal_weights){NULL, 0};
  if (network->weights_bytes == 0) return EC_OK;
  const ec_status status = find(network, options, weights);
  if (status != EC_OK) return status;
  uint8_t digest[32];
  ec_internal_sha256(weights->data, network->weights_bytes, digest);
  if (memcmp(digest, network->weights_sha256, sizeof digest) == 0) return EC_OK;
  ec_internal_weights_close(weights);
  return ec_internal_fail(EC_WEIGHTS_CORRUPT,
                          "network '%s': the SHA-256 of the weights%s%s differs from that of this build", network->name,
                          options->weights_path != NULL ? " in " : "",
                          options->weights_path != NULL ? options->weights_path : "");
}

void ec_internal_weights_close(ec_internal_weights *weights) {
  if (weights->mapped_bytes > 0) munmap((void *)(uintptr_t)weights->data, weights->mapped_bytes);
  *weights = (ec_internal_weights){NULL, 0};
}
