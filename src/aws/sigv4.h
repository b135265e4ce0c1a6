/* SPDX-License-Identifier: Apache-2.0
 *
 * sigv4: AWS Signature Version 4 in its three numbered stages, for headers and presigned URLs.
 *
 * Pure: no clock, no I/O; the caller says when. S3's rules are the default (path encoded once and
 * not normalised); other services set `normalize_path`. Source: AWS "Signature Version 4 signing
 * process" and "Authenticating Requests" of the S3 API reference. Any thread.
 *
 *     struct sigv4_request rq = {.method = "PUT", .host = host, .path = path, ...};
 *     struct sigv4_signed sig;
 *     sigv4_sign(&rq, &sig);
 *     http_add_header(call, "Authorization", sig.authorization);
 *     sigv4_signed_release(&sig);
 */
#ifndef EGRESS_AWS_SIGV4_H
#define EGRESS_AWS_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "core/buf.h"

enum { SIGV4_HASH_TEXT_SIZE = 65 }; /* SHA-256 as lower-case hex, and the NUL */

#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

struct sigv4_header {
    const char *name; /* any case */
    const char *value;
};

/* The key that signatures of one secret, day, region and service are made with, which takes four of
 * their five HMACs. Whoever signs often keeps one: it is used again for the same four, and made
 * anew when one of them is another. Zeroed: none yet. One thread's at a time. */
struct sigv4_key {
    char *secret; /* owned, like all here; wiped on release */
    char *region, *service;
    char day[9];             /* "20130524" */
    unsigned char bytes[32]; /* wiped on release */
};

void sigv4_key_release(struct sigv4_key *key); /* a zeroed one is fine */

struct sigv4_request {
    const char *method;
    const char *path;  /* as it goes over the wire: already percent-encoded; "/" at least */
    const char *query; /* as it goes over the wire, without '?'; NULL or "" for none */
    /* Every header to be signed but host, x-amz-date, x-amz-security-token and
     * x-amz-content-sha256, which are added here. */
    const struct sigv4_header *headers;
    size_t n_headers;
    const char *host;         /* as the Host header has it */
    const char *payload_hash; /* hex SHA-256, or SIGV4_UNSIGNED_PAYLOAD */
    bool content_sha256;      /* add x-amz-content-sha256 (S3 always wants it) */
    bool normalize_path;      /* every service but S3: encode the path once more, remove dots */
    const char *region;
    const char *service; /* "s3" */
    const struct aws_credentials *credentials;
    int64_t unix_ms;       /* now, as the other side's clock has it */
    struct sigv4_key *key; /* kept by the caller, see there; NULL: made for this signature alone */
};

/* Stage 1: appends the canonical request; *signed_headers gets "host;x-amz-date" (cleared first).
 * What is encoded in another way than AWS wants it (%7e, a bare '$') is encoded anew, never twice;
 * '+' is a plus, not a blank. */
void sigv4_canonical_request(const struct sigv4_request *rq, struct buf *out,
                             struct buf *signed_headers);
/* Stage 2: appends the string to sign, from stage 1's text. */
void sigv4_string_to_sign(const struct sigv4_request *rq, const char *canonical_request,
                          struct buf *out);
/* Stage 3: the signature, hex, from stage 2's text. */
void sigv4_signature(const struct sigv4_request *rq, const char *string_to_sign,
                     char out[SIGV4_HASH_TEXT_SIZE]);

/* All three. What must be sent: the caller's headers and these. */
struct sigv4_signed {
    char amz_date[40];
    char *authorization;        /* owned */
    const char *security_token; /* borrowed from the credentials; NULL when there is none */
    const char *content_sha256; /* borrowed from the request; NULL when not asked for */
};
void sigv4_sign(const struct sigv4_request *rq, struct sigv4_signed *out);
void sigv4_signed_release(struct sigv4_signed *s);

/* Appends the query string (without '?') of a presigned URL for rq, valid for expires_s seconds
 * (AWS: 1 to 604800). rq->headers are those the user of the URL must send. */
void sigv4_presign(const struct sigv4_request *rq, unsigned expires_s, struct buf *query);

/* Hex SHA-256 of data, as payload_hash wants it. */
void sigv4_hash(const void *data, size_t len, char out[SIGV4_HASH_TEXT_SIZE]);

#endif
