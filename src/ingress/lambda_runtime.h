/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda_runtime: the conversation of a Lambda function with its runtime API: next, response or
 * error, next, ...
 *
 * Source: Lambda developer guide, "Using the Lambda runtime API". Between invocations the machine
 * is frozen, so `next` has no time-out of any kind; it never goes through a proxy. Whatever the API
 * answers that makes no sense is one line in the log and then a pause, longer each time; after
 * RUNTIME_FAILURES_MAX in a row it is given up, for Lambda to start afresh. Loop's thread.
 *
 *     struct lambda_runtime_config config = {.loop = loop, .address = getenv(LAMBDA_RUNTIME_API),
 *                                            .on_invocation = on_invocation, .on_end = on_end};
 *     struct lambda_runtime *runtime = lambda_runtime_new(&config);
 *     lambda_runtime_next(runtime);
 *     loop_run(loop);                           on_invocation ends in lambda_runtime_respond()
 *     lambda_runtime_free(runtime);
 */
#ifndef EGRESS_INGRESS_LAMBDA_RUNTIME_H
#define EGRESS_INGRESS_LAMBDA_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "net/loop.h"

#define LAMBDA_RUNTIME_API "AWS_LAMBDA_RUNTIME_API" /* HOST:PORT */
#define LAMBDA_TRACE_ID    "_X_AMZN_TRACE_ID"

enum {
    /* Lambda's own limit for what it hands over, 6 MB, with what it adds. */
    RUNTIME_PAYLOAD_MAX = 6 * 1024 * 1024 + 64 * 1024,
    RUNTIME_FAILURES_MAX = 6,
    RUNTIME_REQUEST_ID_MAX = 128, /* bytes; they are UUIDs */
};

struct lambda_invocation { /* borrowed until it is answered */
    const char *request_id;
    const char *function_arn; /* as invoked; "" when not told */
    int64_t deadline_ms;      /* Unix time; 0: not told, or not to be understood */
    const char *payload;      /* payload_len bytes and a NUL */
    size_t payload_len;
};

struct lambda_runtime_config {
    struct loop *loop;
    const char *address; /* borrowed: outlives the runtime */
    /* LAMBDA_TRACE_ID is in the environment. Answered by exactly one lambda_runtime_respond() or
     * lambda_runtime_fail(), from inside the call or later. */
    void (*on_invocation)(void *arg, const struct lambda_invocation *invocation);
    /* Once, and nothing after it: why there will be no more. */
    void (*on_end)(void *arg, const struct err *err);
    void *arg;
};

struct lambda_runtime;

struct lambda_runtime *lambda_runtime_new(const struct lambda_runtime_config *config);
/* After on_end, before anything was asked, or with an invocation that is not answered. NULL is
 * fine. */
void lambda_runtime_free(struct lambda_runtime *rt);

/* Asks for the first invocation; further ones are asked for when one has been answered. */
void lambda_runtime_next(struct lambda_runtime *rt);

/* The function's result, JSON; copied. */
void lambda_runtime_respond(struct lambda_runtime *rt, const char *json, size_t len);
/* The invocation failed: Lambda counts it as an error, and tries an asynchronous one again. type:
 * a word, "Egress.config"; all of what is sent is err's message, and so without secrets. */
void lambda_runtime_fail(struct lambda_runtime *rt, const char *type, const struct err *err);

/* In place of lambda_runtime_next(): the function cannot start. Ends in on_end with this err. */
void lambda_runtime_init_fail(struct lambda_runtime *rt, const char *type, const struct err *err);

#endif
