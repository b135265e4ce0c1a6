/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/batch.h"

#include <stdlib.h>

#include "core/mem.h"
#include "schedule/lacking.h"

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
    struct lacking *lacking; /* owned; or NULL */
    bool listing;
    struct loop_task task;
};

static void on_done(void *arg, const struct transfer_result *result);

static void start_one(struct batch_job *job)
{
    struct batch *b = job->batch;
    job->index = b->next++;
    b->running++;
    const char *id = b->config.ids[job->index];
    job->transfer = transfer_start(b->config.engine, id, on_done, job);
    if (b->lacking && lacking_knows(b->lacking, id))
        transfer_has_no_receipt(job->transfer);
    b->config.on_start(b->config.arg, job->index, job->transfer);
}

static void end_if_over(struct batch *b)
{
    if (b->running > 0 || b->next < b->config.n)
        return;
    if (b->listing)
        lacking_cancel(b->lacking); /* and on_listed() comes */
    else
        b->config.on_end(b->config.arg);
}

static void on_listed(void *arg)
{
    struct batch *b = arg;
    b->listing = false;
    end_if_over(b);
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
    else
        end_if_over(b);
}

static void list_receipts(struct batch *b)
{
    const struct engine_config *engine = engine_configured(b->config.engine);
    /* Those that are begun at once have asked before it is there. */
    if (b->config.n < b->config.lookahead + LACKING_JOBS_MIN || !engine->receipts ||
        engine->force || !engine->sink->limits.lists_cheaply)
        return;
    const struct lacking_config config = {
        .loop = b->loop,
        .sink = engine->sink,
        .source = engine->source->ops->name,
        .ids = b->config.ids,
        .n = b->config.n,
        .on_end = on_listed,
        .arg = b,
    };
    b->listing = true;
    b->lacking = lacking_start(&config);
}

static void begin(void *arg)
{
    struct batch *b = arg;
    if (b->next < b->config.n)
        list_receipts(b);
    for (unsigned i = 0; i < b->config.lookahead && b->next < b->config.n; i++)
        start_one(&b->jobs[i]);
    end_if_over(b);
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
    lacking_free(b->lacking);
    free(b->jobs);
    free(b);
}
