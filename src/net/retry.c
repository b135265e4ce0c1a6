/* SPDX-License-Identifier: Apache-2.0
 *
 * retry: whether and when a request is sent again.
 */
#include "core/clock.h"
#include "core/random.h"
#include "core/text.h"
#include "net/net_private.h"

enum {
    COST_TRANSIENT = 14,
    COST_THROTTLED = 5,
    BASE_TRANSIENT_MS = 50,
    BASE_THROTTLED_MS = 1000,
    DELAY_MAX_MS = 20 * 1000,
    /* A longer Retry-After is the job's business (queue), not this request's. */
    RETRY_AFTER_MAX_MS = 60 * 1000,
};

static bool is_throttle(const struct err *err)
{
    return err->http_status == 429 || err->http_status == 503;
}

/* Full jitter: all delays up to the bound are equally likely, so that clients do not march in
 * step. */
static int64_t jitter(int64_t bound_ms)
{
    return (int64_t)(random_u64() % (uint64_t)(bound_ms + 1));
}

bool retry_wanted(struct retry_budget *budget, struct retry_state *state, const struct err *err,
                  int max_attempts, int64_t *delay_ms)
{
    if (is_throttle(err) && state->allowed_for && !state->spared) {
        state->spared = true;
        state->attempts--;
    }
    bool transient = err->code == ERR_NETWORK || err->code == ERR_TIMEOUT ||
                     (err->code == ERR_HTTP && err_is_retryable(err) && err->http_status != 501);
    if (!transient || state->attempts >= max_attempts || err->retry_after_ms > RETRY_AFTER_MAX_MS)
        return false;
    int cost = !is_throttle(err) ? COST_TRANSIENT : state->allowed_for ? 0 : COST_THROTTLED;
    if (budget->tokens < cost)
        return false;
    budget->tokens -= cost;
    state->last_cost = cost;
    int64_t bound = is_throttle(err) ? BASE_THROTTLED_MS : BASE_TRANSIENT_MS;
    for (int i = 1; i < state->attempts && bound < DELAY_MAX_MS; i++)
        bound *= 2;
    *delay_ms = jitter(bound < DELAY_MAX_MS ? bound : DELAY_MAX_MS);
    if (*delay_ms < err->retry_after_ms)
        *delay_ms = err->retry_after_ms;
    return true;
}

bool retry_answered(const struct err *err)
{
    return err->code == ERR_NONE ||
           (err->code == ERR_HTTP &&
            (err->http_status < 500 || err->http_status == 501 || err->http_status == 503));
}

void retry_succeeded(struct retry_budget *budget, const struct retry_state *state)
{
    budget->tokens += state->last_cost ? state->last_cost : 1;
    if (budget->tokens > RETRY_BUDGET_MAX)
        budget->tokens = RETRY_BUDGET_MAX;
}

int retry_after_ms(const char *value)
{
    const int64_t max_ms = 1000 * 1000 * 1000;
    int64_t n;
    if (text_parse_int(value, 0, INT64_MAX / 1000, &n) == 0)
        n *= 1000;
    else if (date_parse_http(value, &n) == 0)
        n -= clock_wall_ms();
    else
        return 0;
    return (int)(n <= 0 ? 0 : n > max_ms ? max_ms : n);
}
