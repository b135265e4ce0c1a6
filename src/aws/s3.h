/* SPDX-License-Identifier: Apache-2.0
 *
 * s3: one bucket's API calls, each signed at the moment it is sent.
 *
 * Every call is a start and exactly one completion, which comes from the loop and never from inside
 * the start; the handle is for s3_cancel() and is gone when the completion is called. All on the
 * loop's thread. Single requests are retried by net/http; by this room: CompleteMultipartUpload,
 * which can fail inside a 200; what is refused because another write is under way; and, once each,
 * what was signed by a wrong clock or for another region than the bucket's. The client keeps what
 * such a refusal told. Errors: see aws/s3_error.h. Limits: S3 user guide, "Multipart upload
 * limits", "Object key naming".
 *
 * HTTP redirects are not followed. With an endpoint of AWS's own the region's endpoint is gone to,
 * with another only the signature changes; nothing that a store says is taken for a host.
 *
 *     struct s3_config config = {.bucket = "b", .region = "eu-west-1", .credentials = creds};
 *     struct s3 *s3 = s3_new(loop, &config, &err);
 *     s3_head(s3, "reports/1.json", &info, on_done, me);
 *     loop_run(loop);
 *     s3_free(s3);
 */
#ifndef EGRESS_AWS_S3_H
#define EGRESS_AWS_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "aws/s3_place.h"
#include "core/buf.h"
#include "core/err.h"
#include "net/loop.h"

enum {
    S3_KEY_MAX = 1024, /* bytes of UTF-8 */
    S3_ETAG_SIZE = 128,
    S3_PARTS_MAX = 10000,
    S3_ATTEMPT_SIZE = 33,
};
#define S3_PART_MIN ((uint64_t)5 << 20) /* every part but the last */
#define S3_PART_MAX ((uint64_t)5 << 30)

struct s3_config {
    const char *bucket;       /* copied, like every string here */
    const char *prefix;       /* for sink_s3: stands before every key; NULL or "": none */
    const char *region;       /* NULL: us-east-1 */
    const char *endpoint_url; /* NULL: AWS's own of that region */
    enum s3_addressing addressing;
    bool unsigned_payload;      /* bodies over http unsigned too (over https they always are) */
    bool no_checksum;           /* send no x-amz-checksum-* and what goes with them */
    const char *sse;            /* x-amz-server-side-encryption; NULL: the bucket's default */
    const char *sse_kms_key_id; /* NULL: the bucket's default */
    const char *storage_class;  /* NULL: the bucket's default */
    struct credentials *credentials; /* borrowed: outlives the client */

    /* For sink_s3, like the prefix: what the store lacks. */
    bool no_conditions; /* If-None-Match and If-Match */
    bool equal_parts;   /* takes parts of one size only, but for the last */
    uint32_t parts_max; /* of an object; 0: S3_PARTS_MAX */
};

struct s3;
struct s3_call; /* a call under way */

typedef void s3_done_fn(void *arg, const struct err *err); /* err NULL: it worked */

/* NULL (ERR_USAGE) when a name or the endpoint cannot be. */
struct s3 *s3_new(struct loop *loop, const struct s3_config *config, struct err *err);
void s3_free(struct s3 *s3); /* nothing may be under way; NULL is fine */

/* fn is shown every answer from now on, of whatever status, before the call that it answers goes
 * on: for those who ask what a store is like (`egress doctor`). */
struct s3_answer; /* aws/s3_error.h */
void s3_watch(struct s3 *s3, void (*fn)(void *arg, const struct s3_answer *answer), void *arg);

/* Appends "s3://bucket/key". */
void s3_locate(const struct s3 *s3, const char *key, struct buf *out);

/* What is written with an object. Borrowed during the call that gets it only. */
struct s3_object {
    const char *key;
    const char *content_type, *content_encoding; /* or NULL */
    const char *if_match;                        /* etag, or NULL */
    bool if_none_match;                          /* only when the key is free */
    /* Metadata x-amz-meta-egress-*, percent-encoded; each NULL to leave it out. */
    const char *source, *job, *output, *attempt;
};

struct s3_info {
    uint64_t size;
    int64_t modified_ms; /* Unix time, or 0 */
    char etag[S3_ETAG_SIZE];
    bool has_crc32c; /* of the whole object: a composite one ("-N") is not given */
    uint32_t crc32c;
    char source[32], job[129], attempt[S3_ATTEMPT_SIZE]; /* metadata; "" when absent or malformed */
};

/* *out is filled at completion. ERR_NOT_FOUND: no such key (or bucket: a HEAD cannot tell). */
struct s3_call *s3_head(struct s3 *s3, const char *key, struct s3_info *out, s3_done_fn *done,
                        void *arg);

/* on_data returns 0 to go on, -1 to end the call (ERR_CANCELLED). */
struct s3_call *s3_get(struct s3 *s3, const char *key,
                       int (*on_data)(void *arg, const void *data, size_t len), s3_done_fn *done,
                       void *arg);

/* data: borrowed until completion. etag: filled at completion, or NULL. */
struct s3_call *s3_put(struct s3 *s3, const struct s3_object *object, const void *data, size_t len,
                       uint32_t crc32c, char etag[S3_ETAG_SIZE], s3_done_fn *done, void *arg);

/* An upload that was begun. */
struct s3_created {
    char *upload_id; /* the caller frees it */
    unsigned lost;   /* requests without an answer of any use: each may have begun one more */
    /* When those were begun; Unix time by the store's clock, to the second. */
    int64_t from_ms, to_ms;
};

/* Conditions are left out here: S3 takes them at completion. *out: set at completion; when it fails
 * all but the id is. */
struct s3_call *s3_create_upload(struct s3 *s3, const struct s3_object *object,
                                 struct s3_created *out, s3_done_fn *done, void *arg);

/* number: 1 to S3_PARTS_MAX; data: borrowed until completion. */
struct s3_call *s3_upload_part(struct s3 *s3, const char *key, const char *upload_id,
                               uint32_t number, const void *data, size_t len, uint32_t crc32c,
                               char etag[S3_ETAG_SIZE], s3_done_fn *done, void *arg);

/* One that is stored. Stores that check CRC32Cs want each again at completion; has_crc32c: known.
 */
struct s3_part {
    char *etag;
    bool has_crc32c;
    uint32_t crc32c;
};

struct s3_parts {
    const char *upload_id;
    const struct s3_part *parts; /* 1 to n, no etag NULL */
    uint32_t n;
    uint64_t size; /* of the whole, as is crc32c */
    uint32_t crc32c;
};

/* Of the object key and conditions count. Parts are borrowed during the call. etag may become "":
 * some stores tell none here. */
struct s3_call *s3_complete_upload(struct s3 *s3, const struct s3_object *object,
                                   const struct s3_parts *parts, char etag[S3_ETAG_SIZE],
                                   s3_done_fn *done, void *arg);

/* An upload that is gone is an error here: see s3_error_upload_gone(). */
struct s3_call *s3_abort_upload(struct s3 *s3, const char *key, const char *upload_id,
                                s3_done_fn *done, void *arg);

/* if_match: etag, or NULL. A key that is not there is no error. */
struct s3_call *s3_delete(struct s3 *s3, const char *key, const char *if_match, s3_done_fn *done,
                          void *arg);

/* Calls each(arg, key) for every key that begins with prefix, page after page. */
struct s3_call *s3_list(struct s3 *s3, const char *prefix, void (*each)(void *arg, const char *key),
                        s3_done_fn *done, void *arg);

/* Calls each(...) for every part that the store has of an upload, in the order of their numbers. An
 * upload that is gone is an error: see s3_error_upload_gone(). */
typedef void s3_part_fn(void *arg, uint32_t number, uint64_t size, const char *etag,
                        const uint32_t *crc32c); /* crc32c: NULL when the store keeps none */
struct s3_call *s3_list_parts(struct s3 *s3, const char *key, const char *upload_id,
                              s3_part_fn *each, s3_done_fn *done, void *arg);

/* Calls each(...) for every unfinished upload whose key begins with prefix. */
typedef void s3_upload_fn(void *arg, const char *key, const char *upload_id, int64_t started_ms);
struct s3_call *s3_list_uploads(struct s3 *s3, const char *prefix, s3_upload_fn *each,
                                s3_done_fn *done, void *arg);

/* Asks a call to end soon; its completion still comes: with ERR_CANCELLED, or with its result if
 * that was first. */
void s3_cancel(struct s3_call *call);

#endif
