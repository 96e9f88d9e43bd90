/* fail.c: the last error of each thread. */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[512];

ec_status ec_internal_fail(ec_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return status;
}

const char *ec_last_error(void) { return message; }
