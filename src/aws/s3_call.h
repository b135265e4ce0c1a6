/* SPDX-License-Identifier: Apache-2.0
 *
 * s3_call: one signed exchange with a store and its life; what the s3*.c files share.
 *
 * s3_call_new() -> headers, query, body -> s3_call_start() -> (send -> answer -> again?)* -> done.
 *
 *     struct s3_call *call = s3_call_new(s3, "HeadObject", "HEAD", key, done, arg);
 *     s3_call_header(call, "x-amz-checksum-mode", "ENABLED");
 *     call->on_answer = read_head;
 *     return s3_call_start(call);
 */
#ifndef EGRESS_AWS_S3_CALL_H
#define EGRESS_AWS_S3_CALL_H

#include "aws/s3.h"
#include "aws/s3_error.h"
#include "aws/sigv4.h"
#include "net/http.h"

struct s3 {
    struct loop *loop;
    struct s3_place place;
    char *bucket, *region;
    char *endpoint_url; /* as it was given, or NULL */
    enum s3_addressing addressing;
    bool moved;              /* region is what a refusal told: once, and not again */
    int64_t clock_offset_ms; /* the store's clock less ours, as far as a refusal has told it */
    char *sse, *sse_kms_key_id, *storage_class; /* or NULL */
    bool sign_payload;
    bool checksum;
    struct credentials *credentials;                          /* borrowed: outlives us */
    struct sigv4_key key;                                     /* of the latest signature */
    void (*watch)(void *arg, const struct s3_answer *answer); /* see s3_watch(), or NULL */
    void *watch_arg;
};

enum { S3_CALL_HEADERS_MAX = 24 };

enum s3_next {
    S3_DONE,
    S3_FAILED, /* with err set */
    S3_AGAIN,  /* send the request once more, after again_ms */
};

struct s3_call {
    struct s3 *s3;
    s3_done_fn *done;
    void *arg;

    /* the request */
    const char *operation; /* literal, as is method */
    const char *method;
    char *key;  /* owned; NULL: about the bucket */
    char *path; /* owned; as it goes over the wire */
    struct buf query;
    struct http_header headers[S3_CALL_HEADERS_MAX]; /* values owned */
    size_t n_headers;
    const void *body; /* borrowed, or own_body's */
    size_t body_len;
    bool has_body;
    bool bulk_body; /* need not be signed over https */
    struct buf own_body;
    char payload_hash[SIGV4_HASH_TEXT_SIZE]; /* "": not computed yet */
    size_t answer_max;

    /* Reads a 2xx. */
    enum s3_next (*on_answer)(struct s3_call *call, const struct http_response *rsp,
                              struct err *err);
    int (*on_data)(void *arg, const void *data, size_t len); /* takes the body of a 2xx, or NULL */

    /* where results go; which are used depends on the operation */
    struct s3_info *info;
    char *etag; /* S3_ETAG_SIZE, or NULL */
    struct s3_created *created;
    void (*each)(void *arg, const char *key);
    s3_part_fn *each_part;
    s3_upload_fn *each_upload;
    char *prefix, *token; /* owned; a listing's, and its next page */
    unsigned pages;       /* of it so far */
    unsigned bare_pages;  /* the latest of them in a row that told of nothing */

    /* progress */
    struct http_call *http;       /* NULL between exchanges */
    struct credentials_wait wait; /* for credentials, before the exchange */
    int renewals;                 /* exchanges begun again, as what they began with was old */
    bool outdated;                /* this one is */
    bool moved;                   /* s3->moved when it began */
    int64_t signed_ms;            /* the date in its latest signature, Unix time */
    int64_t first_sent_ms;        /* monotonic; the first of all */
    bool clock_learned;           /* sent again by another clock: not a second time */
    bool conflict_ends;           /* a 409 is not tried again */
    int conflicts;
    struct loop_timer timer;
    int64_t again_ms;
    int tries;
    bool cancelled;
    struct err refused; /* found before the start */
};

/* key: copied; checked against S3's limits (told at completion). NULL for the bucket itself. */
struct s3_call *s3_call_new(struct s3 *s3, const char *operation, const char *method,
                            const char *key, s3_done_fn *done, void *arg);
/* Both are signed; the value is copied, the name a literal. */
void s3_call_header(struct s3_call *call, const char *name, const char *value);
/* "&name=value", the value encoded. */
void s3_call_query(struct s3_call *call, const char *name, const char *value);
struct s3_call *s3_call_start(struct s3_call *call);

/* A listing goes on at `token` (copied): S3_AGAIN, if that makes sense. n: entries of the page on
 * hand. A store that always tells of one more page comes to an end here. */
enum s3_next s3_call_turn_page(struct s3_call *call, const char *token, size_t n, struct err *err);

/* Answers that were 2xx and yet fail. */
enum s3_next s3_call_not_s3(struct s3_call *call, const struct http_response *rsp, struct err *err);
enum s3_next s3_call_refused(struct s3_call *call, const struct http_response *rsp,
                             struct err *err);
/* ERR_PROTOCOL: "s3://b/k: PutObject: WHY". */
enum s3_next s3_call_nonsense(struct s3_call *call, const char *why, struct err *err);

#endif
