/* SPDX-License-Identifier: Apache-2.0
 *
 * secrets: reads one secret out of AWS Secrets Manager.
 *
 * A start and one completion from the loop. Source: Secrets Manager API reference, 2017-10-17.
 * Loop's thread.
 *
 *     struct secrets_config config = {.id = arn, .credentials = who};
 *     struct secrets *secrets = secrets_new(loop, &config, &err);
 *     secrets_get(secrets, on_secret, me);
 *     loop_run(loop);
 *     secrets_free(secrets);
 */
#ifndef EGRESS_AWS_SECRETS_H
#define EGRESS_AWS_SECRETS_H

#include <stddef.h>

#include "aws/credentials.h"
#include "core/err.h"
#include "net/loop.h"

struct secrets;

struct secrets_config {
    const char *id;     /* ARN (which says the region) or name */
    const char *region; /* of a name; NULL: us-east-1 */
    /* NULL: AWS_ENDPOINT_URL_SECRETS_MANAGER, else AWS_ENDPOINT_URL, else AWS's own. */
    const char *endpoint_url;
    struct credentials *credentials; /* borrowed: outlives us */
};

/* NULL (ERR_USAGE): that is no secret's id, or no region or endpoint. */
struct secrets *secrets_new(struct loop *loop, const struct secrets_config *config,
                            struct err *err);
void secrets_free(struct secrets *secrets); /* nothing may be under way; NULL is fine */

/* SecretString's bytes, or those that SecretBinary stands for; wiped when the call returns.
 * err: ERR_CONFIG no such secret, or it has no value; otherwise as aws_json.h has it. */
typedef void secrets_done_fn(void *arg, const void *data, size_t len, const struct err *err);

/* One at a time. */
void secrets_get(struct secrets *secrets, secrets_done_fn *done, void *arg);
/* Its completion comes soon. Without one under way it does nothing. */
void secrets_cancel(struct secrets *secrets);

#endif
