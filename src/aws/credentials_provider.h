/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_provider: what the providers (credentials_*.c) and the chain (credentials.c) share.
 *
 * A provider looks in one place. To add one: write its file, declare its function here, put it in
 * the chain's table.
 *
 *     struct aws_credentials c = {0};
 *     int found = credentials_environment(NULL, &c, &tried, &err);
 */
#ifndef EGRESS_AWS_CREDENTIALS_PROVIDER_H
#define EGRESS_AWS_CREDENTIALS_PROVIDER_H

#include "aws/credentials.h"
#include "core/buf.h"

/* 1: *out is filled. 0: there is nothing here; where it looked is appended to `tried`, as part of a
 * sentence. -1: there is something, but it cannot be used. `profile` as in credentials_new(). */
typedef int credentials_provider_fn(const char *profile, struct aws_credentials *out,
                                    struct buf *tried, struct err *err);

credentials_provider_fn credentials_environment; /* AWS_ACCESS_KEY_ID and its companions */
credentials_provider_fn credentials_profile;     /* the shared credentials and config files */

/* What a provider found, with the names under which a user knows the values. NULL or "": absent. */
struct credentials_found {
    const char *provider; /* literal */
    const char *where;    /* for messages: `the environment`, `profile "x" in FILE` */
    const char *id_name, *id;
    const char *secret_name, *secret;
    const char *token_name, *token;
};

/* 1: *out is filled. 0: neither key is there. -1 (ERR_CONFIG): only one of them is, or one could
 * not go into a request header as it stands. */
int credentials_fill(struct aws_credentials *out, const struct credentials_found *found,
                     struct err *err);

#endif
