/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda_private: what the files of this room share: the function, the invocation that it is at,
 * and the steps that its handlers are made of.
 *
 * There is one invocation at a time. A handler is a function that starts something, and in the end
 * exactly one lambda_respond() or lambda_fail() is called, with nothing under way any more. Steps
 * complete from the loop, once, and never from inside the call that started them.
 */
#ifndef EGRESS_LAMBDA_LAMBDA_PRIVATE_H
#define EGRESS_LAMBDA_LAMBDA_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "assemble/assemble.h"
#include "core/log.h"
#include "core/settings.h"
#include "ingress/accept.h"
#include "ingress/lambda_event.h"
#include "ingress/lambda_runtime.h"
#include "lambda/secret.h"
#include "report/emf.h"

struct lambda;

typedef void lambda_done_fn(struct lambda *l, const struct err *err); /* err NULL: it worked */
enum checked { CHECKED_RIGHT, CHECKED_WRONG, CHECKED_UNKNOWN };
typedef void lambda_checked_fn(struct lambda *l, enum checked checked, const struct err *err);
typedef void lambda_transfer_fn(struct lambda *l, const struct transfer_result *result);

struct lambda {
    struct settings settings;
    char *to;                  /* owned; "--to=s3://BUCKET/PREFIX" of BUCKET_NAME, or NULL */
    struct assembly assembly;  /* grows with the kinds of events that come */
    struct consumer *consumer; /* of the queue's messages; goes with the engine */
    struct lambda_runtime *runtime;
    struct secret platform_token; /* .arn NULL: it comes by other ways */
    struct secret webhook_secret; /* .arn NULL: the token is no secret of Secrets Manager */
    char *webhook_token;          /* owned; NULL: not fetched, or none is asked for */
    bool warned;                  /* that none is asked for */
    const char *name;             /* borrowed; of the function, for metrics */

    /* the invocation */
    struct lambda_event event;
    char request_id[RUNTIME_REQUEST_ID_MAX + 1];
    struct log_field common[2]; /* with the request id */
    int64_t began_ms;           /* clock_mono_ms() */
    int64_t deadline_ms;        /* clock_mono_ms() by which all is to be answered; 0: not known */
    struct emf emf;
    struct receive *receive; /* of the handlers, each its own */
    struct work *work;
    struct missing *missing;
    struct now *now;

    /* the step under way */
    struct loop_task task;
    unsigned extent;
    lambda_done_fn *assembled;
    lambda_checked_fn *checked;
    void (*refreshed)(struct lambda *l, bool changed);
    struct err err;
};

/* ---- environment.c ---- */

/* Settings and tokens; -1 (ERR_CONFIG, ERR_USAGE): names the variable, what was wrong and what was
 * expected. The log is set up in any case. */
int lambda_read_environment(struct lambda *l, struct err *err) MUST_CHECK;

/* ---- lambda.c: the ends of an invocation ---- */

/* The function's result: JSON; borrowed for the call. */
void lambda_respond(struct lambda *l, const char *json);
/* An answer for API Gateway; released. */
void lambda_respond_proxy(struct lambda *l, struct answer *answer);
/* The invocation failed: it counts as an error of the function, and what sent it tries again. */
void lambda_fail(struct lambda *l, const struct err *err);

/* ---- parts.c: what handlers stand on ---- */

/* Sees to it that l->assembly has all of `extent`; the Platform's token is fetched if need be. */
void lambda_assemble(struct lambda *l, unsigned extent, lambda_done_fn *then);
/* The Platform refused the token: fetches the secret again, and takes out the source and the engine
 * if it has changed to another token. No transfer may be under way. */
void lambda_refresh_token(struct lambda *l, void (*then)(struct lambda *l, bool changed));
bool lambda_token_refused(const struct err *err);

/* ---- webhook_token.c ---- */

/* The secret that webhooks have to bring. -1 (ERR_CONFIG) when it cannot be one; what: where it
 * comes from. Copied. Keeps it out of the log. */
int lambda_set_webhook_token(struct lambda *l, const char *token, const char *what,
                             struct err *err) MUST_CHECK;
/* Whether the request brought it; err: why not, or why that could not be found out. */
void lambda_check_webhook_token(struct lambda *l, lambda_checked_fn *then);
void lambda_cancel_webhook_token(struct lambda *l); /* completes soon */

/* ---- outcome.c: what is told of a job ---- */

/* One line of the log and the counts, once for each event that named a job. later: it will be tried
 * again without anybody's doing. */
void lambda_tell_job(struct lambda *l, const struct transfer_result *result, bool later);
/* The line of an event that led to no transfer. outcome: a word; job, err may be NULL. */
void lambda_tell(struct lambda *l, const char *job, const char *outcome, const struct err *err);

/* ---- handlers, one kind of event each ---- */

void lambda_receive(struct lambda *l);      /* receive.c: a webhook */
void lambda_work(struct lambda *l);         /* work.c: an SQS batch */
void lambda_find_missing(struct lambda *l); /* scheduled.c */
void lambda_direct(struct lambda *l);       /* direct.c */

/* now.c: one job transferred within this invocation, once more if the token was rotated. result is
 * valid during the completion; of what failed before there was a transfer, it is a failed one. */
void lambda_transfer(struct lambda *l, const char *job, lambda_transfer_fn *then);

#endif
