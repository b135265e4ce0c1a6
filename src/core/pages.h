/* SPDX-License-Identifier: Apache-2.0
 *
 * pages: memory for buffers of megabytes, in large pages where the system has them: the first touch
 * of each page costs, and there are 2,048 small ones in 8 MiB. Any thread.
 *
 *     char *data = pages_alloc(8 * 1024 * 1024);
 *     if (!data) ...
 *     free(data);
 */
#ifndef EGRESS_CORE_PAGES_H
#define EGRESS_CORE_PAGES_H

#include <stddef.h>

/* As malloc(), but never NULL for 0 bytes. */
void *pages_alloc(size_t bytes);

/* From now on the heap keeps what is freed at its end, up to PAGES_KEPT bytes. Else the C library
 * gives it back to the system and asks for it again, each page being zeroed on the way, for every
 * buffer that lives for one request. Large parts are not in the heap: they go back when they are
 * freed, so that no hole of an earlier output counts beside --memory. Once, at the start. */
enum { PAGES_KEPT = 1024 * 1024 };
void pages_keep_freed(void);

#endif
