/* SPDX-License-Identifier: Apache-2.0
 *
 * sts: AWS's Security Token Service: AssumeRole (signed) and AssumeRoleWithWebIdentity (not).
 *
 * A call is a start and one completion from the loop. Source: STS API reference, 2011-06-15.
 *
 *     struct sts *sts = sts_new(loop, "eu-west-1", NULL, false, &err);
 *     struct sts_request rq = {.role_arn = arn, .session_name = "me", .who = &keys};
 *     sts_assume(sts, &rq, on_done, me);
 *     loop_run(loop);
 *     sts_free(sts);
 */
#ifndef EGRESS_AWS_STS_H
#define EGRESS_AWS_STS_H

#include "aws/credentials.h"
#include "core/err.h"
#include "net/loop.h"

enum { STS_DURATION_MIN_S = 900, STS_DURATION_MAX_S = 43200 };

struct sts;
struct sts_call; /* gone when its completion is called */

/* region NULL: none is known. endpoint_url NULL: AWS's own. legacy: the global endpoint for the
 * regions that had no other once (AWS_STS_REGIONAL_ENDPOINTS=legacy). NULL: ERR_USAGE. */
struct sts *sts_new(struct loop *loop, const char *region, const char *endpoint_url, bool legacy,
                    struct err *err);
void sts_free(struct sts *sts); /* nothing may be under way; NULL is fine */
const char *sts_endpoint(const struct sts *sts);

struct sts_request {
    const char *provider; /* literal; for what is found */
    const char *role_arn;
    const char *session_name;
    const char *external_id;           /* or NULL */
    int duration_s;                    /* 0: the role's default */
    const char *web_identity_token;    /* or NULL: then `who` asks */
    const struct aws_credentials *who; /* borrowed until completion */
};

/* One of the two is NULL; what is found is the receiver's from here on. err: ERR_AUTH refused;
 * ERR_HTTP, ERR_NETWORK, ERR_TIMEOUT: another try may help; ERR_PROTOCOL. */
typedef void sts_done_fn(void *arg, const struct aws_credentials *found, const struct err *err);

struct sts_call *sts_assume(struct sts *sts, const struct sts_request *rq, sts_done_fn *done,
                            void *arg);
void sts_cancel(struct sts_call *call);

#endif
