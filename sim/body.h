/* SPDX-License-Identifier: Apache-2.0
 *
 * body: what switches and faults do to a body on its way: slow, silent for a while, cut.
 *
 *     struct shape shape = SHAPE_PLAIN;
 *     shape.cut_at = 1000;
 *     body_apply_fault(rq, len, &shape);
 *     response = body_response(rq, &shape, declared, block, read, cls, release);
 */
#ifndef EGRESS_SIM_BODY_H
#define EGRESS_SIM_BODY_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct request;

struct shape {
    uint64_t cut_at; /* the connection ends after so many bytes; UINT64_MAX: it does not */
    bool reset;      /* ... by a TCP reset */
    int64_t rate;    /* bytes a second; -1: all speed */
    uint64_t stall_at;
    int64_t stall_ms; /* silence at stall_at; 0: none; -1: until the client goes away */
};
#define SHAPE_PLAIN ((struct shape){.cut_at = UINT64_MAX, .rate = -1})

/* Changes *shape as the request's fault says, if that is about bodies; true if so. len is that of
 * the body, or of what is known of it. A body that is not sent (empty, HEAD) has no faults here. */
bool body_apply_fault(struct request *rq, uint64_t len, struct shape *shape);

/* As MHD_create_response_from_callback(), which takes cls on success only. */
struct MHD_Response *body_response(struct request *rq, const struct shape *shape, uint64_t declared,
                                   size_t block, MHD_ContentReaderCallback read, void *cls,
                                   MHD_ContentReaderFreeCallback release);

/* The same for bytes in memory, which it takes (malloc) on success. */
struct MHD_Response *body_response_from_memory(struct request *rq, const struct shape *shape,
                                               char *data, size_t len);

#endif
