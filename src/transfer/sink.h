/* SPDX-License-Identifier: Apache-2.0
 *
 * sink: the seam to where outputs are stored. Implemented by sink/sink_s3 and sink/sink_file;
 * transfer knows nothing else of it.
 *
 * Every operation is a start and exactly one completion, which comes from the loop and never from
 * inside the call that started it. The start returns a handle for sink_cancel(), valid until the
 * completion. All on the loop's thread. Keys are relative to the destination (its prefix or
 * directory is the sink's business), are UTF-8, and never empty.
 */
#ifndef EGRESS_TRANSFER_SINK_H
#define EGRESS_TRANSFER_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

struct sink;
struct sink_op;     /* an operation under way */
struct sink_upload; /* a large object in the making */

typedef void sink_done_fn(void *arg, const struct err *err); /* err NULL: it worked */

/* Whose bytes an object holds. Kept with the object where the store can (S3 metadata). */
struct sink_identity {
    const char *source; /* "voxel51" */
    const char *job;
    const char *output; /* name the source gave the output */
};

enum sink_condition {
    SINK_IF_ABSENT, /* ERR_EXISTS when the key is taken; never overwrites */
    SINK_IF_MATCH, /* replaces just the object whose etag is given; ERR_EXISTS when it is another */
    SINK_ALWAYS,   /* replaces what is there: receipts only */
};

/* What is to be stored. Borrowed: put: until its completion; begin: until the upload is freed. */
struct sink_object {
    const char *key;
    const char *content_type;      /* or NULL */
    const char *content_encoding;  /* or NULL */
    struct sink_identity identity; /* .job NULL: none (receipts) */
    enum sink_condition condition;
    const char *if_match; /* etag for SINK_IF_MATCH */
    /* begin, reopen: another may have been begun before by a process that died with its name: one
     * of this key that has no part is removed when this one ends. */
    bool tried_before;
};

/* What is there. */
struct sink_stat {
    bool exists;
    uint64_t size;
    char etag[128];      /* opaque; "" when the store has none */
    int64_t modified_ms; /* Unix time, or 0 */
    bool has_crc32c;     /* the store keeps a CRC32C of the whole object */
    uint32_t crc32c;
    /* Identity kept with it; "" each when there is none (SINK_OWNER_UNKNOWN). */
    char source[32], job[129];
};

/* What holds for one destination. */
struct sink_limits {
    uint64_t part_min; /* every part but the last */
    uint64_t part_max;
    uint32_t parts_max;
    /* Whether objects always carry an identity. Where one may be missing, put and complete that
     * find the key taken compare the bytes and succeed when they are the same. */
    bool keeps_identity;
    bool equal_parts;   /* all but the last must be of one size, and the last no larger */
    bool lists_cheaply; /* a thousand keys cost no more than one that is read */
};

/* A part that the store has already. crc32c: NULL when it keeps none. */
typedef void sink_part_fn(void *arg, uint32_t number, uint64_t size, const uint32_t *crc32c);
/* An unfinished upload. started_ms: Unix time. */
typedef void sink_unfinished_fn(void *arg, const char *key, const char *id, int64_t started_ms);

/* What another process needs to go on with an upload. */
enum { SINK_ATTEMPT_SIZE = 33 };
struct sink_upload_name {
    const char *id;      /* the store's */
    const char *attempt; /* ours, in the object's metadata; under SINK_ATTEMPT_SIZE bytes */
};

struct sink_ops {
    const char *name; /* "s3", "file" */

    /* *out is filled at completion; a missing key is no error (exists == false). */
    struct sink_op *(*stat)(struct sink *sink, const char *key, struct sink_stat *out,
                            sink_done_fn *done, void *arg);
    /* Stores data (borrowed until completion) whole; visible all at once or not at all. etag_out
     * (may be NULL) gets the store's tag. */
    struct sink_op *(*put)(struct sink *sink, const struct sink_object *object, const void *data,
                           size_t len, uint32_t crc32c, char etag_out[128], sink_done_fn *done,
                           void *arg);

    /* A large object: begin, put_part for every part (any order, several at once), then complete
     * or abort, then upload_free. *out is set at completion. ERR_SPENT, of put_part and complete:
     * nothing is stored, and nothing can finish this upload; a new one may. */
    struct sink_op *(*begin)(struct sink *sink, const struct sink_object *object,
                             struct sink_upload **out, sink_done_fn *done, void *arg);
    /* number: 1-based; offset: of the part in the object; data borrowed until completion. */
    struct sink_op *(*put_part)(struct sink_upload *upload, uint32_t number, uint64_t offset,
                                const void *data, size_t len, uint32_t crc32c, sink_done_fn *done,
                                void *arg);
    /* Makes the object visible. size and crc32c are of the whole. */
    struct sink_op *(*complete)(struct sink_upload *upload, uint32_t n_parts, uint64_t size,
                                uint32_t crc32c, char etag_out[128], sink_done_fn *done, void *arg);
    /* Removes a small object of ours, if it is still the one of that etag (where the store can
     * compare). One that is gone is no error. This and the next five: NULL in a sink whose
     * unfinished uploads end with the process. */
    struct sink_op *(*remove)(struct sink *sink, const char *key, const char *etag,
                              sink_done_fn *done, void *arg);
    /* What to write down of an upload; borrowed from it. */
    struct sink_upload_name (*upload_name)(const struct sink_upload *upload);
    /* As begin, for an upload that was begun elsewhere; calls part() for each one stored.
     * ERR_NOT_FOUND: it is gone. */
    struct sink_op *(*reopen)(struct sink *sink, const struct sink_object *object,
                              const struct sink_upload_name *name, struct sink_upload **out,
                              sink_part_fn *part, sink_done_fn *done, void *arg);
    /* Calls each() for every unfinished upload in the destination. */
    struct sink_op *(*list_unfinished)(struct sink *sink, sink_unfinished_fn *each,
                                       sink_done_fn *done, void *arg);
    /* Undoes one of them. One that is gone is no error. */
    struct sink_op *(*abort_unfinished)(struct sink *sink, const char *key, const char *id,
                                        sink_done_fn *done, void *arg);
    /* Undoes those of one key that have no part, and so nobody is at work on: for what a process
     * left that died before it could write down what it had begun. Fails for no reason but that it
     * was cancelled: what is left is logged. */
    struct sink_op *(*abort_unnamed)(struct sink *sink, const char *key, sink_done_fn *done,
                                     void *arg);
    /* Leaves nothing behind; repeated by the sink until that is so, within bounds. */
    struct sink_op *(*abort)(struct sink_upload *upload, sink_done_fn *done, void *arg);
    void (*upload_free)(struct sink_upload *upload); /* nothing of it may be under way */

    /* Reads an object in order; on_data returns 0 to go on, -1 to end it (ERR_CANCELLED).
     * ERR_NOT_FOUND when it is not there. */
    struct sink_op *(*read)(struct sink *sink, const char *key,
                            int (*on_data)(void *arg, const void *data, size_t len),
                            sink_done_fn *done, void *arg);
    /* Calls each(arg, key) for every key that begins with prefix, in no promised order. */
    struct sink_op *(*list)(struct sink *sink, const char *prefix,
                            void (*each)(void *arg, const char *key), sink_done_fn *done,
                            void *arg);

    /* Asks an operation to end soon; its completion still comes: with ERR_CANCELLED, or with its
     * result if that was first. */
    void (*cancel)(struct sink_op *op);

    /* Appends where a key lies as a user would name it: "s3://bucket/prefix/key". */
    void (*locate)(const struct sink *sink, const char *key, struct buf *out);
    void (*free)(struct sink *sink); /* nothing may be under way */
};

struct sink { /* first member of every implementation's own struct */
    const struct sink_ops *ops;
    struct sink_limits limits;
};

#endif
