/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/lacking.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "transfer/receipt.h"

struct lacking {
    struct lacking_config config;
    const char **ids; /* sorted */
    bool *has;        /* of each: a receipt, or a marker beside which one may come */
    size_t keys_left;
    int64_t began_ms;
    bool complete;
    char *prefix;
    struct sink_op *op; /* while the list is fetched */
    struct loop_task task;
    bool cancelling; /* the task was posted */
    bool gave_up;    /* and has run */
};

static int by_id(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char **find(const struct lacking *l, const char *id)
{
    return bsearch(&id, l->ids, l->config.n, sizeof(l->ids[0]), by_id);
}

/* From the loop: an operation is not to be cancelled from its own callback. */
static void give_up(void *arg)
{
    struct lacking *l = arg;
    l->gave_up = true;
    if (l->op)
        l->config.sink->ops->cancel(l->op);
    else
        l->config.on_end(l->config.arg);
}

void lacking_cancel(struct lacking *l)
{
    if (!l->op || l->cancelling)
        return;
    l->cancelling = true;
    loop_post(l->config.loop, &l->task, give_up, l);
}

static void on_key(void *arg, const char *key)
{
    struct lacking *l = arg;
    char id[JOB_ID_MAX + 1];
    if (l->keys_left == 0) {
        lacking_cancel(l);
        return;
    }
    l->keys_left--;
    if (!receipt_key_job(key, l->config.source, id) &&
        !receipt_marker_job(key, l->config.source, id))
        return;
    const char **at = find(l, id);
    if (at)
        l->has[at - l->ids] = true;
}

static void on_listed(void *arg, const struct err *err)
{
    struct lacking *l = arg;
    l->op = NULL;
    l->complete = !err && !l->cancelling;
    if (err && err->code != ERR_CANCELLED)
        log_debug("%s; each receipt is asked for", err->msg);
    if (!l->cancelling || l->gave_up)
        l->config.on_end(l->config.arg);
}

struct lacking *lacking_start(const struct lacking_config *config)
{
    struct lacking *l = xcalloc(1, sizeof(*l));
    l->config = *config;
    l->ids = xcalloc(config->n, sizeof(l->ids[0]));
    l->has = xcalloc(config->n, sizeof(l->has[0]));
    for (size_t i = 0; i < config->n; i++)
        l->ids[i] = config->ids[i];
    if (config->n)
        qsort(l->ids, config->n, sizeof(l->ids[0]), by_id);
    l->keys_left = LACKING_KEYS_PER_JOB * config->n;
    l->began_ms = clock_mono_ms();
    l->prefix = receipt_prefix(config->source);
    l->op = config->sink->ops->list(config->sink, l->prefix, on_key, on_listed, l);
    return l;
}

bool lacking_knows(const struct lacking *l, const char *id)
{
    if (!l->complete || clock_mono_ms() - l->began_ms > LACKING_VALID_MS)
        return false;
    const char **at = find(l, id);
    return at && !l->has[at - l->ids];
}

void lacking_free(struct lacking *l)
{
    if (!l)
        return;
    free(l->ids);
    free(l->has);
    free(l->prefix);
    free(l);
}
