/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict: what a failed try means for its job, the same for every queue, and how long until the
 * next one. Pure, but for chance. Any thread.
 *
 *     if (verdict_of(&result->err, stopped, tries == 0) == VERDICT_LATER)
 *         wait(verdict_backoff_ms(10000, 3600000, tries, result->err.retry_after_ms));
 */
#ifndef EGRESS_SCHEDULE_VERDICT_H
#define EGRESS_SCHEDULE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum verdict {
    VERDICT_NEVER,   /* it will never be stored as things are */
    VERDICT_LATER,   /* after a backoff; refusals and a wrong set-up included */
    VERDICT_UNKNOWN, /* no such job, and nobody has asked before: once more, after a while */
    VERDICT_AT_ONCE, /* we stopped it: nothing was decided about the job */
};

/* stopped: it had been asked to end. first: no try of it has failed before. */
enum verdict verdict_of(const struct err *err, bool stopped, bool first);

/* Whether other jobs are likely to fail with it just the same: the other side cannot be reached,
 * refuses us, or has no room. */
bool verdict_is_of_setup(const struct err *err);

/* min_ms, doubled by each of the tries that failed before, at most max_ms; of that the upper half
 * by chance, so that many that failed together do not come together. Never less than what the
 * other side asked for (struct err, retry_after_ms). */
int64_t verdict_backoff_ms(int64_t min_ms, int64_t max_ms, unsigned failed_before,
                           int retry_after_ms);

#endif
