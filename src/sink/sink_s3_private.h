/* SPDX-License-Identifier: Apache-2.0
 *
 * sink_s3_private: what sink_s3.c (small objects, looking), sink_s3_upload.c (large ones) and
 * sink_s3_lost.c (what may be left of those) share.
 */
#ifndef EGRESS_SINK_SINK_S3_PRIVATE_H
#define EGRESS_SINK_SINK_S3_PRIVATE_H

#include "aws/s3.h"
#include "transfer/sink.h"

struct sink_s3 {
    struct sink base;
    struct loop *loop;
    struct s3 *s3;
    char *prefix;    /* owned; "" or with its '/' at the end */
    bool conditions; /* the store is told them; else it is looked just before */
};

struct sink_upload {
    struct sink_s3 *sink;
    const struct sink_object *object; /* borrowed: outlives us */
    char *key;                        /* owned; with the prefix */
    char *id;                         /* owned */
    char attempt[S3_ATTEMPT_SIZE];
    struct s3_created created; /* its upload_id is `id` */
    struct s3_part *parts; /* owned, etags too: of 1 to n_parts, NULL for those not stored yet */
    uint32_t n_parts;
    /* A part ended without an answer: the store may take it in even after an abort. */
    bool strays;
};

struct sink_op {
    struct sink_s3 *sink;
    struct s3_call *call; /* NULL between calls */
    struct loop_timer timer;
    bool cancelled;
    sink_done_fn *done;
    void *arg;

    /* what is being done; which are used depends on the operation */
    char *key; /* owned; with the prefix */
    struct sink_upload *upload;
    struct sink_upload **upload_out; /* NULL once it is handed over: until then it is ours */
    bool reopening;                  /* nothing is made: may be cancelled at once */
    struct sink_stat *stat_out;
    char *etag_out;
    char etag[S3_ETAG_SIZE];
    uint32_t part_number;
    int tries;
    int (*on_data)(void *arg, const void *data, size_t len);
    void (*each)(void *arg, const char *key);
    sink_part_fn *part;
    sink_unfinished_fn *each_unfinished;

    /* put and complete: the object as it shall be; and as it is: see look() */
    const struct sink_object *object; /* borrowed */
    const void *data;                 /* borrowed */
    uint64_t size;
    uint32_t crc32c;
    uint32_t n_parts;
    char attempt[S3_ATTEMPT_SIZE];
    void (*send)(struct sink_op *op);
    char *bare_etag; /* owned; the etag to match without its quotes, once the quoted one failed */
    struct s3_info info;
    struct err refusal;

    /* complete, abort and a begin that failed: see sink_s3_lost.c */
    bool ends_upload;
    char **lost; /* owned, each too */
    size_t n_lost;
    bool lost_in_use; /* the one being looked at */
};

/* ---- sink_s3.c ---- */

struct sink_s3 *sink_s3_of(struct sink *sink);
char *sink_s3_key(const struct sink_s3 *s, const char *key); /* with the prefix; caller frees */
struct sink_op *sink_s3_op_new(struct sink_s3 *s, sink_done_fn *done, void *arg);
void sink_s3_op_end(struct sink_op *op, const struct err *err);
void sink_s3_plain_done(void *arg, const struct err *err);
void sink_s3_new_attempt(char out[S3_ATTEMPT_SIZE]);
/* `key` and `attempt` are borrowed. */
struct s3_object sink_s3_describe(const struct sink_object *o, const char *key,
                                  const char *attempt);
struct s3_object sink_s3_described(const struct sink_op *op);
/* Begins a put or a complete: op->send(), after a look where the store's word is not enough. */
void sink_s3_store(struct sink_op *op);
/* The completion of a put and of a complete: a refusal is looked into. */
void sink_s3_stored_or_not(void *arg, const struct err *err);

/* ---- sink_s3_upload.c, the operations of sink.h ---- */

struct sink_op *sink_s3_begin(struct sink *sink, const struct sink_object *object,
                              struct sink_upload **out, sink_done_fn *done, void *arg);
struct sink_op *sink_s3_part(struct sink_upload *upload, uint32_t number, uint64_t offset,
                             const void *data, size_t len, uint32_t crc32c, sink_done_fn *done,
                             void *arg);
struct sink_op *sink_s3_complete(struct sink_upload *upload, uint32_t n_parts, uint64_t size,
                                 uint32_t crc32c, char etag_out[128], sink_done_fn *done,
                                 void *arg);
struct sink_op *sink_s3_abort(struct sink_upload *upload, sink_done_fn *done, void *arg);
void sink_s3_abort_again(void *arg); /* after a wait; also to end the wait of a cancelled one */
void sink_s3_upload_free(struct sink_upload *upload);
struct sink_upload_name sink_s3_upload_name(const struct sink_upload *upload);
struct sink_op *sink_s3_reopen(struct sink *sink, const struct sink_object *object,
                               const struct sink_upload_name *name, struct sink_upload **out,
                               sink_part_fn *part, sink_done_fn *done, void *arg);
struct sink_op *sink_s3_list_unfinished(struct sink *sink, sink_unfinished_fn *each,
                                        sink_done_fn *done, void *arg);
struct sink_op *sink_s3_abort_unfinished(struct sink *sink, const char *key, const char *id,
                                         sink_done_fn *done, void *arg);

/* ---- sink_s3_lost.c ---- */

/* From here on every upload of its key that has no part may be one of ours that lost its name. */
void sink_s3_lost_suspect(struct sink_upload *upload);
struct sink_op *sink_s3_abort_unnamed(struct sink *sink, const char *key, sink_done_fn *done,
                                      void *arg);
/* Before op, which has completed, aborted or failed to begin its upload, ends with err (NULL:
 * well): looks for uploads whose ids got lost, if there may be any, and then ends op. False: there
 * are none. */
bool sink_s3_lost_begin(struct sink_op *op, const struct err *err);
void sink_s3_lost_release(struct sink_op *op);

#endif
