/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda_event: what a Lambda function is invoked with -> which of the shapes it serves that is,
 * and what is in it. Sources: Lambda developer guide ("Using Lambda with Amazon SQS", "... API
 * Gateway"), EventBridge user guide ("Scheduled events"). Pure. Any thread.
 *
 *     struct lambda_event event;
 *     if (lambda_event_parse(data, len, &event, &err) == 0)
 *         handlers[event.kind](&event);
 *     else
 *         refusals[event.kind](&err);
 *     lambda_event_release(&event);
 */
#ifndef EGRESS_INGRESS_LAMBDA_EVENT_H
#define EGRESS_INGRESS_LAMBDA_EVENT_H

#include "core/job_id.h"
#include "ingress/proxy_event.h"
#include "queue/sqs.h"

enum lambda_event_kind {
    LAMBDA_UNKNOWN,
    LAMBDA_PROXY,    /* of API Gateway (REST, HTTP) or of a function URL */
    LAMBDA_SQS,      /* a batch of an SQS queue */
    LAMBDA_SCHEDULE, /* of EventBridge, rule or scheduler */
    LAMBDA_DIRECT,   /* {"id": JOB}, or the bare body of a webhook */
};

struct lambda_event {
    enum lambda_event_kind kind;
    struct ingress_request request; /* LAMBDA_PROXY */
    struct sqs_message *messages;   /* LAMBDA_SQS; owned, what is in them too; at least one */
    size_t n_messages;
    char job[JOB_ID_MAX + 1]; /* LAMBDA_DIRECT */
    void *document;           /* owned; what the messages point into */
};

/* "proxy", "sqs", ...: for the log. */
const char *lambda_event_kind_name(enum lambda_event_kind kind);

/* -1: event->kind still says what it was meant to be, so that its sender gets an answer that it
 * understands; LAMBDA_UNKNOWN: nothing of the above. ERR_INPUT (or ERR_TOO_LARGE) names what was
 * wrong and what was expected, and quotes no values of it. A message that is broken in itself
 * (no job in its body) is no failure; one that cannot be named to SQS fails the batch.
 * To be released in any case. */
int lambda_event_parse(const void *data, size_t len, struct lambda_event *event,
                       struct err *err) MUST_CHECK;
/* A zeroed one is fine. */
void lambda_event_release(struct lambda_event *event);

#endif
