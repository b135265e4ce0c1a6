/* SPDX-License-Identifier: Apache-2.0
 *
 * now: one job transferred within this invocation, for events that are no queue's.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "lambda/lambda_private.h"

struct now {
    struct lambda *l;
    char job[JOB_ID_MAX + 1];
    lambda_transfer_fn *then;
    bool again;         /* with another token */
    struct err refused; /* of the first try */
};

static void on_ready(struct lambda *l, const struct err *err);

static void end(struct lambda *l, const struct transfer_result *result)
{
    struct now *now = l->now;
    lambda_transfer_fn *then = now->then;
    l->now = NULL;
    then(l, result);
    free(now);
}

static void fail(struct lambda *l, const struct err *err)
{
    const struct transfer_result result = {
        .job = l->now->job, .outcome = TRANSFER_FAILED, .err = *err};
    end(l, &result);
}

static void on_refreshed(struct lambda *l, bool changed)
{
    if (changed)
        lambda_assemble(l, ASSEMBLE_ENGINE, on_ready);
    else
        fail(l, &l->now->refused);
}

static void on_done(void *arg, const struct transfer_result *result)
{
    struct lambda *l = arg;
    struct now *now = l->now;
    if (result->outcome != TRANSFER_FAILED || !lambda_token_refused(&result->err) || now->again) {
        end(l, result);
        return;
    }
    now->again = true;
    now->refused = result->err;
    lambda_refresh_token(l, on_refreshed);
}

static void on_ready(struct lambda *l, const struct err *err)
{
    if (err) {
        fail(l, err);
        return;
    }
    engine_set_deadline(l->assembly.engine, l->deadline_ms);
    transfer_start(l->assembly.engine, l->now->job, on_done, l);
}

void lambda_transfer(struct lambda *l, const char *job, lambda_transfer_fn *then)
{
    l->now = xcalloc(1, sizeof(*l->now));
    l->now->l = l;
    l->now->then = then;
    memcpy(l->now->job, job, strlen(job) + 1);
    lambda_assemble(l, ASSEMBLE_ENGINE, on_ready);
}
