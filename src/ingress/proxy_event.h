/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy_event: what a Lambda function (and `egress invoke`) is handed -> method, path and body.
 *
 * Three shapes, told apart by their members: API Gateway's proxy event of payload format 2.0
 * ("requestContext": {"http": ...}; function URLs send it too), of format 1.0 ("httpMethod"), or
 * the bare body of a webhook. Source: API Gateway developer guide, "Lambda proxy integrations".
 * Pure. Any thread.
 *
 *     struct ingress_request request;
 *     if (proxy_event_parse(data, len, &request, &err) == 0) {
 *         ok = accept_event(request.method, request.body, request.body_len, &event, &answer);
 *         ingress_request_release(&request);
 *     }
 */
#ifndef EGRESS_INGRESS_PROXY_EVENT_H
#define EGRESS_INGRESS_PROXY_EVENT_H

#include <stddef.h>

#include "core/err.h"

/* Around a body of 64 KiB, each byte of which JSON may write as six, with room for headers. */
enum { PROXY_EVENT_MAX = 1024 * 1024 };

enum ingress_shape { INGRESS_BARE, INGRESS_PROXY_V1, INGRESS_PROXY_V2 };

struct ingress_request {
    enum ingress_shape shape;
    char *method;    /* owned; "POST" when the event has none */
    char *path;      /* owned; "" when the event has none */
    char *body;      /* owned; decoded; NUL-terminated behind body_len; never NULL */
    size_t body_len; /* 0: no body */
    /* A shared secret that the sender gave: owned; NULL when there is none. */
    char *query_token;  /* ?token=, decoded */
    char *header_token; /* x-egress-token, in any case */
};

/* What is no proxy event (nor JSON at all) is taken as the bare body: event_parse() tells what is
 * wrong with it. -1: ERR_TOO_LARGE over PROXY_EVENT_MAX, ERR_INPUT for a proxy event with a member
 * of the wrong type or a body that is flagged as base64 and is not. */
int proxy_event_parse(const void *data, size_t len, struct ingress_request *request,
                      struct err *err) MUST_CHECK;

/* A zeroed one is fine. */
void ingress_request_release(struct ingress_request *request);

#endif
