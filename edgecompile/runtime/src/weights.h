/* weights.h: finding the constants of a network and proving that they are the right ones. */
#ifndef EC_WEIGHTS_H
#define EC_WEIGHTS_H

#include "network.h"

typedef struct ec_internal_weights {
  const void *data;
  size_t mapped_bytes; /* 0: nothing to unmap */
} ec_internal_weights;

/* Takes them from the caller's memory, from a file, or from the library itself, in this order. */
ec_status ec_internal_weights_open(const ec_network *network, const ec_options *options, ec_internal_weights *weights);

void ec_internal_weights_close(ec_internal_weights *weights);

#endif
