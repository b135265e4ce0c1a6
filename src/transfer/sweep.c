/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/sweep.h"

#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"
#include "transfer/key.h"

struct unfinished {
    char *key, *id; /* owned */
    int64_t started_ms;
};

struct sweep {
    struct sweep_config config;
    struct unfinished *list; /* owned; to be undone, one after the other */
    size_t n, size, next;
    struct sink_op *op;
    struct loop_task task;
    struct err err;
    bool cancelled;
};

static void tell(struct sweep *s, const struct unfinished *u, enum sweep_status status,
                 const struct err *err)
{
    struct sweep_result result = {
        .key = u->key, .id = u->id, .started_ms = u->started_ms, .status = status, .err = err};
    s->config.on_upload(s->config.arg, &result);
}

static void end(struct sweep *s)
{
    if (s->cancelled && s->err.code == ERR_NONE)
        err_set(&s->err, ERR_CANCELLED, "cancelled");
    s->config.on_end(s->config.arg, s->err.code == ERR_NONE ? NULL : &s->err);
}

static void undo_next(struct sweep *s);

static void on_undone(void *arg, const struct err *err)
{
    struct sweep *s = arg;
    s->op = NULL;
    if (!err || err->code != ERR_CANCELLED)
        tell(s, &s->list[s->next], err ? SWEEP_FAILED : SWEEP_UNDONE, err);
    s->next++;
    undo_next(s);
}

static void undo_next(struct sweep *s)
{
    for (; s->config.dry_run && s->next < s->n; s->next++)
        tell(s, &s->list[s->next], SWEEP_FOUND, NULL);
    if (s->next == s->n || s->cancelled) {
        end(s);
        return;
    }
    const struct unfinished *u = &s->list[s->next];
    s->op = s->config.sink->ops->abort_unfinished(s->config.sink, u->key, u->id, on_undone, s);
}

static void on_unfinished(void *arg, const char *key, const char *id, int64_t started_ms)
{
    struct sweep *s = arg;
    struct unfinished u = {(char *)key, (char *)id, started_ms};
    if (!key_matches(s->config.key_template, key)) {
        tell(s, &u, SWEEP_FOREIGN, NULL);
    } else if (clock_wall_ms() - started_ms < s->config.older_than_ms) {
        tell(s, &u, SWEEP_YOUNGER, NULL);
    } else {
        if (s->n == s->size) {
            s->size = s->size ? 2 * s->size : 64;
            s->list = xrealloc(s->list, s->size * sizeof(s->list[0]));
        }
        s->list[s->n++] = (struct unfinished){xstrdup(key), xstrdup(id), started_ms};
    }
}

static void on_listed(void *arg, const struct err *err)
{
    struct sweep *s = arg;
    s->op = NULL;
    if (err) {
        s->err = *err; /* of a part of the list nothing is undone */
        end(s);
    } else {
        undo_next(s);
    }
}

static void begin(void *arg)
{
    struct sweep *s = arg;
    /* A sink without: what a killed run has left there goes with the next run. */
    if (s->cancelled || !s->config.sink->ops->list_unfinished)
        end(s);
    else
        s->op = s->config.sink->ops->list_unfinished(s->config.sink, on_unfinished, on_listed, s);
}

struct sweep *sweep_start(struct loop *loop, const struct sweep_config *config)
{
    struct sweep *s = xcalloc(1, sizeof(*s));
    s->config = *config;
    loop_post(loop, &s->task, begin, s);
    return s;
}

void sweep_cancel(struct sweep *s)
{
    if (s->cancelled)
        return;
    s->cancelled = true;
    if (s->op)
        s->config.sink->ops->cancel(s->op);
}

void sweep_free(struct sweep *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        free(s->list[i].key);
        free(s->list[i].id);
    }
    free(s->list);
    free(s);
}
