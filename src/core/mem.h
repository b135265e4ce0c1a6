/* SPDX-License-Identifier: Apache-2.0
 *
 * mem: allocation of small things, which either works or ends the process with a clear line.
 *
 * A process that cannot get a kilobyte cannot do its job, and ending at any line is something every
 * promise of this program allows for. What is large (part buffers) is counted by transfer/part_pool
 * and may fail like anything else. Any thread.
 */
#ifndef EGRESS_CORE_MEM_H
#define EGRESS_CORE_MEM_H

#include <stddef.h>

#include "core/err.h"

void *xcalloc(size_t n, size_t size);                  /* zeroed; caller frees */
void *xrealloc(void *p, size_t size);                  /* caller frees */
char *xstrdup(const char *s);                          /* caller frees; NULL gives NULL */
char *xstrndup(const char *s, size_t n);               /* caller frees */
char *xprintf(const char *fmt, ...) PRINTF_LIKE(1, 2); /* caller frees */

#endif
