/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/verdict.h"

#include "core/random.h"

/* err_exit_status() of what will never be stored; and of a refusal that nobody foresaw, which may
 * be that of a proxy or a store. */
enum { NEVER_STATUS = 4 };

enum verdict verdict_of(const struct err *err, bool stopped, bool first)
{
    if (stopped && err_is_retryable(err))
        return VERDICT_AT_ONCE;
    if (err->code == ERR_JOB_UNKNOWN && first)
        return VERDICT_UNKNOWN;
    if (err_exit_status(err) != NEVER_STATUS || err->code == ERR_HTTP)
        return VERDICT_LATER;
    return VERDICT_NEVER;
}

bool verdict_is_of_setup(const struct err *err)
{
    switch (err->code) {
    case ERR_USAGE:
    case ERR_CONFIG:
    case ERR_AUTH:
    case ERR_DESTINATION:
    case ERR_NETWORK:
    case ERR_TIMEOUT:
    case ERR_HTTP:
    case ERR_PROTOCOL:
    case ERR_IO:
        return true;
    default:
        return false;
    }
}

int64_t verdict_backoff_ms(int64_t min_ms, int64_t max_ms, unsigned failed_before,
                           int retry_after_ms)
{
    int64_t ms = min_ms;
    for (unsigned i = 0; i < failed_before && ms < max_ms; i++)
        ms *= 2;
    if (ms > max_ms)
        ms = max_ms;
    ms -= (int64_t)(random_u64() % (uint64_t)(ms / 2 + 1));
    return ms < retry_after_ms ? retry_after_ms : ms;
}
