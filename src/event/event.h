/* SPDX-License-Identifier: Apache-2.0
 *
 * event: the bytes of a webhook -> a validated struct event.
 *
 * The Platform signs nothing: an event only names a job, which is then looked up with our own token
 * (design.md, promise 9). Pure. Any thread.
 *
 *     struct event event;
 *     if (event_parse(body, len, &event, &err) == 0) {
 *         handle(event.id);
 *         event_release(&event);
 *     }
 */
#ifndef EGRESS_EVENT_EVENT_H
#define EGRESS_EVENT_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/job_id.h"

enum {
    EVENT_BODY_MAX = 64 * 1024, /* bytes; the Platform's are about 100 */
};

#define EVENT_JOB_COMPLETE "job_complete" /* the one value the Platform is known to send */

struct event {
    char id[JOB_ID_MAX + 1];
    char *event; /* owned; EVENT_JOB_COMPLETE */
    char *msg;   /* owned; any text, up to EVENT_BODY_MAX; NULL when missing or not a string */
};

/* -1: ERR_TOO_LARGE over EVENT_BODY_MAX, ERR_INPUT for anything else, which names what was wrong
 * and what was expected. *event is set on success only. */
int event_parse(const void *body, size_t len, struct event *event, struct err *err) MUST_CHECK;

/* A zeroed one is fine. */
void event_release(struct event *event);

#endif
