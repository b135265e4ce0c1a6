/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51_probe: one cheap request that only a good token gets an answer to: a query for one job.
 * For those who ask whether the Platform can be used (`egress doctor`). Loop's thread.
 *
 *     struct voxel51_seen seen;
 *     probe = voxel51_probe_start(loop, &token, &seen, on_done, me);
 *     loop_run(loop);            on_done(me, err): NULL: the token is accepted
 */
#ifndef EGRESS_PLATFORM_VOXEL51_PROBE_H
#define EGRESS_PLATFORM_VOXEL51_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "net/loop.h"
#include "platform/token.h"

struct voxel51_probe;

struct voxel51_seen {
    bool answered;    /* by whatever there is, with whatever status */
    int64_t after_ms; /* from the start to the answer's end, connecting included */
    int64_t date_ms;  /* Unix time in its Date header; 0: there was none */
};

/* *seen is filled at completion, whatever its result; it outlives the probe. err:
 * ERR_AUTH: the token is refused - ERR_CONFIG: what answered is not the Platform, or not at this
 * base URL - ERR_PROTOCOL with http_status: the Platform answered in its own words, but not to the
 * question - otherwise what net said, and what may pass by itself. */
struct voxel51_probe *voxel51_probe_start(struct loop *loop, const struct token *token,
                                          struct voxel51_seen *seen,
                                          void (*done)(void *arg, const struct err *err),
                                          void *arg);
void voxel51_probe_cancel(struct voxel51_probe *probe); /* done comes with ERR_CANCELLED */

#endif
