/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pages.h"

#include <asm/mman.h>
#include <malloc.h>
#include <stdlib.h>

#define LARGE_PAGE ((size_t)2 * 1024 * 1024) /* of both architectures, with pages of 4 KiB */

/* Linux's (madvise(2)), and not of POSIX, so that <sys/mman.h> hides it here. */
int madvise(void *start, size_t bytes, int advice);

void *pages_alloc(size_t bytes)
{
    void *data = NULL;
    if (bytes < LARGE_PAGE)
        return malloc(bytes ? bytes : 1);
    if (posix_memalign(&data, LARGE_PAGE, bytes) != 0)
        return NULL;
    /* Where they are switched off it stays as it is. */
    (void)madvise(data, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
    return data;
}

void pages_keep_freed(void)
{
    /* Once either is set, glibc does not move the other any more (mallopt(3)). */
    (void)mallopt(M_MMAP_THRESHOLD, (int)LARGE_PAGE);
    (void)mallopt(M_TRIM_THRESHOLD, PAGES_KEPT);
}
