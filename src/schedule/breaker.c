/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/breaker.h"

#include "schedule/verdict.h"

int64_t breaker_next_ms(const struct breaker *b)
{
    if (!b->open)
        return 0;
    return b->probing ? INT64_MAX : b->next_ms;
}

bool breaker_begin(struct breaker *b)
{
    b->probing = b->open;
    return b->open;
}

static void put_off(struct breaker *b, int retry_after_ms, int64_t now_ms)
{
    b->pause_ms = verdict_backoff_ms(b->pause_min_ms, b->pause_max_ms, b->probes, retry_after_ms);
    b->next_ms = now_ms + b->pause_ms;
}

static enum breaker_change close_it(struct breaker *b)
{
    bool was_open = b->open;
    b->row = b->probes = 0;
    b->open = b->probing = false;
    return was_open ? BREAKER_CLOSED : BREAKER_SAME;
}

enum breaker_change breaker_end(struct breaker *b, enum breaker_reason why, bool probe,
                                int retry_after_ms, int64_t now_ms)
{
    if (why == BREAKER_STORED)
        return close_it(b);
    probe = probe && b->open; /* else it closed meanwhile */
    if (probe)
        b->probing = false;
    if (why == BREAKER_OTHER)
        return BREAKER_SAME;
    b->row++;
    if (probe) {
        b->probes++;
        put_off(b, retry_after_ms, now_ms);
    }
    if (b->open || b->row < BREAKER_ROW)
        return BREAKER_SAME;
    b->open = true;
    put_off(b, retry_after_ms, now_ms);
    return BREAKER_OPENED;
}
