/* SPDX-License-Identifier: Apache-2.0
 *
 * part_pool: counts the memory that data on its way may take, and who waits for some.
 *
 * Nothing is allocated here: a transfer that has been granted bytes allocates and reuses its own
 * buffers. What keeps it from locking up, and small outputs from waiting behind large ones:
 *   - a transfer begins with a small share; all small shares together take at most half;
 *   - one that finds that it needs more claims a large share, of at most half; all large shares
 *     together leave an eighth, so that small ones always find room;
 *   - whoever holds what its claim asked for can always go on, and so gives it back some time.
 * More than was claimed (further parts in flight) is had by part_pool_try(), which never waits, and
 * is given back as soon as somebody waits.
 *
 * Loop's thread.
 *
 *     part_pool_claim_small(pool, &me->claim, 512 * 1024, on_granted, me);
 *     ... on_granted(me, true): allocate, work ...
 *     part_pool_release(pool, 512 * 1024, SHARE_SMALL);
 */
#ifndef EGRESS_TRANSFER_PART_POOL_H
#define EGRESS_TRANSFER_PART_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"

struct part_pool;

enum part_share { SHARE_SMALL, SHARE_LARGE, SHARES };

struct part_claim { /* embedded in the caller's struct */
    uint64_t bytes;
    uint64_t carry; /* held in a small share; counted as large from the grant on */
    enum part_share share;
    void (*fn)(void *arg, bool granted);
    void *arg;
    struct part_claim *next;
    struct loop_task task;
    struct part_pool *pool;
    enum { CLAIM_IDLE, CLAIM_WAITING, CLAIM_GRANTED, CLAIM_REFUSED } state;
};

struct part_pool *part_pool_new(struct loop *loop, uint64_t bytes);
void part_pool_free(struct part_pool *pool); /* everything must be released; NULL is fine */

uint64_t part_pool_size(const struct part_pool *pool);

/* fn(arg, true) comes from the loop when the bytes are counted as the caller's. At most half of
 * the pool in one claim, with what is carried over. */
void part_pool_claim_small(struct part_pool *pool, struct part_claim *claim, uint64_t bytes,
                           void (*fn)(void *arg, bool granted), void *arg);
void part_pool_claim_large(struct part_pool *pool, struct part_claim *claim, uint64_t bytes,
                           uint64_t carry, void (*fn)(void *arg, bool granted), void *arg);
/* fn still comes: with false, or with true when the grant was first. An idle claim is fine. */
void part_pool_cancel(struct part_claim *claim);

/* Takes the bytes at once, as a large share, if they are free and nobody waits. */
bool part_pool_try(struct part_pool *pool, uint64_t bytes);
void part_pool_release(struct part_pool *pool, uint64_t bytes, enum part_share share);
/* Whether somebody waits for what others hold: time to give back what is spare. */
bool part_pool_is_wanted(const struct part_pool *pool);

#endif
