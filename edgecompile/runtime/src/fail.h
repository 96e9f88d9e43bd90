/* fail.h: how every part of the runtime reports a failure. */
#ifndef EC_FAIL_H
#define EC_FAIL_H

#include "edgecompile.h"

/* Writes this thread's `ec_last_error` and answers `status`. */
__attribute__((format(printf, 2, 3))) ec_status ec_internal_fail(ec_status status, const char *format, ...);

#endif
