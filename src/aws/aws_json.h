/* SPDX-License-Identifier: Apache-2.0
 *
 * aws_json: one signed call of a service that speaks AWS's JSON protocol, and its life: credentials
 * are waited for and renewed, what is worth it is sent again (by net), refusals are put into our
 * words.
 *
 * Source: AWS JSON 1.0 and 1.1 protocols (Smithy). Loop's thread.
 *
 *     struct aws_json client = {.loop = loop, .title = "SQS", .target = "AmazonSQS", ...};
 *     struct aws_json_request rq = {.operation = "SendMessage", .body = &json, .answer_max = 4096};
 *     aws_json_start(&client, &rq, on_done, me);
 *     loop_run(loop);
 */
#ifndef EGRESS_AWS_AWS_JSON_H
#define EGRESS_AWS_AWS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/aws_service.h"
#include "aws/credentials.h"
#include "core/buf.h"
#include "core/err.h"
#include "net/loop.h"

/* What a service's own error code means. Tables of them end with a NULL code. */
struct aws_json_refusal {
    const char *code;
    enum err_code as;
    const char *advice;
};

struct aws_json { /* a client; borrowed by its calls. All but `service` is borrowed */
    struct loop *loop;
    struct aws_service service; /* owned */
    struct credentials *credentials;
    const char *title;        /* "SQS" */
    const char *target;       /* "AmazonSQS": before the operation in X-Amz-Target */
    const char *content_type; /* "application/x-amz-json-1.0" */
    const char *what;         /* what calls are about, for messages: a queue's URL */
    const struct aws_json_refusal *refusals;
};

struct aws_json_request {
    const char *operation; /* literal */
    struct buf *body;      /* taken over; wiped at the end */
    size_t answer_max;     /* bytes */
    int64_t wait_ms;       /* the service may take so long on purpose (a long poll) */
    bool once;             /* whoever calls does the retrying */
};

struct aws_json_call; /* gone when its completion is called */

/* err NULL: a 2xx with this body, borrowed for the call. Otherwise ERR_AUTH, ERR_CONFIG (clock),
 * ERR_HTTP with a status that is worth a retry (throttled, a fault there), what the client's table
 * says, ERR_DESTINATION (no such service there), or what net said. */
typedef void aws_json_done_fn(void *arg, const char *body, size_t len, const struct err *err);

struct aws_json_call *aws_json_start(struct aws_json *client, const struct aws_json_request *rq,
                                     aws_json_done_fn *done, void *arg);
void aws_json_cancel(struct aws_json_call *call);

/* ---- for what stands in an answer; pure ---- */

struct aws_json_error {
    char code[80];     /* without a namespace; "": none was given */
    char also[80];     /* the same in older words (x-amzn-query-error), or "" */
    char message[192]; /* printable */
};

/* From an error's body, and that header (NULL: not there). What is no JSON leaves all empty. */
void aws_json_read_error(const char *body, size_t len, const char *query_error,
                         struct aws_json_error *out);
/* From its pieces; each may be NULL. */
void aws_json_set_error(struct aws_json_error *out, const char *type, const char *message,
                        const char *query_error);

/* Puts a refusal of `operation` into our words. status: of HTTP; 200 when a part of a batch was
 * refused. */
void aws_json_refused(const struct aws_json *client, const char *operation,
                      const struct aws_json_error *error, int status, struct err *err);

#endif
