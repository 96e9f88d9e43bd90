/* sha256.h: the checksum of the weights (FIPS 180-4). */
#ifndef EC_SHA256_H
#define EC_SHA256_H

#include <stddef.h>
#include <stdint.h>

void ec_internal_sha256(const void *data, size_t bytes, uint8_t digest[32]);

#endif
