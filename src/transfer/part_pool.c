/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/part_pool.h"

#include <stdlib.h>

#include "core/mem.h"

struct queue {
    struct part_claim *first;
    struct part_claim **last;
};

struct part_pool {
    struct loop *loop;
    uint64_t bytes;
    uint64_t limit[SHARES]; /* of each kind of share, all together */
    uint64_t used[SHARES];
    struct queue waiting[SHARES];
};

struct part_pool *part_pool_new(struct loop *loop, uint64_t bytes)
{
    struct part_pool *pool = xcalloc(1, sizeof(*pool));
    pool->loop = loop;
    pool->bytes = bytes;
    pool->limit[SHARE_SMALL] = bytes / 2;
    pool->limit[SHARE_LARGE] = bytes - bytes / 8;
    for (int i = 0; i < SHARES; i++)
        pool->waiting[i].last = &pool->waiting[i].first;
    return pool;
}

void part_pool_free(struct part_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < SHARES; i++)
        CHECK(pool->used[i] == 0 && !pool->waiting[i].first);
    free(pool);
}

uint64_t part_pool_size(const struct part_pool *pool)
{
    return pool->bytes;
}

static void tell(void *arg)
{
    struct part_claim *claim = arg;
    bool granted = claim->state == CLAIM_GRANTED;
    claim->state = CLAIM_IDLE;
    claim->fn(claim->arg, granted);
}

static bool within_limit(const struct part_pool *pool, enum part_share share, uint64_t bytes)
{
    return pool->used[share] + bytes <= pool->limit[share];
}

static bool is_free(const struct part_pool *pool, uint64_t bytes)
{
    return pool->used[SHARE_SMALL] + pool->used[SHARE_LARGE] + bytes <= pool->bytes;
}

static void grant_share(struct part_pool *pool, enum part_share share)
{
    struct queue *queue = &pool->waiting[share];
    struct part_claim *claim;
    while ((claim = queue->first) && within_limit(pool, share, claim->bytes + claim->carry) &&
           is_free(pool, claim->bytes)) {
        queue->first = claim->next;
        if (!queue->first)
            queue->last = &queue->first;
        pool->used[share] += claim->bytes + claim->carry;
        pool->used[SHARE_SMALL] -= claim->carry;
        claim->state = CLAIM_GRANTED;
        loop_post(pool->loop, &claim->task, tell, claim);
    }
}

static void grant(struct part_pool *pool)
{
    grant_share(pool, SHARE_LARGE);
    grant_share(pool, SHARE_SMALL);
}

static void start_claim(struct part_pool *pool, struct part_claim *claim)
{
    CHECK(claim->bytes + claim->carry <= pool->bytes / 2);
    struct queue *queue = &pool->waiting[claim->share];
    *queue->last = claim;
    queue->last = &claim->next;
    grant(pool);
}

void part_pool_claim_small(struct part_pool *pool, struct part_claim *claim, uint64_t bytes,
                           void (*fn)(void *arg, bool granted), void *arg)
{
    CHECK(claim->state == CLAIM_IDLE);
    *claim = (struct part_claim){.bytes = bytes,
                                 .share = SHARE_SMALL,
                                 .fn = fn,
                                 .arg = arg,
                                 .pool = pool,
                                 .state = CLAIM_WAITING};
    start_claim(pool, claim);
}

void part_pool_claim_large(struct part_pool *pool, struct part_claim *claim, uint64_t bytes,
                           uint64_t carry, void (*fn)(void *arg, bool granted), void *arg)
{
    CHECK(claim->state == CLAIM_IDLE);
    *claim = (struct part_claim){.bytes = bytes,
                                 .carry = carry,
                                 .share = SHARE_LARGE,
                                 .fn = fn,
                                 .arg = arg,
                                 .pool = pool,
                                 .state = CLAIM_WAITING};
    start_claim(pool, claim);
}

void part_pool_cancel(struct part_claim *claim)
{
    if (claim->state != CLAIM_WAITING)
        return;
    struct part_pool *pool = claim->pool;
    struct queue *queue = &pool->waiting[claim->share];
    struct part_claim **at = &queue->first;
    while (*at != claim)
        at = &(*at)->next;
    *at = claim->next;
    if (!*at)
        queue->last = at;
    claim->state = CLAIM_REFUSED;
    loop_post(pool->loop, &claim->task, tell, claim);
    grant(pool);
}

bool part_pool_try(struct part_pool *pool, uint64_t bytes)
{
    if (part_pool_is_wanted(pool) || !within_limit(pool, SHARE_LARGE, bytes) ||
        !is_free(pool, bytes))
        return false;
    pool->used[SHARE_LARGE] += bytes;
    return true;
}

void part_pool_release(struct part_pool *pool, uint64_t bytes, enum part_share share)
{
    CHECK(bytes <= pool->used[share]);
    pool->used[share] -= bytes;
    grant(pool);
}

bool part_pool_is_wanted(const struct part_pool *pool)
{
    const struct part_claim *small = pool->waiting[SHARE_SMALL].first;
    /* Small shares that wait for each other are helped by nobody's giving back. */
    return pool->waiting[SHARE_LARGE].first ||
           (small && within_limit(pool, SHARE_SMALL, small->bytes));
}
