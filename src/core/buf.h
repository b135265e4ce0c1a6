/* SPDX-License-Identifier: Apache-2.0
 *
 * buf: a growable byte string with a cap, always NUL-terminated.
 *
 * Going over the cap keeps what fits out, and is remembered: a chain of appends is checked once at
 * its end with buf_overflowed(). Owned by one thread at a time.
 *
 *     struct buf b = BUF_INIT(64 * 1024);
 *     buf_printf(&b, "%s/%s", base, name);
 *     if (buf_overflowed(&b)) ...
 *     buf_release(&b);
 */
#ifndef EGRESS_CORE_BUF_H
#define EGRESS_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct buf {
    char *data; /* owned; NULL or NUL-terminated at data[len]; read it with buf_str() */
    size_t len;
    size_t size; /* allocated */
    size_t cap;  /* len never exceeds it */
    bool overflowed;
};

#define BUF_INIT(max_len) ((struct buf){.cap = (max_len)})

void buf_release(struct buf *b);
/* Forgets the content and the overflow, keeps the memory. */
void buf_clear(struct buf *b);

/* 0, or -1 (and nothing appended) when the cap would be passed. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_str_append(struct buf *b, const char *s);
int buf_byte(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

bool buf_overflowed(const struct buf *b);

/* The content as a string; "" when nothing was appended. Valid until the next change. */
const char *buf_str(const struct buf *b);

/* Hands the content to the caller, who frees it; never NULL. The buf is empty after it. */
char *buf_take(struct buf *b);

#endif
