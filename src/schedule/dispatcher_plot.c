/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatcher: what was moved, by time.
 */
#include "core/clock.h"
#include "schedule/dispatcher_private.h"

static int64_t slot_now_s(void)
{
    int64_t now_s = clock_wall_ms() / 1000;
    return now_s - now_s % DISPATCHER_SLOT_S;
}

static size_t index_of(int64_t began_s)
{
    return (size_t)(began_s / DISPATCHER_SLOT_S % DISPATCHER_SLOTS);
}

void plot_add(struct dispatcher_plot *plot, uint64_t bytes, uint32_t stored, uint32_t failed)
{
    int64_t began_s = slot_now_s();
    struct dispatcher_slot *slot = &plot->slots[index_of(began_s)];
    if (slot->began_s != began_s)
        *slot = (struct dispatcher_slot){.began_s = began_s};
    slot->bytes += bytes;
    slot->stored += stored;
    slot->failed += failed;
}

/* Without gaps: a slot in which nothing happened has zeros. */
size_t dispatcher_throughput(const struct dispatcher *d,
                             struct dispatcher_slot out[DISPATCHER_SLOTS])
{
    const struct dispatcher_plot *plot = &d->plot;
    int64_t last_s = slot_now_s(), first_s = plot->began_s - plot->began_s % DISPATCHER_SLOT_S;
    size_t n = 0;
    if (first_s <= last_s - (int64_t)DISPATCHER_SLOT_S * DISPATCHER_SLOTS)
        first_s = last_s - (int64_t)DISPATCHER_SLOT_S * (DISPATCHER_SLOTS - 1);
    if (first_s > last_s) /* the clock was set back */
        first_s = last_s;
    for (int64_t s = first_s; s <= last_s; s += DISPATCHER_SLOT_S) {
        const struct dispatcher_slot *slot = &plot->slots[index_of(s)];
        out[n++] = slot->began_s == s ? *slot : (struct dispatcher_slot){.began_s = s};
    }
    return n;
}
