/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor: tries out what a transfer will need, piece by piece, and says of each how it went and
 * what to do about it: the Platform, and a destination if there is one.
 *
 * What it writes into a destination for that lies in PREFIX/.egress/doctor/ and is removed again,
 * whatever happens in between. No check takes more than half a minute (--thorough: three). Main
 * thread.
 *
 *     struct doctor_config config = {.settings = s, .on_check = f, .on_end = g, .arg = me};
 *     struct doctor *doctor = doctor_new(&config, &err);
 *     doctor_start(doctor);
 *     loop_run(doctor_loop(doctor));            on_end calls loop_stop()
 *     doctor_free(doctor);
 */
#ifndef EGRESS_DOCTOR_DOCTOR_H
#define EGRESS_DOCTOR_DOCTOR_H

#include "core/err.h"
#include "core/settings.h"
#include "net/loop.h"

struct doctor;

enum doctor_status { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP };
enum { DOCTOR_STATUSES = DOCTOR_SKIP + 1 };

/* One line. Valid during the call. Never a secret in it. */
struct doctor_check {
    enum doctor_status status;
    const char *name;      /* of the check: "open uploads" */
    const char *text;      /* what was found, one line */
    const char *advice;    /* what to do about it; "" with DOCTOR_OK, or where the text says it */
    const struct err *err; /* of DOCTOR_FAIL, else NULL */
};

struct doctor_config {
    const struct settings *settings; /* borrowed: outlives the doctor */
    void (*on_check)(void *arg, const struct doctor_check *check);
    void (*on_end)(void *arg); /* once */
    void *arg;
};

/* NULL: --to (ERR_USAGE) or the CA bundle cannot be, and nothing was tried. */
struct doctor *doctor_new(const struct doctor_config *config, struct err *err);
struct loop *doctor_loop(struct doctor *doctor); /* borrowed */
void doctor_start(struct doctor *doctor);
/* No further checks; cleans up, then on_end. */
void doctor_cancel(struct doctor *doctor);
/* After on_end. Gives nothing back when a file system hangs: a thread of ours is in there. NULL is
 * fine. */
void doctor_free(struct doctor *doctor);

#endif
