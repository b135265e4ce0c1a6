/* SPDX-License-Identifier: Apache-2.0
 *
 * breaker: whether many jobs may be begun, or just one to see whether it works again. It opens once
 * BREAKER_ROW tries in a row have failed for a reason that is not the job's (verdict.h), and closes
 * when a job is stored. While it is open one job at a time is begun, the probe, with a pause after
 * each that failed; what was under way when it opened goes on.
 *
 * A try that says nothing about the set-up (the job has failed or expired, it was stored before) is
 * left out: it neither opens nor closes it, and after such a probe the next one may begin at once.
 *
 * Plain value, no clock of its own. One thread at a time.
 *
 *     struct breaker b = {.pause_min_ms = 10000, .pause_max_ms = 300000};
 *     if (breaker_next_ms(&b) <= now_ms)
 *         begin(job, breaker_begin(&b));
 *     if (breaker_end(&b, BREAKER_SETUP, probe, 0, now_ms) == BREAKER_OPENED)
 *         log_warn(...);
 */
#ifndef EGRESS_SCHEDULE_BREAKER_H
#define EGRESS_SCHEDULE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_ROW = 5 };

struct breaker {
    int64_t pause_min_ms, pause_max_ms; /* doubled by each probe that failed */
    unsigned row;                       /* failures since a job was stored */
    bool open;
    bool probing;     /* open: the probe is under way */
    unsigned probes;  /* that failed since it opened */
    int64_t pause_ms; /* the latest */
    int64_t next_ms;  /* open: the next probe may begin then */
};

enum breaker_reason { BREAKER_STORED, BREAKER_SETUP, BREAKER_OTHER };
enum breaker_change { BREAKER_SAME, BREAKER_OPENED, BREAKER_CLOSED };

/* When a job may be begun: 0: at any time. INT64_MAX: not before the probe has ended. */
int64_t breaker_next_ms(const struct breaker *b);
/* A job begins; whether it is a probe. */
bool breaker_begin(struct breaker *b);
/* A job that was begun has ended. */
enum breaker_change breaker_end(struct breaker *b, enum breaker_reason why, bool probe,
                                int retry_after_ms, int64_t now_ms);

#endif
