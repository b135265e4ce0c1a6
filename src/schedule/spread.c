/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/spread.h"

#include <stdlib.h>

#include "core/mem.h"

struct spread_slot {
    struct spread *spread;
    size_t index;
};

struct spread {
    struct spread_config config;
    struct spread_slot *slots; /* owned; config.at_a_time of them */
    size_t next;               /* the first that is not begun */
    unsigned running;
    struct loop_task task;
};

static void start_next(struct spread_slot *slot)
{
    struct spread *s = slot->spread;
    slot->index = s->next++;
    s->running++;
    s->config.start(s->config.arg, slot->index, slot);
}

void spread_done(void *begun, const struct err *err)
{
    struct spread_slot *slot = begun;
    struct spread *s = slot->spread;
    s->running--;
    s->config.on_each(s->config.arg, slot->index, err);
    if (s->next < s->config.n)
        start_next(slot);
    else if (s->running == 0)
        s->config.on_end(s->config.arg);
}

static void begin(void *arg)
{
    struct spread *s = arg;
    for (unsigned i = 0; i < s->config.at_a_time && s->next < s->config.n; i++)
        start_next(&s->slots[i]);
    if (s->running == 0)
        s->config.on_end(s->config.arg);
}

struct spread *spread_start(struct loop *loop, const struct spread_config *config)
{
    struct spread *s = xcalloc(1, sizeof(*s));
    s->config = *config;
    s->slots = xcalloc(config->at_a_time, sizeof(s->slots[0]));
    for (unsigned i = 0; i < config->at_a_time; i++)
        s->slots[i].spread = s;
    loop_post(loop, &s->task, begin, s);
    return s;
}

void spread_stop(struct spread *s)
{
    s->next = s->config.n;
}

void spread_free(struct spread *s)
{
    if (!s)
        return;
    free(s->slots);
    free(s);
}
