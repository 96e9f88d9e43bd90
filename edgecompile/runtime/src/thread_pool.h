/* thread_pool.h: the threads of one instance. */
#ifndef EC_THREAD_POOL_H
#define EC_THREAD_POOL_H

#include "network.h"

typedef struct ec_internal_pool ec_internal_pool;

/* Starts `threads - 1` threads (the caller is the first). threads >= 2. */
ec_status ec_internal_pool_open(const char *network_name, int32_t threads, ec_internal_pool **pool);

/* The launcher that generated code reaches; lives as long as the pool. */
ec_internal_launcher *ec_internal_pool_launcher(ec_internal_pool *pool);

/* Ends and joins the threads. Call from the thread that owns the instance, with nothing running. */
void ec_internal_pool_close(ec_internal_pool *pool);

/* Frees the memory alone: for a child process after fork, which has none of the threads. */
void ec_internal_pool_abandon(ec_internal_pool *pool);

#endif
