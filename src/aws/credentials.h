/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials: who we are to AWS, and the chain of places where that is looked for.
 *
 * The order is the AWS CLI's: the environment (unless a profile was named on the command line),
 * then the shared credentials and config files. One provider a file (credentials_*.c). Owned by
 * one loop's thread.
 *
 *     struct credentials *who = credentials_new(profile, &err);
 *     if (!who) ...
 *     rq.credentials = credentials_current(who);
 *     sigv4_sign(&rq, &sig);
 *     credentials_free(who);
 */
#ifndef EGRESS_AWS_CREDENTIALS_H
#define EGRESS_AWS_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

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

struct credentials;

/* Looks through the chain. NULL (ERR_CONFIG, names every place that was tried) when none has any.
 */
struct credentials *credentials_new(const char *profile, struct err *err);
void credentials_free(struct credentials *c);

/* What to sign with now; borrowed until the next call on c. */
const struct aws_credentials *credentials_current(struct credentials *c);

#endif
