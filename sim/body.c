/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader around the reader of a body.
 */
#include "body.h"

#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "server.h"
#include "wire.h"

enum { SLOW_STEP_MS = 20, MEMORY_BLOCK = 64 * 1024 };

struct shaped {
    struct sim *sim;
    struct MHD_Connection *connection;
    struct shape shape;
    MHD_ContentReaderCallback read;
    MHD_ContentReaderFreeCallback release;
    void *cls;
    int64_t began_ms;
    uint64_t sent;
};

/* How much may go now, at the rate; waits a little. */
static size_t paced(const struct shaped *s, size_t max)
{
    if (s->shape.rate < 0)
        return max;
    if (!wire_wait(s->sim, s->connection, SLOW_STEP_MS))
        return max; /* nobody to be slow for: the end is near */
    double allowed = (double)s->shape.rate * (double)(clock_mono_ms() - s->began_ms) / 1000;
    if (allowed < (double)(s->sent + 1))
        return 0;
    double now = allowed - (double)s->sent;
    return now < (double)max ? (size_t)now : max;
}

/* Called by libmicrohttpd whenever it has sent what it had. */
static ssize_t read_shaped(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct shaped *s = cls;
    if (s->sent == s->shape.cut_at) {
        if (s->shape.reset)
            wire_reset(s->sim, s->connection);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (s->shape.stall_ms && s->sent == s->shape.stall_at) {
        int64_t ms = s->shape.stall_ms;
        s->shape.stall_ms = 0;
        if (!wire_wait(s->sim, s->connection, ms))
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (max > s->shape.cut_at - s->sent)
        max = (size_t)(s->shape.cut_at - s->sent);
    if (s->shape.stall_ms && max > s->shape.stall_at - s->sent)
        max = (size_t)(s->shape.stall_at - s->sent);
    max = paced(s, max);
    ssize_t n = max ? s->read(s->cls, pos, buf, max) : 0;
    if (n > 0)
        s->sent += (uint64_t)n;
    return n;
}

static void release_shaped(void *cls)
{
    struct shaped *s = cls;
    s->release(s->cls);
    free(s);
}

struct MHD_Response *body_response(struct request *rq, const struct shape *shape, uint64_t declared,
                                   size_t block, MHD_ContentReaderCallback read, void *cls,
                                   MHD_ContentReaderFreeCallback release)
{
    struct shaped *s = xcalloc(1, sizeof(*s));
    *s = (struct shaped){.sim = rq->sim,
                         .connection = rq->connection,
                         .shape = *shape,
                         .read = read,
                         .release = release,
                         .cls = cls,
                         .began_ms = clock_mono_ms()};
    struct MHD_Response *response =
        MHD_create_response_from_callback(declared, block, read_shaped, s, release_shaped);
    if (!response)
        free(s);
    return response;
}

/* ---- from memory ----------------------------------------------------------------------------- */

struct memory {
    char *data; /* owned */
    size_t len;
};

static ssize_t read_memory(void *cls, uint64_t pos, char *buf, size_t max)
{
    const struct memory *m = cls;
    if (pos >= m->len)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t n = m->len - (size_t)pos < max ? m->len - (size_t)pos : max;
    memcpy(buf, m->data + pos, n);
    return (ssize_t)n;
}

static void release_memory(void *cls)
{
    struct memory *m = cls;
    free(m->data);
    free(m);
}

struct MHD_Response *body_response_from_memory(struct request *rq, const struct shape *shape,
                                               char *data, size_t len)
{
    struct memory *m = xcalloc(1, sizeof(*m));
    *m = (struct memory){data, len};
    struct MHD_Response *response =
        body_response(rq, shape, len, MEMORY_BLOCK, read_memory, m, release_memory);
    if (!response)
        free(m);
    return response;
}

/* ---- faults ---------------------------------------------------------------------------------- */

bool body_apply_fault(struct request *rq, uint64_t len, struct shape *shape)
{
    const struct fault *fault = rq->fault;
    if (!fault || rq->head || len == 0)
        return false;
    uint64_t at = rq->drawn % len;
    bool by_value = (fault->kind == FAULT_RESET || fault->kind == FAULT_TRUNCATE);
    if (by_value && fault->number >= 0) /* one byte is missing at least */
        at = (uint64_t)fault->number < len ? (uint64_t)fault->number : len - 1;
    switch (fault->kind) {
    case FAULT_RESET:
        shape->reset = true;
        shape->cut_at = at;
        break;
    case FAULT_TRUNCATE:
        shape->cut_at = at;
        break;
    case FAULT_STALL:
        shape->stall_at = at;
        shape->stall_ms = fault->number;
        break;
    case FAULT_SLOW:
        shape->rate = fault->number;
        break;
    case FAULT_EXPIRE:
        if (!rq->url_expired || fault->number != EXPIRE_CUT)
            return false;
        shape->cut_at = at;
        rq->body_done = true;
        return true;
    default:
        return false;
    }
    fault_happened(rq);
    rq->body_done = true;
    return true;
}
