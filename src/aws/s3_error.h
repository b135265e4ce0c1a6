/* SPDX-License-Identifier: Apache-2.0
 *
 * s3_error: what an S3 store's refusal means, in our codes and words. Codes: S3 API reference,
 * "Error responses"; where stores differ from AWS the .c says so. Pure; any thread.
 *
 *     struct s3_context ctx = {.operation = "PutObject", .what = "s3://b/k", ...};
 *     struct s3_answer answer = {.status = 403, .body = body, .body_len = len};
 *     s3_error_set(&err, &ctx, &answer);
 *     log_error("%s", err.msg);
 */
#ifndef EGRESS_AWS_S3_ERROR_H
#define EGRESS_AWS_S3_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/* What was tried, for the message. All borrowed, none NULL. */
struct s3_context {
    const char *operation; /* S3's name: "PutObject" */
    const char *what;      /* "s3://bucket/key" */
    const char *bucket;
    const char *endpoint;
    const char *region;
    const char *provider; /* of the credentials: "environment" */
    /* What it carried that not every store takes: x-amz-checksum-*, If-None-Match or If-Match. */
    bool checksums, conditional;
};

/* What came. Borrowed. Header values: NULL when not sent. */
struct s3_answer {
    int status;
    int retry_after_ms;
    bool head; /* of a HEAD request: never a body */
    const char *content_type;
    const char *bucket_region; /* x-amz-bucket-region */
    const char *date;
    const char *body;
    size_t body_len;
};

/* Sets err from an answer that is no success. Which code:
 * ERR_NOT_FOUND no such key - ERR_EXISTS a condition failed - ERR_DESTINATION bucket, region,
 * endpoint, quota, what the store lacks (the message names the setting that does without) -
 * ERR_AUTH, ERR_CONFIG (clock) who we are - ERR_HTTP with a status that is worth a retry: the store
 * is busy or broken - ERR_INTEGRITY what arrived is not what we sent - ERR_PROTOCOL with
 * http_status 404: the multipart upload is gone; with 409: another write of the same key is under
 * way; without one: half an answer - ERR_HTTP otherwise. */
void s3_error_set(struct err *err, const struct s3_context *ctx, const struct s3_answer *answer);

/* Whether a body (of a 200, too) is an <Error> document. */
bool s3_error_is(const char *body, size_t len);

/* The <Code> of an <Error> document: "AccessDenied"; "" when it is none. */
enum { S3_ERROR_CODE_SIZE = 64 };
void s3_error_code(const char *body, size_t len, char out[S3_ERROR_CODE_SIZE]);

/* ERR_DESTINATION: an answer that no S3 service would give. ERR_PROTOCOL: half of one. */
void s3_error_not_s3(struct err *err, const struct s3_context *ctx, const struct s3_answer *answer);

/* Whether err (of an upload's part, completion or abort) says that the upload is not there. */
bool s3_error_upload_gone(const struct err *err);

/* Whether err says that another write of the same key was under way. To be tried again, but for
 * CompleteMultipartUpload: there the upload is spent (S3 API reference, "Errors"). */
bool s3_error_conflict(const struct err *err);

/* What a refusal tells of how to sign instead. */
struct s3_lesson {
    int64_t
        now_ms; /* the store's clock, when it refuses the date that was signed; 0: it does not */
    char region[64]; /* the bucket's, when it refuses what was signed for; "": it does not */
};

/* signed_ms: the date in the refused signature, Unix time. */
struct s3_lesson s3_error_lesson(const struct s3_answer *answer, int64_t signed_ms);

#endif
