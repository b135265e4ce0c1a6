/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor_part: what the parts of a check-up (doctor_*.c) are made of: a table of steps, each a line
 * that is printed. Internal to the room.
 *
 * A step runs when all that it needs was given by earlier ones, otherwise its line is a skip that
 * names the one to blame. Its run() ends, then or later from the loop, in exactly one of
 * doctor_ok(), doctor_warn(), doctor_fail(), doctor_skip() and doctor_nothing().
 *
 *     static void run_token(struct doctor *d, void *part)
 *     {
 *         if (token_load(path, &token, &err) < 0)
 *             doctor_fail(d, &err, NULL);
 *         else
 *             doctor_ok(d, "from %s", origin);
 *     }
 *     {.name = "token", .run = run_token, .gives = HAVE_TOKEN},
 */
#ifndef EGRESS_DOCTOR_DOCTOR_PART_H
#define EGRESS_DOCTOR_DOCTOR_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assemble/destination.h"
#include "doctor/doctor.h"

struct doctor_step {
    const char *name;
    void (*run)(struct doctor *d, void *part);
    unsigned needs, gives; /* bits of the part's own; given by ok and by warn */
    bool always;           /* cleans up: also when cancelled, and tells then what did not work */
    int64_t limit_ms;      /* 0: the usual */
};

struct doctor_part {
    const struct doctor_step *steps;
    size_t n;
    void *(*open)(struct doctor *d);
    /* The step under way is to end soon. late: because its time is up. */
    void (*cancel)(void *part, bool late);
    void (*close)(void *part);
};

extern const struct doctor_part doctor_platform, doctor_s3, doctor_file;

/* ---- for steps ---- */

const struct settings *doctor_settings(const struct doctor *d);
const struct destination *doctor_destination(const struct doctor *d);
const char *doctor_to(const struct doctor *d); /* as the user wrote it */

void doctor_ok(struct doctor *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void doctor_warn(struct doctor *d, const char *advice, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* advice NULL: what fits the error, if its text does not say it itself. */
void doctor_fail(struct doctor *d, const struct err *err, const char *advice);
void doctor_skip(struct doctor *d, const char *advice, const char *fmt, ...) PRINTF_LIKE(3, 4);
void doctor_nothing(struct doctor *d); /* no line */

bool doctor_cancelled(const struct doctor *d);
/* A thread hangs: nothing may be freed any more, and no further step of the part is run. */
void doctor_hangs(struct doctor *d);

/* How far this machine's clock is ahead of one that said `theirs_ms` (a whole second) in an answer
 * that came at `ours_ms`: 0 within what that can tell. Then one of the lines above, of `whose`. */
int64_t doctor_clock_off_s(int64_t ours_ms, int64_t theirs_ms);
void doctor_clock(struct doctor *d, const char *whose, int64_t ours_ms, int64_t theirs_ms,
                  const char *advice);

#endif
