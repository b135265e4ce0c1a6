/* SPDX-License-Identifier: Apache-2.0
 *
 * part_pool: counts the memory that data on its way may take, and who waits for some.
 *
 * Nothing is allocated here: a transfer that has been granted bytes allocates and reuses its own
 * buffers. The rules that keep it from locking up, whatever the mix of transfers:
 *   - an ordinary claim (a transfer that begins) is granted from one half of the pool only;
 *   - an urgent claim (one that holds a little and found that it needs more) comes first and may
 *     take all; no single urgent claim is over half of the pool (plan.h: a part is at most half);
 *   - whoever holds what its claim asked for can always go on, and so gives it back some time.
 * Anything beyond that (more parts in flight) is taken by part_pool_try(), which never waits, and
 * is given back as soon as somebody waits.
 *
 * Loop's thread.
 *
 *     part_pool_claim(pool, &me->claim, 512 * 1024, false, on_granted, me);
 *     ... on_granted(me, true): allocate, work ...
 *     part_pool_release(pool, 512 * 1024);
 */
#ifndef EGRESS_TRANSFER_PART_POOL_H
#define EGRESS_TRANSFER_PART_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"

struct part_pool;

struct part_claim { /* embedded in the caller's struct */
    uint64_t bytes;
    void (*fn)(void *arg, bool granted);
    void *arg;
    struct part_claim *next;
    struct loop_task task;
    struct part_pool *pool;
    enum { CLAIM_IDLE, CLAIM_WAITING, CLAIM_GRANTED, CLAIM_REFUSED } state;
    bool urgent;
};

struct part_pool *part_pool_new(struct loop *loop, uint64_t bytes);
void part_pool_free(struct part_pool *pool); /* everything must be released; NULL is fine */

uint64_t part_pool_size(const struct part_pool *pool);

/* fn(arg, true) comes from the loop when the bytes are counted as the caller's. At most half of
 * the pool in one claim. */
void part_pool_claim(struct part_pool *pool, struct part_claim *claim, uint64_t bytes, bool urgent,
                     void (*fn)(void *arg, bool granted), void *arg);
/* fn still comes: with false, or with true when the grant was first. An idle claim is fine. */
void part_pool_cancel(struct part_claim *claim);

/* Takes the bytes at once if they are free and nobody waits. */
bool part_pool_try(struct part_pool *pool, uint64_t bytes);
void part_pool_release(struct part_pool *pool, uint64_t bytes);
/* Whether somebody waits: time to give back what is spare. */
bool part_pool_is_wanted(const struct part_pool *pool);

#endif
