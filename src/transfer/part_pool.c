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
    uint64_t used;
    struct queue urgent, ordinary;
};

struct part_pool *part_pool_new(struct loop *loop, uint64_t bytes)
{
    struct part_pool *pool = xcalloc(1, sizeof(*pool));
    pool->loop = loop;
    pool->bytes = bytes;
    pool->urgent.last = &pool->urgent.first;
    pool->ordinary.last = &pool->ordinary.first;
    return pool;
}

void part_pool_free(struct part_pool *pool)
{
    if (!pool)
        return;
    CHECK(pool->used == 0 && !part_pool_is_wanted(pool));
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

static void grant_from(struct part_pool *pool, struct queue *queue, uint64_t limit)
{
    struct part_claim *claim;
    while ((claim = queue->first) && pool->used + claim->bytes <= limit) {
        queue->first = claim->next;
        if (!queue->first)
            queue->last = &queue->first;
        pool->used += claim->bytes;
        claim->state = CLAIM_GRANTED;
        loop_post(pool->loop, &claim->task, tell, claim);
    }
}

static void grant(struct part_pool *pool)
{
    grant_from(pool, &pool->urgent, pool->bytes);
    if (!pool->urgent.first)
        grant_from(pool, &pool->ordinary, pool->bytes / 2);
}

void part_pool_claim(struct part_pool *pool, struct part_claim *claim, uint64_t bytes, bool urgent,
                     void (*fn)(void *arg, bool granted), void *arg)
{
    CHECK(claim->state == CLAIM_IDLE && bytes <= pool->bytes / 2);
    struct queue *queue = urgent ? &pool->urgent : &pool->ordinary;
    *claim = (struct part_claim){.bytes = bytes,
                                 .fn = fn,
                                 .arg = arg,
                                 .pool = pool,
                                 .state = CLAIM_WAITING,
                                 .urgent = urgent};
    *queue->last = claim;
    queue->last = &claim->next;
    grant(pool);
}

void part_pool_cancel(struct part_claim *claim)
{
    if (claim->state != CLAIM_WAITING)
        return;
    struct part_pool *pool = claim->pool;
    struct queue *queue = claim->urgent ? &pool->urgent : &pool->ordinary;
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
    if (part_pool_is_wanted(pool) || pool->used + bytes > pool->bytes)
        return false;
    pool->used += bytes;
    return true;
}

void part_pool_release(struct part_pool *pool, uint64_t bytes)
{
    CHECK(bytes <= pool->used);
    pool->used -= bytes;
    grant(pool);
}

bool part_pool_is_wanted(const struct part_pool *pool)
{
    return pool->urgent.first || pool->ordinary.first;
}
