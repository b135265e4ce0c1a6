/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials: who we are to AWS: looked for in the AWS CLI's order, renewed before they expire.
 *
 * Where they come from is settled by credentials_new(), without the network; the order is in
 * credentials_chain.c, one provider a file (credentials_*.c). Temporary ones are fetched when they
 * are first asked for and again before they expire, by one fetch at a time that all who wait share.
 * Owned by one loop's thread.
 *
 *     struct credentials *who = credentials_new(loop, &config, &err);
 *     if (!credentials_current(who))
 *         credentials_get(who, &me->wait, on_credentials, me);    comes from loop_run()
 *     rq.credentials = credentials_current(who);
 *     sigv4_sign(&rq, &sig);
 *     credentials_free(who);
 */
#ifndef EGRESS_AWS_CREDENTIALS_H
#define EGRESS_AWS_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "net/loop.h"

struct aws_credentials {
    char *access_key_id;     /* owned */
    char *secret_access_key; /* owned; wiped on release */
    char *session_token;     /* owned; NULL when there is none; wiped on release */
    int64_t expires_ms;      /* Unix time; 0: they do not expire */
    const char *provider;    /* literal: "environment", "shared credentials file", ... */
};

void aws_credentials_release(struct aws_credentials *c);

/* What the shared files say of a profile besides keys; each NULL when they say nothing. Owned. */
struct aws_profile {
    char *region;
    char *endpoint_url; /* s3's own, else the general one */
    char *ca_bundle;
    char *addressing_style; /* s3.addressing_style: "auto", "path", "virtual" */
};

/* `profile`: as --profile named it, or NULL (then AWS_PROFILE, then "default"). A profile that was
 * named and is nowhere is an error; so is a file that cannot be read or parsed. */
int aws_profile_load(const char *profile, struct aws_profile *out, struct err *err);
void aws_profile_release(struct aws_profile *p);

struct credentials_config {
    const char *profile; /* as in aws_profile_load() */
    const char *region;  /* whose STS is asked; NULL or "": none is known */
};

struct credentials;

/* NULL (ERR_CONFIG, or ERR_USAGE of an endpoint) when something is set up wrongly, or when there is
 * nothing and EC2 instance metadata, the last resort, is switched off: the message names every
 * place that was looked in. */
struct credentials *credentials_new(struct loop *loop, const struct credentials_config *config,
                                    struct err *err);
/* Nobody may be waiting. Runs the loop for a moment when a fetch is under way. NULL is fine. */
void credentials_free(struct credentials *c);

/* What to sign with now; NULL when that takes a credentials_get() first. Borrowed until control
 * returns to the loop. Starts to renew, in the background, what expires in 5 minutes; what expires
 * in 1 minute is not given any more, unless it could not be renewed. (Sooner of what lives
 * shorter.) */
const struct aws_credentials *credentials_current(struct credentials *c);

/* Literal name of where they come from, whether they were fetched yet or not. */
const char *credentials_provider(const struct credentials *c);

/* More of where they come from than the provider's name says: a profile and its file, a role; ""
 * when there is no more to say. Never a secret. */
const char *credentials_where(const struct credentials *c);

/* ---- waiting ---- */

/* err NULL: credentials_current() has some. Otherwise why not: ERR_AUTH, ERR_CONFIG, or what net
 * said, if another try may help. */
typedef void credentials_done_fn(void *arg, const struct err *err);

struct credentials_wait { /* embedded in the caller's struct */
    credentials_done_fn *done;
    void *arg;
    struct credentials_wait *next;
    bool waiting;
    bool due; /* its answer is there */
};

/* One completion, from the loop. */
void credentials_get(struct credentials *c, struct credentials_wait *wait,
                     credentials_done_fn *done, void *arg);
/* After it there is no completion any more. One that does not wait is fine. */
void credentials_forget(struct credentials *c, struct credentials_wait *wait);

#endif
