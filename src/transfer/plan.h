/* SPDX-License-Identifier: Apache-2.0
 *
 * plan: how an object is cut into parts. The byte range of part n depends only on (layout, n).
 *
 * A layout is a few tiers of equal parts: one tier when the length is known; growing ones when it
 * is not, so that small outputs need little memory and long ones do not run out of part numbers.
 * Where the store wants equal parts (Cloudflare R2 checks that at the end of an upload), there is
 * always one tier. Pure, plain values. Any thread.
 *
 *     struct plan_layout layout;
 *     if (plan_layout_for(size, &sink->limits, memory, &layout, &err) < 0) ...
 *     for (uint32_t n = 1; plan_part(&layout, n, &offset, &len); n++)
 *         put(n, offset, len);
 */
#ifndef EGRESS_TRANSFER_PLAN_H
#define EGRESS_TRANSFER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "transfer/sink.h"

enum {
    PLAN_TIERS_MAX = 10,
    PLAN_PARTS_MAX = 10000, /* S3's; no store has more */
};

struct plan_tier {
    uint64_t part_bytes;
    uint32_t parts;
};

struct plan_layout {
    int64_t size;                           /* of the object, or -1 when it is not known */
    bool single;                            /* size is known and within one part: put whole */
    struct plan_tier tiers[PLAN_TIERS_MAX]; /* in order; those not needed have no parts */
};

/* size: of the object, or -1. memory: bytes for data on its way; a part is at most half of it, or,
 * where all must be equal and the length is not known, a quarter (but 8 MiB if half of it allows).
 * -1 (ERR_TOO_LARGE): names the size, the limit, and the --memory needed if that helps. */
int plan_layout_for(int64_t size, const struct sink_limits *limits, uint64_t memory,
                    struct plan_layout *layout, struct err *err) MUST_CHECK;

/* Where part `number` (1-based) lies; of an object of unknown size, where it lies if it is full.
 * False when there is no such part. An object of zero bytes has one part of zero bytes. */
bool plan_part(const struct plan_layout *layout, uint32_t number, uint64_t *offset, uint64_t *len);

/* Parts that `size` bytes take, at least 1; 0 when the layout cannot hold so many. */
uint32_t plan_part_count(const struct plan_layout *layout, uint64_t size);

/* Largest object that the layout can hold. */
uint64_t plan_size_max(const struct plan_layout *layout);

/* Largest part of the layout: the buffer a transfer needs at least one of. */
uint64_t plan_part_max(const struct plan_layout *layout);

/* Whether an upload that was begun with this layout, under other settings perhaps, can be ended
 * within these limits. */
bool plan_layout_suits(const struct plan_layout *layout, const struct sink_limits *limits);

/* For an output of unknown length that went on after the layout's last part: sets ERR_TOO_LARGE
 * with the limit and what would raise it. Returns -1. */
int plan_outgrown(const struct plan_layout *layout, struct err *err);

#endif
