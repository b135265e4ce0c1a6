/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

void buf_release(struct buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->size = 0;
    b->overflowed = false;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflowed = false;
    if (b->data)
        b->data[0] = '\0';
}

/* Makes room for `more` bytes and the NUL. */
static int reserve(struct buf *b, size_t more)
{
    if (more > b->cap - b->len) {
        b->overflowed = true;
        return -1;
    }
    size_t need = b->len + more + 1;
    if (need > b->size) {
        size_t size = b->size ? b->size : 64;
        while (size < need)
            size *= 2;
        b->data = xrealloc(b->data, size);
        b->size = size;
    }
    return 0;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
    if (reserve(b, len) < 0)
        return -1;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int buf_str_append(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_byte(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

/* Into what room there is; once more only if that was not enough. */
int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    size_t room = b->size - b->len;
    va_start(ap, fmt);
    int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    if (reserve(b, (size_t)n) < 0) {
        if (room)
            b->data[b->len] = '\0';
        return -1;
    }
    if ((size_t)n >= room) {
        va_start(ap, fmt);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->len += (size_t)n;
    return 0;
}

bool buf_overflowed(const struct buf *b)
{
    return b->overflowed;
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
    char *data = b->data ? b->data : xstrdup("");
    size_t cap = b->cap;
    *b = BUF_INIT(cap);
    return data;
}
