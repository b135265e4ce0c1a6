/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/batch.h"

#include <stdlib.h>

#include "core/mem.h"

struct batch_job {
    struct batch *batch;
    size_t index;
    struct transfer *transfer; /* NULL: this place is free */
};

struct batch {
    struct batch_config config;
    struct loop *loop;
    struct batch_job *jobs; /* owned; config.lookahead of them */
    size_t next;            /* index of the first that is not begun */
    unsigned running;
    struct loop_task task;
};

static void on_done(void *arg, const struct transfer_result *result);

static void start_one(struct batch_job *job)
{
    struct batch *b = job->batch;
    job->index = b->next++;
    b->running++;
    job->transfer = transfer_start(b->config.engine, b->config.ids[job->index], on_done, job);
    b->config.on_start(b->config.arg, job->index, job->transfer);
}

static void on_done(void *arg, const struct transfer_result *result)
{
    struct batch_job *job = arg;
    struct batch *b = job->batch;
    job->transfer = NULL;
    b->running--;
    b->config.on_done(b->config.arg, job->index, result);
    if (b->next < b->config.n)
        start_one(job);
    else if (b->running == 0)
        b->config.on_end(b->config.arg);
}

static void begin(void *arg)
{
    struct batch *b = arg;
    for (unsigned i = 0; i < b->config.lookahead && b->next < b->config.n; i++)
        start_one(&b->jobs[i]);
    if (b->running == 0)
        b->config.on_end(b->config.arg);
}

struct batch *batch_start(struct loop *loop, const struct batch_config *config)
{
    struct batch *b = xcalloc(1, sizeof(*b));
    b->config = *config;
    b->loop = loop;
    b->jobs = xcalloc(config->lookahead, sizeof(b->jobs[0]));
    for (unsigned i = 0; i < config->lookahead; i++)
        b->jobs[i].batch = b;
    loop_post(loop, &b->task, begin, b);
    return b;
}

void batch_cancel(struct batch *b)
{
    b->next = b->config.n;
    for (unsigned i = 0; i < b->config.lookahead; i++)
        if (b->jobs[i].transfer)
            transfer_cancel(b->jobs[i].transfer);
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    free(b->jobs);
    free(b);
}
