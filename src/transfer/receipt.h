/* SPDX-License-Identifier: Apache-2.0
 *
 * receipt: what is written beside the objects of a stored job, and how it is read back.
 *
 * One JSON object under .egress/SOURCE/JOB.json; members unknown to this version are ignored, so
 * that a newer program may add some. Only the text: the sink carries it. Any thread.
 *
 *     struct receipt r = {.state = RECEIPT_STORED, .source = ...};
 *     if (receipt_format(&r, &text, &err) < 0) ...
 *     struct receipt back;
 *     if (receipt_parse(buf_str(&text), text.len, "voxel51", job, &back, &err) == 0)
 *         receipt_release(&back);
 */
#ifndef EGRESS_TRANSFER_RECEIPT_H
#define EGRESS_TRANSFER_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "transfer/plan.h"
#include "transfer/source.h"

enum {
    RECEIPT_VERSION = 1,
    RECEIPT_BYTES_MAX = 1024 * 1024,
    RECEIPT_OUTPUTS_MAX = 10000,
    RECEIPT_SOURCE_MAX = 31, /* bytes of a source's name */
};

enum receipt_state {
    RECEIPT_STORED,
    RECEIPT_UPLOADING, /* not there yet: what another process needs to go on */
};

/* How far the upload of one output is. Parts 1 to n_crcs have been sent; which of them the store
 * has, it knows itself. */
struct receipt_upload {
    char *key;                             /* owned, like all here; relative to the destination */
    char *id;                              /* the store's name of the upload */
    char *attempt;                         /* ours */
    struct plan_layout layout;             /* .size: of the output, or -1 */
    char *validator;                       /* the source's */
    char *content_type, *content_encoding; /* or NULL */
    int64_t started_ms;                    /* Unix time */
    int64_t written_ms;                    /* Unix time, of this record; 0: not told */
    uint32_t hops;                         /* times it was handed over so far */
    uint32_t n_crcs;
    uint32_t *crcs; /* CRC32C of each part */
};
void receipt_upload_release(struct receipt_upload *u);

struct receipt_output {
    char *name;      /* owned; as the source sent it; may be "" */
    char *key;       /* owned; relative to the destination */
    uint64_t size;   /* bytes */
    bool has_crc32c; /* of the whole object */
    uint32_t crc32c;
    char *content_type; /* owned; or NULL */
    char *validator;    /* owned; the source's, or NULL */
    char *etag;         /* owned; the store's, or NULL */
};

struct receipt {
    enum receipt_state state;
    char *source; /* owned */
    char job[JOB_ID_MAX + 1];
    char *job_name; /* owned; or NULL */
    size_t n_outputs;
    struct receipt_output *outputs; /* owned; of RECEIPT_UPLOADING: those stored so far */
    struct receipt_upload *upload;  /* owned; of RECEIPT_UPLOADING, else NULL */
    int64_t expires_ms;             /* Unix time; 0: not known */
    int64_t completed_ms;           /* Unix time; 0: not known */
    int64_t stored_ms;              /* Unix time; of RECEIPT_STORED */
    char *program;                  /* owned; who wrote it: "egress 0.1.0" */
};

/* Appends the text; out's cap should be RECEIPT_BYTES_MAX. -1 (ERR_TOO_LARGE): it does not fit. */
int receipt_format(const struct receipt *r, struct buf *out, struct err *err) MUST_CHECK;

/* Reads a text that should be the receipt of this job; *r is set on success only.
 * -1 (ERR_INPUT): says in which receipt, what was wrong and what to do. */
int receipt_parse(const void *data, size_t len, const char *source, const char *job,
                  struct receipt *r, struct err *err) MUST_CHECK;

/* A zeroed one is fine. */
void receipt_release(struct receipt *r);

/* ".egress/SOURCE/", where all receipts and markers lie; caller frees. */
char *receipt_prefix(const char *source);
/* ".egress/SOURCE/JOB.json"; caller frees. */
char *receipt_key(const char *source, const char *job);

/* The job of a key that receipt_key(source, ...) made of a well-formed id; false for any other
 * key. */
bool receipt_key_job(const char *key, const char *source, char job[JOB_ID_MAX + 1]);

/* ".egress/SOURCE/JOB.uploading", an empty object: there from before the first receipt in state
 * RECEIPT_UPLOADING is written until after the one in state RECEIPT_STORED, so that a listing alone
 * tells which receipts may not be what they seem; without a receipt it says nothing. Caller frees.
 */
char *receipt_marker_key(const char *source, const char *job);
bool receipt_marker_job(const char *key, const char *source, char job[JOB_ID_MAX + 1]);

#endif
